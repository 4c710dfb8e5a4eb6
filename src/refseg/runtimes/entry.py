"""Entry of config.json on the graphs of an exported checkpoint."""

from typing import Literal

from pydantic import Field

from refseg.config import Config

IMAGE, WORDS, FUSE = "image", "words", "fuse"
GRAPHS = (IMAGE, WORDS, FUSE)
"""The graphs, which are named for the network's methods `encode_image`, `encode_words` and `fuse`."""
FAMILIARITY_FILE = "familiarity.safetensors"
ENDINGS = {"onnx": (".onnx",), "openvino": (".xml", ".bin")}
"""By runtime, the endings of the files of each graph; the first one's names the graph."""
GRAPH_FILES = tuple(f"{graph}{ending}" for some in ENDINGS.values() for graph in GRAPHS for ending in some)

Name = str
Runtime = Literal["onnx", "openvino"]
Precision = Literal["f32", "bf16", "int8"]


class RuntimeEntry(Config):
    """The graphs of an exported network.

    Attributes:
        name: the runtime that they are for.
        precision: of the arithmetic; int8 is that of the graphs that `quantized` names, the others are in f32.
        quantized: graphs in int8.
        size_hw: the one size of images that they take; None if they take any whose sides are multiples of `multiple`.
        multiple: divisor of height and width, where there is no one size.
        words: number of tokens that they take, padding included; None for any.
        familiarity: tensor of `encode_image` that familiarity is measured on.
        computed: fields of the output that `fuse` gives.
        passed: fields of the output that are tensors of `encode_image`, with their names.
        objects: whether the output has scores and masks of objects.
        threshold: as of `Network`.
        expressions_at_once: as of `Network`.
        sha256: of the files of the graphs, one after the other.
    """

    name: Runtime
    precision: Precision = "f32"
    quantized: tuple[Name, ...] = Field(default=(), max_length=len(GRAPHS))
    size_hw: tuple[int, int] | None = None
    multiple: int = Field(default=16, ge=1, le=256)
    words: int | None = Field(default=None, ge=1, le=100_000)
    familiarity: Name | None = None
    computed: tuple[Name, ...] = Field(max_length=100)
    passed: dict[Name, Name] = Field(default={}, max_length=100)
    objects: bool = False
    threshold: float = Field(default=0.5, gt=0, lt=1)
    expressions_at_once: int | None = Field(default=None, ge=1)
    sha256: str = Field(default="", max_length=64)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files of the graphs."""
        return tuple(f"{graph}{ending}" for graph in GRAPHS for ending in ENDINGS[self.name])

    @property
    def least_side(self) -> int:
        """Smallest height and width, where there is no one size."""
        return 2 * self.multiple

    @property
    def sizes(self) -> str:
        """The sizes of images that the graphs take, in words."""
        if self.size_hw is not None:
            height, width = self.size_hw
            return f"images of {height} x {width} pixels"
        return f"images of any size from {self.least_side} x {self.least_side} pixels on"
