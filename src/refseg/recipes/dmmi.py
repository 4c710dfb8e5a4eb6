"""DMMI's training on photographs: Tables 1 and 2 of the paper, and as in the authors' released code.

Run       refseg train dmmi_refcoco
Measured  not run yet
"""

from functools import partial

from refseg.preprocessing.transform import photographs
from refseg.recipes.photograph_sets import (
    BERT,
    BERT_LAYERS,
    NO_VAL_NOTE,
    RESNET_101,
    SWIN_BASE,
    SWIN_UNDECAYED,
    build_photograph_data,
)
from refseg.recipes.recipe import Group, PaperReference, Recipe, Stage
from refseg.recipes.reported import NOT_RELEASED, REPORTED, name_row
from refseg.recipes.schedules import Polynomial

DMMI_SETS = "refcoco", "refcoco+", "refcocog_umd", "refcocog_google", "refzom"
INITIAL_ENCODERS = {"swin_base": SWIN_BASE, "resnet101": RESNET_101}
RELEASED_FIGURES = {  # figures of the released weights
    ("refcocog_umd", "resnet101"): {"oIoU": 59.02, "mIoU": 62.59},
    ("refcocog_umd", "swin_base"): {"oIoU": 63.46, "mIoU": 66.48},
    ("refzom", "swin_base"): {"oIoU": 68.77, "mIoU": 68.25},
}


def dmmi(data: str, image_encoder: str) -> Recipe:
    """Returns the recipe of a row of Tables 1 and 2, at the paper's 448 pixels."""
    lr, decay = 5e-5, 0.01
    swin = image_encoder == "swin_base"
    learn = Stage(
        name="learn",
        groups={
            "image_encoder": Group(lr=lr, weight_decay=decay, undecayed=SWIN_UNDECAYED if swin else ()),
            "word_encoder": Group(lr=lr, weight_decay=decay, only=BERT_LAYERS, undecayed=()),
            "fusion": Group(lr=lr, weight_decay=decay, undecayed=("skip_norm",) if swin else ()),
        },
        epochs=40,
        images=8,
        expressions_per_image=1,
        betas=(0.9, 0.999),
        schedule=Polynomial(power=0.9),
        flip=0,
    )
    name = name_recipe(data, image_encoder)
    reports = REPORTED.get(name, {})
    return Recipe(
        name=name,
        about=PaperReference(
            row=name_row(_row(data, image_encoder), reports),
            reports=reports,
            protocol="dmmi",
            paper_says="Images of 448 x 448, a phrase erased anew in each iteration; batch and epochs are not given."
            + NO_VAL_NOTE * (data == "refzom"),
            release_does="480 x 480; which phrase is erased is drawn once; 40 epochs of batches of 8 for each process; "
            "the checkpoint is chosen by the test split; on Ref-ZOM the order is shuffled once, not for each epoch.",
        ),
        network=f"dmmi_{image_encoder}",
        data=build_photograph_data(data, "kept" if data == "refzom" else "lost", preprocessing=photographs(448)),
        initial={"image_encoder": INITIAL_ENCODERS[image_encoder], "word_encoder": BERT},
        stages=(learn,),
        precision="32",
    )


def dmmi_release(data: str, image_encoder: str) -> Recipe:
    """Returns the recipe of the released code, at 480 pixels."""
    base = dmmi(data, image_encoder)
    assert base.about is not None
    (learn,) = base.stages
    reports = RELEASED_FIGURES.get((data, image_encoder), {})
    return base.replace(
        name=f"{base.name}_release",
        about=base.about.replace(reports=reports, row=name_row(_row(data, image_encoder), reports, NOT_RELEASED)),
        data=base.data.replace(preprocessing=photographs(480)),
        stages=(learn.replace(erasure="fixed"),),
    )


def _row(data: str, image_encoder: str) -> str:
    return f"Table {2 if data == 'refzom' else 1}, {data}, {image_encoder}"


def name_recipe(data: str, image_encoder: str) -> str:
    """Returns the recipe's name, without that of the main image encoder."""
    return f"dmmi_{data}" if image_encoder == "swin_base" else f"dmmi_{data}_{image_encoder}"


RECIPES = {
    f"{name_recipe(data, image_encoder)}{end}": partial(function, data, image_encoder)
    for image_encoder in INITIAL_ENCODERS
    for end, function in (("", dmmi), ("_release", dmmi_release))
    for data in DMMI_SETS
}
