"""How the small preset of every paper's network learns drawn scenes, on a laptop: the same data and start for all.

Run       refseg train cmirnet_small
Measured  docs/results.md
"""

from functools import partial

from refseg.preprocessing import ClipSampling, Preprocessing
from refseg.recipe import Data, Files, Group, Recipe, Scenes, Stage
from refseg.schedules import Cosine

SCENES = Scenes(scenes=40960, validation_scenes=40, calibration_scenes=100)
CLIPS = Files(
    dataset="drawn_clips",
    settings={"count": 200_000},  # more than are seen: drawing them costs less than keeping them
    validation_images=100,
    calibration_images=600,
    item="image",
    preprocessing=Preprocessing(clip=ClipSampling(offsets=(-5, 0, 4))),
    workers=1,
)


def small(preset: str, steps: int, expressions: int = 4, data: Data = SCENES) -> Recipe:
    """The recipe of a small preset; its image encoder starts from weights that were taught objects without words.

    Args:
        preset: one of `networks.PRESETS`.
        steps: as many as take about an hour on one idle core.
        expressions: of an image in a step; more where words do not change what the image encoder does.
        data: what it learns from.
    """
    learn = Stage(
        name="learn",
        groups={
            "image_encoder": Group(lr=3e-4, weight_decay=0.05, clip=1),
            "word_encoder": Group(lr=1e-3, weight_decay=0.02, clip=1),
            "fusion": Group(lr=1e-3, weight_decay=0.02, clip=1),
        },
        steps=steps,
        images=4,
        expressions_per_image=expressions,
        schedule=Cosine(warm_up=0.04, final=0.01),
        validate_every=steps // 4,
    )
    return Recipe(
        name=preset,
        network=preset,
        data=data,
        initial={"image_encoder.net": "small_image_encoder"},
        stages=(learn,),
        precision="32",
    )


cmirnet_small = partial(small, "cmirnet_small", steps=5000)
dmmi_small = partial(small, "dmmi_small", steps=2800)
lavt_small = partial(small, "lavt_small", steps=4000)
lavt_small_aligner = partial(small, "lavt_small_aligner", steps=4000)
eavl_small = partial(small, "eavl_small", steps=6000, expressions=12)
cris_small = partial(small, "cris_small", steps=6000, expressions=12)
cris_small_aligner = partial(small, "cris_small_aligner", steps=6000, expressions=12)
vlt_small = partial(small, "vlt_small", steps=5000, expressions=12)
vlt_small_aligner = partial(small, "vlt_small_aligner", steps=5000, expressions=12)
dcmfnet_small = partial(small, "dcmfnet_small", steps=5000)


def cmpc_small() -> Recipe:
    """On a still image encoder: one that learns too has marked all objects for as long as it was tried."""
    return seeing_first(small("cmpc_small", steps=2000, expressions=8))


def cmpc_video_small() -> Recipe:
    """The same on clips, where what objects do is taught as well, which stands in for Kinetics."""
    return seeing_first(small("cmpc_video_small", steps=2000, expressions=6, data=CLIPS))


def seeing_first(recipe: Recipe) -> Recipe:
    """Another stage before it, in which the image encoder learns what objects are; then it stays as it is."""
    (learn,) = recipe.stages
    see = learn.replace(
        name="see",
        objective="see",
        groups={"image_encoder": Group(lr=2e-3, weight_decay=0.05, clip=1)},
        steps=1500,
        images=8,
        expressions_per_image=0,
        validate_every=0,
    )
    groups = {part: learn.groups[part].replace(lr=2e-3) for part in ("word_encoder", "fusion")}
    return recipe.replace(stages=(see, learn.replace(groups=groups, frozen_batch_norm=True)))
