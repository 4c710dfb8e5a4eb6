"""CMIRNet's training on photographs: Table I of the paper, and Table II, with boxes.

Run       refseg train cmirnet_refcoco
Measured  not run yet
"""

from functools import partial
from typing import Any

from refseg.preprocessing.transform import photographs
from refseg.recipes.photograph_sets import (
    BERT,
    BERT_LAYERS,
    REFCOCO_SETS,
    RESNET_50,
    RESNET_101,
    SWIN_BASE,
    SWIN_LARGE,
    build_photograph_data,
)
from refseg.recipes.recipe import FileData, Group, PaperReference, Recipe, Stage
from refseg.recipes.reported import REPORTED, name_row
from refseg.recipes.schedules import LineThenPolynomial

CMIRNET_SETS = *REFCOCO_SETS, "refclef"
INITIAL_ENCODERS = {"swin_base": SWIN_BASE, "swin_large": SWIN_LARGE, "resnet50": RESNET_50, "resnet101": RESNET_101}
SUPERVISION: dict[str, dict[str, Any]] = {  # of the finetuning, Table II
    "": {},
    "_boxes": {"loss": {"mask": 0.0, "box": 1.0}},
    "_both": {"loss": {"mask": 1.0, "box": 1.0}},
}
SPLIT_NOTE = " Whose RefCLEF split it takes is not said: berkeley (data.settings.split_by) is the other one."


def cmirnet(data: str, image_encoder: str) -> Recipe:
    """Returns the recipe of a row of Table I."""
    swin = image_encoder.startswith("swin")
    first_epochs, drop = (10, 0.5) if swin else (5, 0.4)
    learn = Stage(
        name="learn",
        groups=build_groups(5e-5),
        epochs=30,
        images=32,
        expressions_per_image=1,
        betas=(0.9, 0.999),
        schedule=LineThenPolynomial(first_epochs=first_epochs, drop=drop),
        flip=0,
    )
    name = name_recipe(data, image_encoder)
    reports = REPORTED.get(name, {})
    return Recipe(
        name=name,
        about=PaperReference(
            row=name_row(f"Table I, {data}, {image_encoder}", reports),
            reports=reports,
            protocol="cmirnet",
            paper_says="Learning rate 5e-5 on a polynomial schedule, batches of 32, 30 epochs, binary cross-entropy."
            + SPLIT_NOTE * (data == "refclef"),
            release_does=(
                "Learning rate 2e-5 and batches of 8 by default (cmirnet_*_release)"
                if swin
                else "Training images are resized to 520 x 520 and cropped to 480 x 480"
            )
            + ", a straight line before the polynomial, classes weighted 0.9 and 1.1, float16 for all but BERT.",
        ),
        network=f"cmirnet_{image_encoder}",
        data=build_photograph_data(data, "lost", preprocessing=photographs(480), crop_from=None if swin else 520),
        initial={"image_encoder": INITIAL_ENCODERS[image_encoder], "word_encoder": BERT},
        stages=(learn,),
    )


def cmirnet_release(data: str, image_encoder: str) -> Recipe:
    """Returns the recipe of the released code with Swin, whose rate and batch differ from the paper's."""
    base = cmirnet(data, image_encoder)
    (learn,) = base.stages
    return base.replace(name=f"{base.name}_release", stages=(learn.replace(groups=build_groups(2e-5), images=8),))


def cmirnet_pretrained(data: str, image_encoder: str, supervision: str) -> Recipe:
    """Returns the recipe of Table II: 10 epochs of boxes on the merged data, then as in Table I, or with boxes."""
    base = cmirnet(data, image_encoder)
    assert base.about is not None and isinstance(base.data, FileData)
    (learn,) = base.stages
    boxes = learn.replace(
        name="boxes",
        data=base.data.replace(dataset="rec_pretraining", settings={}, item="expression", truth="box"),
        objective="box_only_loss",
        epochs=10,
    )
    says = (
        "Pretraining: 10 epochs of box regression, 1 - IoU, on Visual Genome, RefCOCO, RefCOCO+ and RefCOCOg; its rate "
        "and batch are not given. Joint supervision takes the box from the extent of the mask."
    )
    name = f"{base.name}_pretrained{supervision}"
    reports = REPORTED.get(name, {})
    return base.replace(
        name=name,
        about=base.about.replace(
            row=name_row(
                f"Pretrain + finetune{supervision.replace('_', ', ')} (Table II), {data}, {image_encoder}", reports
            ),
            reports=reports,
            paper_says=f"{base.about.paper_says} {says}",
            release_does=f"{base.about.release_does} The head for boxes is not in it: here a box is the extent of the "
            "soft mask.",
        ),
        config=SUPERVISION[supervision],
        stages=(boxes, learn),
    )


def build_groups(lr: float) -> dict[str, Group]:
    """Returns parameter groups with one rate, and weight decay on all parameters."""
    same = Group(lr=lr, weight_decay=0.01, undecayed=())
    return {"image_encoder": same, "word_encoder": same.replace(only=BERT_LAYERS), "fusion": same}


def name_recipe(data: str, image_encoder: str) -> str:
    """Returns the recipe's name, without that of the main image encoder."""
    return f"cmirnet_{data}" if image_encoder == "swin_base" else f"cmirnet_{data}_{image_encoder}"


RECIPES = {
    name_recipe(data, encoder): partial(cmirnet, data, encoder) for encoder in INITIAL_ENCODERS for data in CMIRNET_SETS
}
RECIPES |= {
    f"{name_recipe(data, encoder)}_release": partial(cmirnet_release, data, encoder)
    for encoder in ("swin_base", "swin_large")
    for data in CMIRNET_SETS
}
RECIPES |= {
    f"{name_recipe(data, encoder)}_pretrained{supervision}": partial(cmirnet_pretrained, data, encoder, supervision)
    for encoder in INITIAL_ENCODERS
    for supervision in SUPERVISION
    for data in CMIRNET_SETS
}
