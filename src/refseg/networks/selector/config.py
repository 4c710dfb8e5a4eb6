"""Settings of Selector, in the order of its parts: finder, pairs, chooser, answer."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from refseg.config import Channels, Config, Layers, Repeats

PROGRAM_BLOCKS = 2  # blocks of the chooser after which it is asked for sets of the program


class SelectorConfig(Config):
    """Every choice of the network; lengths are in u (see the header of `selector`)."""

    # Finder: maps
    stages: tuple[Channels, Channels, Channels, Channels] = (32, 48, 96, 192)  # channels at 1/2, 1/4, 1/8, 1/16
    coarse: Channels = 128  # channels of the map at 1/8 that holds the centres
    fine: Channels = 64  # channels of the map at 1/4 that holds appearance
    kernel: Channels = 24  # channels of the pixel embedding
    mask_stride: Literal[1, 2] = 1  # object masks at the image's own resolution, or at half of it

    # Finder: objects
    candidates: Repeats = 16  # cells that may become an object
    score_threshold: float = Field(0.198, gt=0, lt=1)  # probability above which a cell holds an object
    duplicate_distance: float = 7.0  # predicted centres closer than this are one object
    reference_radius: float = 18.0  # radius of a size output of zero
    size_range: float = 1.5  # the radius stays within the reference times exp(+- this)
    geometry_scale: float = 40.0  # one unit of position, distance and radius
    area_scale: float = 8.0  # one unit of the side of an object's area at 1/4
    # Numbers of classes of the supervised attributes; the first is the hardest.
    attributes: tuple[Repeats, ...] = Field((8, 8, 3, 3), max_length=16)

    # Pairs
    contact_scale: float = 20.0  # one unit of overlap at 1/4, in u squared
    disc_softness: float = 2.0  # width of the border of an object's disc
    pair_range: float = 4.0  # geometric pair features are clipped to +- this
    agreement: bool = True  # one more feature per attribute: agreement of the two objects

    # Chooser
    width: Channels = 128
    heads: Repeats = 4
    word_layers: Layers = 2
    blocks: Repeats = 4
    # Objects attend to each other by the features of pairs, without these, or not at all.
    relations: Literal["pairs", "objects", "none"] = "pairs"
    pair_width: Channels = 32
    pair_value: Channels = 16
    max_words: Repeats = 32
    word_match: bool = True  # each word on its own is matched with each object as well
    word_dropout: float = Field(
        0.1, ge=0, lt=1
    )  # share of words whose embedding is dropped before self-attention, in training
    program_weight: float = Field(1.0, ge=0)  # of the loss of the programs' intermediate sets; 0: without it

    # Answer
    fallback: Literal["none", "best"] = (
        "none"  # prediction when a referent exists but no object is chosen: none, or the best object
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.program_weight and self.blocks < PROGRAM_BLOCKS:
            raise ValueError(
                f"program_weight needs at least {PROGRAM_BLOCKS} blocks, not {self.blocks}; or set it to 0"
            )
        if self.word_dropout and not self.word_match:
            raise ValueError("word_dropout needs word_match; without it set word_dropout to 0")
        return self


class SelectorVideoConfig(SelectorConfig):
    """Every choice of the network for clips, beside those of `SelectorConfig`."""

    program_weight: float = Field(0.0, ge=0)  # 0: clips know no intermediate sets

    # Motion
    frames: int = Field(5, ge=3, le=65)  # of a clip; odd
    follow_distance: float = Field(16.0, gt=0)  # an object further away in the next frame of the clip is another one
    motion_scale: float = Field(4.0, gt=0)  # one unit of a change of place
    growth_scale: float = Field(0.05, gt=0)  # one unit of a change of the logarithm of the radius
    crop: int = Field(16, ge=4, le=64, multiple_of=4)  # side of an object's pixels, cut out and enlarged to one size
    appearance: int = Field(32, ge=0, le=8192)  # channels of their description; 0: places and sizes tell the motion
    motions: Repeats = 8  # classes of what objects do, the last of a data set's attributes
    motion_weight: float = Field(1.0, ge=0)  # of the loss of these classes

    @field_validator("program_weight")
    @classmethod
    def _without_programs(cls, value: float) -> float:
        if value:
            raise ValueError("no data set of clips tells the sets of a program, so leave it 0")
        return value

    @field_validator("frames")
    @classmethod
    def _has_a_middle(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("the middle frame is answered, so take an odd number")
        return value
