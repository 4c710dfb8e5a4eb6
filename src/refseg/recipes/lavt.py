"""LAVT's training on photographs, with the cross-entropy of the paper (lavt) and with a Dice loss (lavt_one).

Run       refseg train lavt_refcoco
Measured  not run yet
"""

from functools import partial

from refseg.preprocessing.transform import photographs
from refseg.recipes.photograph_sets import (
    BERT,
    BERT_LAYERS,
    BY_DMMI_NOTE,
    SWIN_BASE,
    SWIN_UNDECAYED,
    build_photograph_data,
)
from refseg.recipes.recipe import Group, PaperReference, Recipe, Stage
from refseg.recipes.reported import NOT_RELEASED, REPORTED, name_row
from refseg.recipes.schedules import Polynomial

SPLITS = {"refcoco": ("val", "testA", "testB"), "refcoco+": ("val", "testA", "testB"), "refcocog_umd": ("val", "test")}
RELEASED_FIGURES = {  # figures of the released weights: oIoU and mIoU of the splits
    "refcoco": ((72.73, 75.82, 68.79), (74.46, 76.89, 70.94)),
    "refcoco+": ((62.14, 68.38, 55.10), (65.81, 70.97, 59.23)),
    "refcocog_umd": ((61.24, 62.09), (63.34, 63.62)),
    "refcocog_google": ((60.50,), ()),
}
RELEASED_FIGURES_ONE = {
    "refcoco": ((73.50, 75.97, 69.33), (75.41, 77.31, 71.86)),
    "refcoco+": ((63.79, 69.79, 56.49), (67.65, 72.53, 61.22)),
    "refcocog_umd": ((64.02, 64.49), (67.41, 67.45)),
    "refcocog_google": ((), ()),
}


def lavt(data: str) -> Recipe:
    """Returns the recipe of a row of the released results, with two-class cross-entropy."""
    lr, decay = 5e-5, 0.01
    learn = Stage(
        name="learn",
        groups={
            "image_encoder": Group(lr=lr, weight_decay=decay, undecayed=SWIN_UNDECAYED),
            "word_encoder": Group(lr=lr, weight_decay=decay, only=BERT_LAYERS, undecayed=()),
            "fusion": Group(lr=lr, weight_decay=decay, undecayed=(r"^fusions\.\d\.norm\.",)),
        },
        epochs=40,
        images=32,
        expressions_per_image=1,
        betas=(0.9, 0.999),
        schedule=Polynomial(power=0.9),
        flip=0,
    )
    return Recipe(
        name=f"lavt_{data}",
        about=PaperReference(
            row=f"released results, lavt, {data}",
            reports=name_figures(data, *RELEASED_FIGURES[data]),
            protocol="lavt",
            paper_says="Cross-entropy; 40 epochs of batches of 32.",
            release_does="Classes weighted 0.9 and 1.1; BERT without dropout; only its layers 0 to 9 learn; norms of "
            "the decoder decay, those of the encoder do not.",
        ),
        network="lavt_swin_base",
        data=build_photograph_data(data, "lost", preprocessing=photographs(480)),
        initial={"image_encoder": SWIN_BASE, "word_encoder": BERT},
        stages=(learn,),
        precision="32",
    )


def lavt_one(data: str) -> Recipe:
    """Returns the recipe of the released weights of lavt_one, as far as it is known."""
    base, reports = lavt(data), name_figures(data, *RELEASED_FIGURES_ONE[data])
    return base.replace(
        name=f"{base.name}_one",
        about=PaperReference(
            row=name_row(f"released results, lavt_one, {data}", reports, NOT_RELEASED),
            reports=reports,
            protocol="lavt",
            release_does="A Dice loss whose code is not released: the one here is ours. Its BERT has dropout.",
        ),
        config={"loss": "dice", "word_encoder": {"kind": "bert", "dropout": 0.1}},
    )


def name_figures(data: str, o_ious: tuple[float, ...], m_ious: tuple[float, ...]) -> dict[str, float]:
    """Returns reported figures by their names in the release."""
    splits = SPLITS.get(data, ("val",))
    return {
        f"{split} {metric}": value
        for metric, values in (("oIoU", o_ious), ("mIoU", m_ious))
        for split, value in zip(splits, values, strict=False)
    }


def lavt_refzom() -> Recipe:
    """Returns the recipe of a row of DMMI's Table 2."""
    base = lavt("refcoco")
    return base.replace(
        name="lavt_refzom",
        about=PaperReference(
            row="DMMI's Table 2, LAVT",
            reports=REPORTED["lavt_refzom"],
            protocol="dmmi",
            paper_says=f"Cross-entropy; 40 epochs of batches of 32.{BY_DMMI_NOTE}",
        ),
        data=build_photograph_data("refzom", preprocessing=photographs(480)),
    )


RECIPES = {f"lavt_{data}": partial(lavt, data) for data in RELEASED_FIGURES} | {"lavt_refzom": lavt_refzom}
RECIPES |= {f"lavt_{data}_one": partial(lavt_one, data) for data in RELEASED_FIGURES}
