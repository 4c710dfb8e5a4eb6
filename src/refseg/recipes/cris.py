"""CRIS's training on photographs, and with the rates of the released code's first epoch.

Run       refseg train cris_refcoco
Measured  not run yet
"""

from functools import partial

from refseg.preprocessing.transform import clip_photographs
from refseg.recipes.eavl import choose_max_words
from refseg.recipes.photograph_sets import REFCOCO_SETS, build_photograph_data
from refseg.recipes.recipe import Group, PaperReference, Recipe, Stage
from refseg.recipes.schedules import Milestones

LR = 1e-4
CLIP_FILES = {"resnet101": "RN101.pt", "resnet50": "RN50.pt"}
REPORTED_M_IOUS = {
    "resnet50": {
        "refcoco": {"val": 69.52, "testA": 72.72, "testB": 64.70},
        "refcoco+": {"val": 61.39, "testA": 67.10, "testB": 52.48},
        "refcocog_umd": {"val": 59.35, "test": 59.39},
    },
    "resnet101": {
        "refcoco": {"val": 70.47, "testA": 73.18, "testB": 66.10},
        "refcoco+": {"val": 62.27, "testA": 68.08, "testB": 53.68},
        "refcocog_umd": {"val": 59.87, "test": 60.36},
    },
}


def cris(data: str, image_encoder: str) -> Recipe:
    """Returns the recipe of a row of the released results, with a tenth of the rate for CLIP."""
    encoder = Group(lr=LR / 10)
    learn = Stage(
        name="learn",
        groups={"image_encoder": encoder, "word_encoder": encoder, "fusion": Group(lr=LR)},
        epochs=50,
        images=64,
        expressions_per_image=1,
        optimiser="adam",
        betas=(0.9, 0.999),
        schedule=Milestones(at=(35,), factor=0.1),
        flip=0,
    )
    return Recipe(
        name=name_recipe(data, image_encoder),
        about=PaperReference(
            row=f"released results, {data}, {image_encoder}",
            reports={f"{split} mIoU": value for split, value in REPORTED_M_IOUS[image_encoder][data].items()},
            protocol="cris",
            paper_says="CLIP's parts learn at a tenth of the rate.",
            release_does="In the first epoch all learn at 1e-4 (cris_*_release); masks are bilinear and stay soft; "
            "mixed precision; validation asks the first sentence of each referent only.",
        ),
        network=f"cris_{image_encoder}",
        config={"max_words": choose_max_words(data)},
        data=build_photograph_data(data, mask="soft", preprocessing=clip_photographs(416)),
        initial={"clip": CLIP_FILES[image_encoder]},
        stages=(learn,),
    )


def cris_release(data: str, image_encoder: str) -> Recipe:
    """Returns the recipe with the single rate of the release's first epoch."""
    base = cris(data, image_encoder)
    (learn,) = base.stages
    encoder = Group(lr=LR / 10, first_epoch_lr=LR)
    groups = learn.groups | {"image_encoder": encoder, "word_encoder": encoder}
    return base.replace(name=f"{base.name}_release", stages=(learn.replace(groups=groups),))


def name_recipe(data: str, image_encoder: str) -> str:
    """Returns the recipe's name, without that of the main image encoder."""
    return f"cris_{data}" if image_encoder == "resnet101" else f"cris_{data}_{image_encoder}"


RECIPES = {
    f"{name_recipe(data, image_encoder)}{end}": partial(function, data, image_encoder)
    for image_encoder in CLIP_FILES
    for end, function in (("", cris), ("_release", cris_release))
    for data in REFCOCO_SETS
}
