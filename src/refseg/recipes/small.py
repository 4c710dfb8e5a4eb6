"""Recipes of the papers' small presets on drawn scenes, on a laptop: the same data and initial weights for all.

The image encoder has learnt what objects are (`small_objects`) and the word encoder what is meant (`small_words`), as
the papers' have learnt ImageNet and language; the rest learns to find the one by the other.

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
FINE = "image_encoder.net"  # which has no stage at 1/32


SEE = Stage(
    name="see",
    objective="object_pretraining",
    groups={"image_encoder": Group(lr=2e-3, weight_decay=0.05, clip=1)},
    steps=1500,
    images=8,
    expressions_per_image=0,
    schedule=Cosine(warm_up=0.04, final=0.01),
)


def learn(steps: int, expressions: int = 8, words: float = 1e-4, rate: float = 1e-3) -> Stage:
    """Returns the stage in which a small preset learns expressions; its image encoder stays as it is.

    With a trained one, networks kept predicting all objects.

    Args:
        steps: of the stage.
        expressions: per image in a step.
        words: rate of the word encoder, which has learnt already.
        rate: of all parts but the encoders.
    """
    return Stage(
        name="learn",
        groups={
            "word_encoder": Group(lr=words, weight_decay=0.02, clip=1),
            "fusion": Group(lr=rate, weight_decay=0.02, clip=1),
        },
        steps=steps,
        images=4,
        expressions_per_image=expressions,
        schedule=Cosine(warm_up=0.04, final=0.01),
        validate_every=steps // 4,
    )


def small(preset: str, stage: Stage, part: str = "image_encoder") -> Recipe:
    """Returns the recipe of a small preset.

    Args:
        preset: one of `networks.PRESETS`.
        stage: the one in which it learns.
        part: that starts from `small_objects`; of the encoder `small_fine`, `FINE`.
    """
    return Recipe(
        name=preset,
        network=preset,
        data=SCENES,
        initial={part: "small_objects", "word_encoder": "small_words"},
        stages=(stage,),
        precision="32",
    )


# Up to 20 minutes of one core with precision=bf16, in which all learn to read (docs/results.md).
cris_small = partial(small, "cris_small", learn(4100), FINE)
cris_small_aligner = partial(small, "cris_small_aligner", learn(4100), FINE)
eavl_small = partial(small, "eavl_small", learn(4600, words=5e-4, rate=5e-4))  # at 2e-3 the ReLUs of its queries die
vlt_small = partial(small, "vlt_small", learn(5400))
vlt_small_aligner = partial(small, "vlt_small_aligner", learn(5400))
cmpc_small = partial(small, "cmpc_small", learn(5000, rate=2e-3))
lavt_small = partial(small, "lavt_small", learn(5000))
lavt_small_aligner = partial(small, "lavt_small_aligner", learn(5000))
cmirnet_small = partial(small, "cmirnet_small", learn(4000, rate=2e-3))
dmmi_small = partial(small, "dmmi_small", learn(1800))


def dcmfnet_small() -> Recipe:
    """Returns the recipe of DCMFNet, whose last encoder stage, after the fusion, is trained as well."""
    stage = learn(3400, rate=5e-4)  # at 2e-3 its tanh saturate
    last = Group(lr=1e-3, weight_decay=0.05, clip=1, only=(r"top\.",))
    return small("dcmfnet_small", stage.replace(groups={"image_encoder": last, **stage.groups}))


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
    """Returns the recipe on clips, whose first stage also teaches actions, in the place of Kinetics.

    Its words start from nothing: the taught ones have read of no action. Whether they help all the same was not tried.
    """
    return Recipe(
        name="cmpc_video_small",
        network="cmpc_video_small",
        data=CLIPS,
        initial={"image_encoder.net": "small_image_encoder"},
        stages=(SEE, learn(steps=2000, expressions=6, words=2e-3, rate=2e-3)),
        precision="32",
    )
