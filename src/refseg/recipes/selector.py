"""Selector's recipes: the finder, the chooser on cached objects, then both together."""

from refseg.preprocessing.transform import ClipSampling, Preprocessing
from refseg.recipes.recipe import FileData, Group, Recipe, SceneData, Stage
from refseg.recipes.schedules import Cosine

FIND_STAGE = Stage(
    name="find",
    objective="find_loss",
    groups={"finder": Group(lr=3e-3, weight_decay=0.05, clip=2)},
    steps=2300,
    images=20,
    expressions_per_image=0,
    schedule=Cosine(warm_up=0.06, final=0.01),
)
CHOOSE_STAGE = Stage(
    name="choose",
    objective="choose_loss",
    groups={"chooser": Group(lr=1.5e-3, weight_decay=0.02, clip=1)},
    steps=1200,
    images=48,
    expressions_per_image=12,
    schedule=Cosine(warm_up=0.06, final=0.1),
    flip=0,
    unknown_words=0.025,
    cached_scenes=20480,
    validate_every=600,
)
TOGETHER_STAGE = Stage(
    name="together",
    objective="loss",
    groups={
        "finder": Group(lr=6e-4, weight_decay=0.05, clip=2),
        "chooser": Group(lr=1.2e-3, weight_decay=0.02, clip=1),
    },
    steps=9000,
    images=12,
    expressions_per_image=16,
    schedule=Cosine(warm_up=0.04, final=0.005),
    unknown_words=0.025,
    frozen_batch_norm=True,
    validate_every=1500,
)


def selector() -> Recipe:
    """Returns the recipe of the bundled weights: base and hard scenes, programs as supervision.

    Run       refseg train selector --devices 2
    Measured  docs/results.md
    """
    return Recipe(
        name="selector",
        network="selector",
        data=SceneData(scenes=61440, tier=("base", "hard")),
        initial={"finder.stages": "small_image_encoder"},
        stages=(
            FIND_STAGE.replace(steps=3000),
            CHOOSE_STAGE.replace(steps=2000, cached_scenes=30720, validate_every=500),
            TOGETHER_STAGE.replace(steps=12000, validate_every=2000),
        ),
    )


def selector_1() -> Recipe:
    """Returns the recipe of the weights that were bundled before, `releases/selector-1`: base scenes alone."""
    return Recipe(
        name="selector_1",
        network="selector",
        config={"max_words": 24, "word_match": False, "word_dropout": 0, "program_weight": 0},
        data=SceneData(scenes=40960),
        stages=(FIND_STAGE, CHOOSE_STAGE, TOGETHER_STAGE),
    )


def selector_chooser() -> Recipe:
    """Returns the recipe of a chooser alone, on the finder of the bundled weights: what ablations differ in."""
    return selector().replace(
        name="selector_chooser",
        initial={"finder": "selector"},
        stages=(CHOOSE_STAGE.replace(cached_scenes=20480),),
    )


def small_image_encoder() -> Recipe:
    """Returns the recipe of the small presets' initial weights: the finder's first stages, trained without words.

    They take the place of ImageNet weights.
    """
    return selector_1().replace(name="small_image_encoder", stages=(FIND_STAGE,), releases="image_encoder")


def selector_quick() -> Recipe:
    """Returns a short recipe: a check that training works, not a result."""
    return selector().replace(
        name="selector_quick",
        data=SceneData(scenes=12800),
        stages=(
            FIND_STAGE.replace(steps=900),
            CHOOSE_STAGE.replace(steps=700, cached_scenes=12800),
            TOGETHER_STAGE.replace(steps=2500, validate_every=1250),
        ),
    )


def selector_first_version() -> Recipe:
    """Returns the recipe of the first version: masks at half the resolution, no agreement of attributes of pairs."""
    former = selector_1()
    config = former.config | {"mask_stride": 2, "agreement": False}
    return former.replace(name="selector_first_version", config=config)


def selector_video() -> Recipe:
    """Returns the recipe of the bundled weights for videos: motion and chooser, on the finder of those for images.

    Every frame of a clip is learnt from, also the first and the last, which are answered as well; and expressions that
    say no motion.

    Run       refseg train selector_video
    Measured  docs/results.md
    """
    rate = Group(lr=1.5e-3, weight_decay=0.02, clip=1)
    choose = Stage(
        name="choose",
        groups={"motion": rate, "chooser": rate},
        steps=2000,
        images=12,
        expressions_per_image=8,
        schedule=Cosine(warm_up=0.06, final=0.01),
        validate_every=500,
    )
    return Recipe(
        name="selector_video",
        network="selector_video",
        data=FileData(
            dataset="drawn_clips",
            settings={"count": 200_000, "annotated": "all", "looks": 4},  # more than are used: drawn on demand
            validation_images=40,
            calibration_images=150,
            item="image",
            preprocessing=Preprocessing(clip=ClipSampling(offsets=(-4, -1, 0, 1, 4))),
            workers=1,
        ),
        initial={"finder": "selector"},
        stages=(choose,),
    )
