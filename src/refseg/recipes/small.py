"""Recipes of the papers' small presets on drawn scenes, on a laptop: the same data and initial weights for all.

Run       refseg train cmirnet_small
Measured  docs/results.md
"""

from functools import partial

from refseg.preprocessing.transform import ClipSampling, Preprocessing
from refseg.recipes.recipe import FileData, Group, Recipe, SceneData, Stage
from refseg.recipes.schedules import Cosine

SCENES = SceneData(scenes=20480, validation_scenes=40, calibration_scenes=100)
CLIPS = FileData(
    dataset="drawn_clips",
    settings={"count": 200_000},  # more than are used, since they are drawn on demand
    validation_images=100,
    calibration_images=600,
    item="image",
    preprocessing=Preprocessing(clip=ClipSampling(offsets=(-5, 0, 4))),
    workers=1,
)


SEE = Stage(
    name="see",
    objective="object_pretraining",
    groups={"image_encoder": Group(lr=2e-3, weight_decay=0.05, clip=1)},
    steps=1500,
    images=8,
    expressions_per_image=0,
    schedule=Cosine(warm_up=0.04, final=0.01),
)


def small(preset: str, steps: int = 1000, expressions: int = 8, words: float = 4e-4, rate: float = 1e-3) -> Recipe:
    """Returns the recipe of a small preset: its image encoder learns objects, then the rest learns expressions.

    The encoder is frozen in the second stage; with a trained one, networks kept predicting all objects.

    Args:
        preset: one of `networks.PRESETS`.
        steps: of the second stage.
        expressions: per image in a step.
        words: rate of the word encoder; networks with a BERT of random weights do not learn at 2e-3.
        rate: of all parts but the encoders.
    """
    learn = SEE.replace(
        name="learn",
        objective="loss",
        groups={
            "word_encoder": Group(lr=words, weight_decay=0.02, clip=1),
            "fusion": Group(lr=rate, weight_decay=0.02, clip=1),
        },
        steps=steps,
        images=4,
        expressions_per_image=expressions,
        validate_every=steps // 4,
    )
    return Recipe(
        name=preset,
        network=preset,
        data=SCENES,
        initial={"image_encoder.net": "small_image_encoder"},
        stages=(SEE, learn),
        precision="32",
    )


cmirnet_small = partial(small, "cmirnet_small")
dmmi_small = partial(small, "dmmi_small")
lavt_small = partial(small, "lavt_small")
lavt_small_aligner = partial(small, "lavt_small_aligner")

many_expressions = partial(small, steps=800, expressions=24)  # images are encoded once for all their expressions
eavl_small = partial(many_expressions, "eavl_small")
cris_small = partial(many_expressions, "cris_small")
cris_small_aligner = partial(many_expressions, "cris_small_aligner")
vlt_small = partial(many_expressions, "vlt_small")
vlt_small_aligner = partial(many_expressions, "vlt_small_aligner")
cmpc_small = partial(small, "cmpc_small", steps=2000, words=2e-3, rate=2e-3)


def dcmfnet_small() -> Recipe:
    """Returns the recipe of DCMFNet, whose last encoder stage, after the fusion, is trained as well.

    With the rates and the 8 expressions of the others it kept predicting all objects.
    """
    recipe = small("dcmfnet_small", steps=800, expressions=24, words=1e-3, rate=2e-3)
    see, learn = recipe.stages
    last = Group(lr=1e-3, weight_decay=0.05, clip=1, only=(r"top\.",))
    return recipe.replace(stages=(see, learn.replace(groups={"image_encoder": last, **learn.groups})))


def small_objects() -> Recipe:
    """Returns the recipe of the small presets' image encoder: object pretraining, from the finder's first stages.

    It takes the place of ImageNet weights. All small presets of images have this image encoder; the network that is
    named here lends it, and nothing else of it is trained.
    """
    return Recipe(
        name="small_objects",
        network="lavt_small",
        data=SCENES,
        initial={"image_encoder.net": "small_image_encoder"},
        stages=(SEE,),
        releases="image_encoder",
        precision="32",
    )


def small_words() -> Recipe:
    """Returns the recipe of the small presets' initial words, which are taught without pixels.

    They take the place of BERT's, CLIP's and GloVe's weights. All small presets have this word encoder; the network
    that is named here lends it, and nothing else of it is trained.
    """
    teach = Stage(
        name="teach",
        objective="word_pretraining",
        groups={"word_encoder": Group(lr=1e-3, weight_decay=0.02, clip=1)},
        steps=6000,
        images=8,
        expressions_per_image=16,
        schedule=Cosine(warm_up=0.05, final=0.01),
        validate_every=500,
    )
    return Recipe(
        name="small_words",
        network="lavt_small",
        data=SCENES.replace(validation_scenes=200),
        stages=(teach,),
        releases="word_encoder",
        precision="32",
    )


def cmpc_video_small() -> Recipe:
    """Returns the recipe on clips, whose first stage also teaches actions, in the place of Kinetics."""
    return small("cmpc_video_small", steps=2000, expressions=6, words=2e-3, rate=2e-3).replace(data=CLIPS)
