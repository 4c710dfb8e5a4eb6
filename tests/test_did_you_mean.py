"""A name with a slip in it is answered with the one that was meant, whatever table it is of."""

import ast
from pathlib import Path

import pytest

import refseg
from refseg import datasets, networks, protocols
from refseg.adapters.catalogue import adapter_entry
from refseg.checkpoints import catalogue, locate
from refseg.commands.matching import match
from refseg.commands.train import train
from refseg.conversion.official_layout import check_conversion
from refseg.errors import InvalidInput, MissingFile
from refseg.finders import load_finder
from refseg.finders.box_masks import find_masker
from refseg.hardware import check_device_name
from refseg.recipes import RECIPES, find_recipe

PACKAGE = Path(refseg.__file__).parent


def settings(*texts: str):
    return lambda: find_recipe("lavt_refcoco").with_settings(list(texts))


@pytest.mark.parametrize(
    ("ask", "meant"),
    [
        (lambda: datasets.class_of("RefCOCOg"), "refcocog"),
        (lambda: datasets.class_of("refcocoo"), "refcoco"),
        (lambda: datasets.check_settings("refcoco", ["rot"]), "root"),
        (lambda: datasets.build("drawn_scenes", split="tset"), "test"),
        (lambda: datasets.build("drawn_clips", split="vall"), "val"),
        (lambda: datasets.build("drawn_scenes", split="val", tier="hrad"), "hard"),
        (lambda: networks.network_class("lavt_swin_bse"), "lavt_swin_base"),
        (lambda: networks.configured("lavt_small", {"max_word": 3}), "max_words"),
        (lambda: networks.configured("lavt_small", {"image_encoder": {"kind": "swin", "widht": 3}}), "width"),
        (lambda: protocols.build("standrad"), "standard"),
        (lambda: protocols.build_for("refcoco", ["lvat"]), "lavt"),
        (lambda: catalogue.find_published("lavt-swin-bse/refcoco"), "lavt_swin_base/refcoco"),
        (lambda: locate.find("selctor"), "selector"),
        (lambda: find_recipe("selector_quik"), "selector_quick"),
        (lambda: match("selector_quik", RECIPES, "recipes"), "selector_quick"),
        (settings("stages.learn.step=3"), "steps"),
        (settings("data.setings.root=x"), "settings"),
        (lambda: load_finder("coco-80"), "coco80"),
        (lambda: find_masker("grabcat"), "grabcut"),
        (lambda: check_conversion("lvat"), "lavt"),
        (lambda: adapter_entry("sam_3"), "sam3"),
        (lambda: check_device_name("cdua"), "cuda"),
        (lambda: train("selector", accelerator="gpus"), "gpu"),
    ],
)
def test_what_was_meant_is_named(ask, meant):
    with pytest.raises((InvalidInput, MissingFile)) as caught:
        ask()
    assert f"did you mean {meant}" in str(caught.value)


def test_every_list_of_choices_after_an_unknown_name_says_what_was_meant():
    """So that a new table does not go without: who writes "choose one of" by hand has no name to compare."""
    by_hand = {
        (file.name, string.lineno)
        for file in PACKAGE.rglob("*.py")
        for string in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(string, ast.JoinedStr)
        and any("choose one of: " in str(getattr(text, "value", "")) for text in string.values)
        and "meant" not in ast.unparse(string)
        and " holds " not in ast.unparse(string)  # what it names is known, and does not fit
    }
    assert {file for file, _ in by_hand} == {"errors.py"}, by_hand
