"""Recipes by name: `RECIPES` is the table; each entry is a function that returns a `Recipe`.

Recipes of a paper are named NETWORK_DATA[_ENCODER][_VARIANT], without the encoder if it is the paper's main one:
dmmi_refcoco, dmmi_refcoco+_resnet101, cris_refcocog_umd_resnet50_release.
"""

from collections.abc import Callable
from pathlib import Path

from refseg.adapters import ADAPTERS
from refseg.errors import InvalidInput, did_you_mean
from refseg.extensions import look_up
from refseg.recipes import (
    cmirnet,
    cmpc,
    cmpc_video,
    cris,
    dcmfnet,
    dmmi,
    eavl,
    finetune,
    lavt,
    overfit,
    selector,
    small,
    vlt,
)
from refseg.recipes.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    "selector": selector.selector,
    "selector_quick": selector.selector_quick,
    "selector_1": selector.selector_1,
    "selector_chooser": selector.selector_chooser,
    "selector_video": selector.selector_video,
    "small_image_encoder": selector.small_image_encoder,
    "small_objects": small.small_objects,
    "small_words": small.small_words,
    "selector_first_version": selector.selector_first_version,
    "photographs_by_heart": overfit.photographs_by_heart,
    "finetune": finetune.finetune,
    "dmmi_small": small.dmmi_small,
    "cmirnet_small": small.cmirnet_small,
    "lavt_small": small.lavt_small,
    "lavt_small_aligner": small.lavt_small_aligner,
    "eavl_small": small.eavl_small,
    "cris_small": small.cris_small,
    "cris_small_aligner": small.cris_small_aligner,
    "vlt_small": small.vlt_small,
    "vlt_small_aligner": small.vlt_small_aligner,
    "dcmfnet_small": small.dcmfnet_small,
    "cmpc_small": small.cmpc_small,
    "cmpc_video_small": small.cmpc_video_small,
}
for paper in (cmpc, cmpc_video, dmmi, cmirnet, eavl, dcmfnet, lavt, cris, vlt):
    RECIPES |= paper.RECIPES


def find_recipe(name: str) -> Recipe:
    """Returns the recipe of that name, or of a YAML file.

    Raises:
        InvalidInput: for a name that is in no table and not a YAML file.
    """
    if name.endswith((".yaml", ".yml")):
        return Recipe.from_yaml(Path(name))
    found = look_up(RECIPES, "refseg.recipes", name)
    if found is None:
        if name.partition(":")[0] in ADAPTERS:
            raise InvalidInput(f"{name} is an open model, used as its authors trained it; refseg recipes lists others")
        raise InvalidInput(
            f"unknown recipe {name!r}; {did_you_mean(name, RECIPES)}choose one that `refseg recipes` lists, such as "
            "selector, or give a .yaml file"
        )
    recipe: Recipe = found() if callable(found) else found
    return recipe
