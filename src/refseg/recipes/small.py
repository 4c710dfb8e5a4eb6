"""How the small preset of every paper's network learns drawn scenes, on a laptop: the same data and start for all.

Run       refseg train cmirnet_small
Measured  docs/results.md
"""

from functools import partial

from refseg.recipe import Data, Group, Recipe, Stage


def small(preset: str, steps: int) -> Recipe:
    """The recipe of a small preset; its image encoder starts from weights that were taught objects without words.

    Args:
        preset: one of `networks.PRESETS`.
        steps: as many as take about an hour on one idle core.
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
        expressions_per_image=4,
        warm_up=0.04,
        final_lr=0.01,
        validate_every=steps // 4,
    )
    return Recipe(
        name=preset,
        network=preset,
        data=Data(scenes=40960, validation_scenes=40, calibration_scenes=100),
        initial={"image_encoder.net": "small_image_encoder"},
        stages=(learn,),
        precision="32",
    )


cmirnet_small = partial(small, "cmirnet_small", steps=5000)
dmmi_small = partial(small, "dmmi_small", steps=2800)
