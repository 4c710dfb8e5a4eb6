"""CMPC's training on photographs: Table 1 of the paper, and as in the authors' released code.

Run       refseg train cmpc_refcoco
Measured  not run yet

UNC is refcoco, UNC+ refcoco+, G-Ref refcocog by google.
"""

from functools import partial
from typing import Any

from refseg.preprocessing.transform import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from refseg.recipes.photograph_sets import BY_DMMI_NOTE, GLOVE, RESNET_101, build_photograph_data
from refseg.recipes.recipe import Group, PaperReference, Recipe, Stage
from refseg.recipes.reported import REPORTED
from refseg.recipes.schedules import Polynomial

PAPER_NAMES = {"refcoco": "UNC", "refcoco+": "UNC+", "refcocog_google": "G-Ref", "referit": "ReferIt"}
RELEASED_MEAN = 122.67891434, 116.66876762, 104.00698793
LR = 2.5e-4


def build_stage(steps: int, over: int, validate_every: int) -> Stage:
    """Returns a stage of one expression per step, on a schedule to step `over`, with a frozen image encoder."""
    return Stage(
        name="learn",
        groups={"word_encoder": Group(lr=LR), "fusion": Group(lr=LR)},
        steps=steps,
        images=1,
        expressions_per_image=1,
        optimiser="adam",
        betas=(0.9, 0.999),
        schedule=Polynomial(power=0.9, final=1e-5 / LR, over=over),
        flip=0,
        validate_every=validate_every,
    )


def cmpc(data: str) -> Recipe:
    """Returns the recipe of a row of Table 1: three rounds of TGFE, and two graph layers on G-Ref."""
    return Recipe(
        name=f"cmpc_{data}",
        about=PaperReference(
            row=f"Table 1, {PAPER_NAMES[data]}",
            reports=REPORTED[f"cmpc_{data}"],
            protocol="cmpc",
            paper_says="3 rounds of TGFE, 2 graph layers on G-Ref and 1 elsewhere; the loss is averaged over pixels; "
            "its figures are with DenseCRF. The image encoder is DeepLab-ResNet-101 of PASCAL VOC, frozen. Here it "
            "is torchvision's of ImageNet, since DeepLab's weights, for another layout of strides and padding, come "
            "with the released checkpoints only: after `refseg convert cmpc`, take cmpc_*_release, or set "
            "initial.image_encoder to the folder, config.image_encoder to deeplab_resnet101, data.preprocessing.mean "
            "to [122.67891434, 116.66876762, 104.00698793] and data.preprocessing.std to 1.",
            release_does="700,000 steps of one expression, on a schedule that would end at 800,000; 2 rounds, 1 graph "
            "layer. On ReferIt it trains on train and val together, so validation tells little there.",
        ),
        network="cmpc_gref" if data == "refcocog_google" else "cmpc",
        config={"image_encoder": "resnet101_stride8"},
        data=build_photograph_data(
            data, item="expression", mask="touched", preprocessing=build_letterbox(IMAGENET_MEAN, IMAGENET_STD)
        ),
        initial={"image_encoder": RESNET_101, "glove": GLOVE},
        stages=(build_stage(700_000, over=800_000, validate_every=50_000),),
        precision="32",
    )


def cmpc_refzom() -> Recipe:
    """Returns the recipe of a row of DMMI's Table 2."""
    base = cmpc("refcoco")
    assert base.about is not None
    says = base.about.paper_says
    pixels = build_letterbox(IMAGENET_MEAN, IMAGENET_STD)
    return base.replace(
        name="cmpc_refzom",
        about=base.about.replace(
            row="DMMI's Table 2, CMPC",
            reports=REPORTED["cmpc_refzom"],
            protocol="dmmi",
            paper_says=f"{says.replace('its figures are with DenseCRF', 'without DenseCRF')}{BY_DMMI_NOTE}",
            release_does="700,000 steps of one expression, on a schedule that would end at 800,000.",
        ),
        data=build_photograph_data("refzom", mask="touched", preprocessing=pixels),
    )


def cmpc_release(data: str) -> Recipe:
    """Returns the recipe of the released code, whose README quotes the figures of Table 1."""
    base = cmpc(data)
    assert base.about is not None
    return base.replace(
        name=f"{base.name}_release",
        about=base.about.replace(
            paper_says="3 rounds of TGFE, 2 graph layers on G-Ref; the loss is averaged over pixels.",
            release_does="2 rounds, 1 graph layer, the loss is summed over pixels, logits are enlarged by corners. "
            "initial.image_encoder is the folder that `refseg convert cmpc` makes of a released checkpoint: its image "
            "encoder is the one that they started from, since it was frozen.",
        ),
        network="cmpc_release",
        config={},
        data=base.data.replace(preprocessing=build_letterbox(RELEASED_MEAN, 1.0)),
        initial=base.initial | {"image_encoder": "cmpc_released"},
    )


def build_letterbox(mean: tuple[float, float, float], std: Any) -> Preprocessing:
    """Returns the preprocessing: a letterbox on black of 320 pixels."""
    return Preprocessing(resize="letterbox_rounded", side=320, mean=mean, std=std, multiple_of=8, padding="black")


RECIPES = {f"cmpc_{data}": partial(cmpc, data) for data in PAPER_NAMES} | {"cmpc_refzom": cmpc_refzom}
RECIPES |= {f"cmpc_{data}_release": partial(cmpc_release, data) for data in PAPER_NAMES}
