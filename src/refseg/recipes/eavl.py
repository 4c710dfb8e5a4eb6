"""EAVL's training on photographs, and that of its hosts with its aligner (Table V); its code is not public.

Run       refseg train eavl_refcoco
Measured  not run yet
"""

from functools import partial
from typing import Any

from refseg.preprocessing.transform import clip_photographs, photographs
from refseg.recipes.photograph_sets import BERT, REFCOCO_SETS, SWIN_BASE, build_photograph_data
from refseg.recipes.recipe import NOT_STATED, Group, PaperReference, Recipe, Stage
from refseg.recipes.reported import REPORTED
from refseg.recipes.schedules import Polynomial

ALL_PARAMETERS = Group(lr=5e-5)
LEARN_STAGE = Stage(
    name="learn",
    groups={"image_encoder": ALL_PARAMETERS, "word_encoder": ALL_PARAMETERS, "fusion": ALL_PARAMETERS},
    epochs=40,
    images=32,
    expressions_per_image=1,
    optimiser="adam",
    betas=(0.9, 0.999),
    schedule=Polynomial(power=0.9),
    flip=0,
)
PAPER_SAYS = (
    "Adam, learning rate 5e-5, a polynomial schedule, batches of 32 on 8 GPUs, 40 epochs. Assumed here: its power 0.9, "
    "no weight decay, one rate for all."
)
LIKE_LAVT: dict[str, Any] = {"covered_twice": "lost", "preprocessing": photographs(480)}
LIKE_CRIS: dict[str, Any] = {"mask": "soft", "preprocessing": clip_photographs(416)}
SWIN_AND_BERT = {"image_encoder": SWIN_BASE, "word_encoder": BERT}
CLIP_RESNET_101 = {"clip": "RN101.pt"}
HOSTS = {  # recipe's name -> network, protocol of its release, data, initial weights
    "lavt_{}_aligner": ("lavt_swin_base_aligner", "lavt", LIKE_LAVT, SWIN_AND_BERT),
    "cris_{}_aligner": ("cris_resnet101_aligner", "cris", LIKE_CRIS, CLIP_RESNET_101),
    "vlt_{}_swin_aligner": ("vlt_swin_aligner", NOT_STATED, LIKE_LAVT, SWIN_AND_BERT),
}


def eavl(data: str) -> Recipe:
    """Returns the recipe of a row of Table I with Swin-B and BERT."""
    return Recipe(
        name=f"eavl_{data}",
        about=PaperReference(
            row=f"Table I, {data}, Swin-B and BERT",
            reports=REPORTED[f"eavl_{data}"],
            protocol=NOT_STATED,
            paper_says=PAPER_SAYS,
        ),
        network="eavl_swin_base",
        config={"max_words": choose_max_words(data)},
        data=build_photograph_data(data, **LIKE_LAVT),
        initial=SWIN_AND_BERT,
        stages=(LEARN_STAGE,),
    )


def eavl_clip(data: str) -> Recipe:
    """Returns the recipe of a row of Table I with CLIP's ResNet-101; details that the paper omits are CRIS's."""
    return Recipe(
        name=f"eavl_{data}_clip_resnet101",
        about=PaperReference(
            row=f"Table I, {data}, CLIP ResNet-101",
            reports=REPORTED[f"eavl_{data}_clip_resnet101"],
            protocol=NOT_STATED,
            paper_says=f"{PAPER_SAYS} Images of 480 x 480, but its multiply-adds are those of CRIS's 416 x 416.",
        ),
        network="eavl_clip_resnet101",
        config={"max_words": choose_max_words(data)},
        data=build_photograph_data(data, **LIKE_CRIS),
        initial=CLIP_RESNET_101,
        stages=(LEARN_STAGE,),
    )


def host_with_aligner(data: str, name: str) -> Recipe:
    """Returns the recipe of a row of Table V: a host with the aligner, in "the same training settings"."""
    network, protocol, photographs_in, initial = HOSTS[name]
    return Recipe(
        name=name.format(data),
        about=PaperReference(
            row=f"EAVL's Table V, {data}, {network}",
            reports=REPORTED[name.format(data)],
            protocol=protocol,
            paper_says=PAPER_SAYS,
        ),
        network=network,
        config={"max_words": choose_max_words(data)} if network.startswith("cris") else {},
        data=build_photograph_data(data, **photographs_in),
        initial=initial,
        stages=(LEARN_STAGE,),
    )


def choose_max_words(data: str) -> int:
    """Returns the largest number of words, special ones included."""
    return 22 if data.startswith("refcocog") else 17


RECIPES = {f"eavl_{data}": partial(eavl, data) for data in REFCOCO_SETS}
RECIPES |= {f"eavl_{data}_clip_resnet101": partial(eavl_clip, data) for data in REFCOCO_SETS}
RECIPES |= {name.format(data): partial(host_with_aligner, data, name) for name in HOSTS for data in REFCOCO_SETS}
