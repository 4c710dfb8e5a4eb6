"""Every recipe of a paper: it fits the network at full size, and it runs with small encoders on a few images."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from PIL import Image
from tests.networks.test_network import TINY

from refseg.datasets import class_of
from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.datasets.drawn_clips.export import export
from refseg.networks import PRESETS, build, configured, network_class
from refseg.protocols import PROTOCOLS, VIDEO_PROTOCOLS
from refseg.recipes import RECIPES, find_recipe
from refseg.recipes.recipe import NOT_STATED, FileData, Recipe
from refseg.recipes.reported import NOT_RELEASED, NOT_REPORTED
from refseg.training.data.sources import FileSource
from refseg.training.devices import Devices
from refseg.training.loop import StageLoop
from refseg.training.parameter_groups import Length, without_decay
from refseg.training.run import train

OF_PAPERS = [name for name in RECIPES if find_recipe(name).about]
SETS = "refcoco", "refcoco+", "refcocog_umd"

# Tables and rows with the main results of each paper -> how the recipe of the row is called.
MAIN_RESULTS = {
    "CMPC, Table 1: UNC, UNC+, G-Ref, ReferIt": [
        f"cmpc_{data}{end}"
        for data in ("refcoco", "refcoco+", "refcocog_google", "referit")
        for end in ("", "_release")
    ],
    "CMPC, main results of videos: A2D Sentences and Refer-YouTube-VOS, both encoders": [
        "cmpc_video_a2d",
        "cmpc_video_a2d_i3d",
        "cmpc_video_a2d_release",
        "cmpc_video_refer_youtube_vos",
        "cmpc_video_refer_youtube_vos_i3d",
    ],
    "DMMI, Tables 1 and 2: both encoders": [
        f"dmmi_{data}{end}"
        for data in (*SETS, "refcocog_google", "refzom")
        for end in ("", "_resnet101", "_release", "_resnet101_release")
    ],
    "CMIRNet, Table I: four encoders": [
        f"cmirnet_{data}{end}" for data in (*SETS, "refclef") for end in ("", "_swin_large", "_resnet50", "_resnet101")
    ],
    "CMIRNet, Table II: pretrain and finetune with masks, boxes, both": [
        f"cmirnet_{data}{encoder}_pretrained{supervision}"
        for data in (*SETS, "refclef")
        for encoder in ("", "_swin_large", "_resnet50", "_resnet101")
        for supervision in ("", "_boxes", "_both")
    ],
    "EAVL, Table I: both forms": [f"eavl_{data}{end}" for data in SETS for end in ("", "_clip_resnet101")],
    "EAVL, Table V: hosts with the aligner": [
        name.format(data) for data in SETS for name in ("lavt_{}_aligner", "cris_{}_aligner", "vlt_{}_swin_aligner")
    ],
    "DCMFNet, main results and Table 3: three encoders": [
        f"dcmfnet_{data}{end}"
        for data in ("refcoco", "refcoco+", "refcocog_google", "refclef_berkeley")
        for end in ("", "_darknet53", "_resnet101")
    ],
    "LAVT, released results": [f"lavt_{data}{end}" for data in (*SETS, "refcocog_google") for end in ("", "_one")],
    "CRIS, released results": [
        f"cris_{data}{end}" for data in SETS for end in ("", "_resnet50", "_release", "_resnet50_release")
    ],
    "VLT, with DarkNet-53 and with Swin-B": [f"vlt_{data}{end}" for data in SETS for end in ("", "_swin")],
    "DCMFNet, Table 3: VLT on G-Ref by google": ["vlt_refcocog_google"],
    "DMMI, Table 2: others on Ref-ZOM": [f"{network}_refzom" for network in ("lavt", "vlt", "cmpc")],
}


@cache
def full_size(name: str):
    """A network without memory, whatever its losses are."""
    with torch.device("meta"):
        return build(name, {}, vocabulary_size=30522)


def network_of(recipe: Recipe):
    configured(recipe.network, recipe.config)
    changed = {"max_words", "loss", "image_encoder", "word_encoder"}  # layout of strides, dropout: no parameter changes
    assert recipe.config.keys() <= changed
    return full_size(recipe.network)


def names_of(network, part):
    ids = {id(parameter) for parameter in network.parts()[part]}
    return [name for name, parameter in network.named_parameters() if id(parameter) in ids]


@pytest.mark.parametrize("row", MAIN_RESULTS)
def test_every_main_result_of_a_paper_has_a_recipe(row):
    assert [name for name in MAIN_RESULTS[row] if name not in RECIPES] == []


@pytest.mark.parametrize("name", OF_PAPERS)
def test_a_recipe_of_a_paper_fits_the_network_at_full_size(name):
    recipe = find_recipe(name)
    network = network_of(recipe)
    assert recipe.name == name and recipe.network in PRESETS
    for stage in recipe.stages:
        assert set(stage.groups) <= set(network.parts()) and callable(getattr(network, stage.objective))
        for part, group in stage.groups.items():
            names = names_of(network, part)
            for pattern in (*group.only, *(group.undecayed or ())):
                assert any(re.search(pattern, name) for name in names), (part, pattern)
    for part in recipe.initial.keys() - {"clip", "glove", "i3d"}:
        assert network.get_submodule(part)


@pytest.mark.parametrize("name", OF_PAPERS)
def test_weights_of_torchvision_go_into_its_layout(name):
    recipe = find_recipe(name)
    if recipe.initial.get("image_encoder", "").startswith("timm/resnet"):
        assert configured(recipe.network, recipe.config).image_encoder.kind == "resnet"


@pytest.mark.parametrize("name", OF_PAPERS)
def test_a_recipe_of_a_paper_says_what_it_repeats_and_never_looks_at_a_test_split(name):
    recipe = find_recipe(name)
    assert recipe.about.row and recipe.about.protocol in {*PROTOCOLS, *VIDEO_PROTOCOLS, NOT_STATED}
    assert all(0 < value < 100 for value in recipe.about.reports.values())
    assert "--" not in recipe.about.paper_says + recipe.about.release_does  # read in Python and in YAML, too
    assert "test" not in recipe.data.train + recipe.data.validation
    assert all(stage.flip == 0 for stage in recipe.stages)  # expressions say left and right


def test_layers_of_bert_learn_from_0_to_9():
    learn = find_recipe("dmmi_refcoco").stages[0].groups["word_encoder"]
    network = network_of(find_recipe("dmmi_refcoco"))
    learning = [name for name in names_of(network, "word_encoder") if any(re.search(p, name) for p in learn.only)]
    assert {re.search(r"layer\.(\d+)\.", name)[1] for name in learning} == {str(layer) for layer in range(10)}
    assert len(learning) == 160


def test_of_vlt_the_kernels_of_convolutions_decay_and_nothing_else():
    recipe = find_recipe("vlt_refcoco")
    network, fusion = network_of(recipe), recipe.stages[0].groups["fusion"]
    named = {name: p for name, p in network.named_parameters() if name in names_of(network, "fusion")}
    decaying = named.keys() - without_decay(network, named, fusion.undecayed)
    assert decaying == {name for name, parameter in named.items() if parameter.ndim == 4}


@pytest.mark.parametrize(("name", "count"), [("lavt_refcoco", 8), ("dmmi_refcoco", 8), ("dmmi_refcoco_resnet101", 0)])
def test_of_the_fusion_the_norms_inside_of_the_encoder_do_not_decay(name, count):
    recipe = find_recipe(name)
    names = dict.fromkeys(names_of(network_of(recipe), "fusion"))
    assert len(without_decay(network_of(recipe), names, recipe.stages[0].groups["fusion"].undecayed)) == count


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four small images in the refer layout, with two referents each, and an expression about nothing."""
    root = tmp_path_factory.mktemp("refer")
    (root / "images").mkdir()
    images, annotations, refs = [], [], []
    rng = np.random.default_rng(0)
    for image in range(4):
        name = f"{image}.png"
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(root / "images" / name)
        images.append({"id": image, "file_name": name, "height": 48, "width": 64})
        for number, left in enumerate((4, 36)):
            box, corner = [left, 8, 20, 24], len(annotations) + 1
            polygon = [[left, 8, left + 20, 8, left + 20, 32, left, 32]]
            found = {"id": corner, "image_id": image, "category_id": 1, "bbox": box, "segmentation": polygon}
            annotations.append(found | {"area": 480, "iscrowd": 0})
            text = f"the {('left', 'right')[number]} cup"
            refs.append(_ref(len(refs), image, [corner], text, "train" if image < 3 else "val"))
        refs.append(_ref(len(refs), image, [-1], "the purple cow", "train" if image < 3 else "val"))
    instances = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cup"}]}
    (root / "instances.json").write_text(json.dumps(instances))
    (root / "grefs(unc).json").write_text(json.dumps(refs))
    return root


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two drawn clips in the layout of Refer-YouTube-VOS."""
    root = tmp_path_factory.mktemp("videos")
    export(DrawnClips("train", 2), root)
    return root


def _ref(number, image, targets, text, split):
    sentence = {"sent_id": number, "sent": text, "raw": text, "tokens": text.split()}
    ref = {"ref_id": number, "image_id": image, "split": split, "ann_id": targets, "category_id": 1}
    return ref | {"sentences": [sentence], "sent_ids": [number]}


def small(recipe: Recipe, root, videos=None) -> Recipe:
    """The recipe with a tiny network, few pixels, few images a step, and the data of the folder it takes."""
    family = PRESETS[recipe.network]
    settings = network_of(recipe).config
    key = f"{family} with aligner" if getattr(settings, "aligner", None) and family != "eavl" else family
    own = {name: value for name, value in recipe.config.items() if name == "loss"}
    config = TINY[key] | own | {"max_words": 8}
    if (kind := settings.word_encoder.kind) in ("lstm", "gru"):
        config["word_encoder"] = {"kind": kind, "vector": 8, "width": 16}

    if family == "cmpc_video":
        config["frames"] = settings.frames
        config |= {"image_encoder": "i3d"} if settings.image_encoder.kind == "i3d" else {}

    def few(data: FileData | None) -> FileData | None:
        if data is None:
            return None
        if class_of(data.dataset).of_clips:
            return data.replace(
                dataset="refer_youtube_vos",
                settings={"root": str(videos)},
                preprocessing=data.preprocessing.replace(side=64),
            )
        asks = {"grefs": True, "root": str(root)} | {k: v for k, v in data.settings.items() if k == "covered_twice"}
        pixels = data.preprocessing.replace(side=64)
        crop = 72 if data.crop_from else None
        return data.replace(
            dataset="refer", settings=asks, train="train", validation="val", preprocessing=pixels, crop_from=crop
        )

    stages = [s.replace(data=few(s.data), images=min(s.images, 2), steps=2, epochs=None) for s in recipe.stages]
    changes = {"name": family, "about": None, "network": family, "initial": {}, "precision": "32"}
    return recipe.replace(**changes, config=config, data=few(recipe.data), stages=tuple(stages))


def test_every_recipe_of_a_paper_takes_two_steps(folder, videos):
    """Once for all recipes between which nothing is left to tell when they are small."""
    different: dict[str, Recipe] = {}
    for name in OF_PAPERS:
        recipe = small(find_recipe(name), folder, videos)
        different.setdefault(recipe.to_yaml(), recipe)
    for recipe in different.values():
        two_steps(recipe)


def test_photographs_learnt_by_heart_are_those_of_any_folder(folder):
    recipe = find_recipe("photographs_by_heart")
    data = recipe.data.replace(dataset="refer", settings={"root": str(folder), "grefs": True, "count": 3}, workers=0)
    (learn,) = recipe.stages
    aligner = recipe.config["aligner"] | {"image_size": 64}
    small_images = data.replace(preprocessing=data.preprocessing.replace(side=64))
    two_steps(
        recipe.replace(
            config=recipe.config | {"aligner": aligner},
            data=small_images,
            stages=(learn.replace(steps=2, images=2, expressions_per_image=2),),
        )
    )


def two_steps(recipe: Recipe) -> None:
    torch.manual_seed(0)
    config, erases = configured(recipe.network, recipe.config), network_class(recipe.network).reads_erased
    tokenizer = FileSource(recipe.data, erases).tokenizer(config)
    network = build(recipe.network, config, len(tokenizer))
    for number, stage in enumerate(recipe.stages):
        source = FileSource(stage.data or recipe.data, erases)
        length = Length(2, source.steps_per_epoch(stage))
        loop = StageLoop(Fabric(accelerator="cpu"), network, stage, length, Path(), (0, number))
        before = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
        batches = source.batches(stage, tokenizer, (0, number))
        steps = map(batches.__getitem__, range(2 * stage.accumulate))
        for _ in range(2):
            loop.train_step(steps)
        after = dict(network.named_parameters())
        moved = [name for name, value in before.items() if not torch.equal(value, after[name])]
        assert loop.step == 2 and len(moved) > len(before) / 2, (recipe.network, stage.name)


def test_a_stage_with_data_of_its_own_is_validated_on_that_of_the_recipe(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    recipe = small(find_recipe("cmirnet_refcoco_pretrained"), folder)
    boxes, learn = recipe.stages
    own = boxes.data.replace(workers=0, validation="nowhere")
    recipe = recipe.replace(data=recipe.data.replace(workers=0), stages=(boxes.replace(data=own), learn))
    train(recipe, tmp_path / "run", resume=False, devices=Devices(accelerator="cpu"))
    for stage in ("boxes", "learn"):
        log = (tmp_path / "run" / "logs" / stage / "metrics.csv").read_text()
        assert "val/oIoU" in log.splitlines()[0]
    assert (tmp_path / "run" / "weights" / "card.md").is_file()


def test_training_images_are_cropped_from_a_larger_square_and_others_are_not(folder):
    recipe = small(find_recipe("cmirnet_refcoco_resnet50"), folder)
    source = FileSource(recipe.data, erases=False)
    tokenizer = source.tokenizer(configured(recipe.network, recipe.config))
    assert recipe.data.crop_from == 72 and source.preprocessing.side == 64
    batch, whole = source.batches(recipe.stages[0], tokenizer, (0, 0))[0], source.validation(tokenizer, 1)[0]
    assert batch.image.shape[-2:] == batch.truth.shape[-2:] == (64, 64)
    assert whole.image.shape[-2:] == whole.truth.shape[-2:] == (64, 64)
    cup = (48 * 64) / (20 * 24)  # of the image
    assert whole.truth[0].sum() == pytest.approx(64 * 64 / cup, rel=0.1)


def test_a_recipe_without_figures_of_the_paper_says_so():
    assert find_recipe("cmirnet_refcoco_swin_large").about.row == "Table I, refcoco, swin_large (not in the paper)"
    assert find_recipe("dmmi_refzom").about.row == "Table 2, refzom, swin_base"
    assert find_recipe("dmmi_refcoco_release").about.row == "Table 1, refcoco, swin_base (no figures released)"
    for name in OF_PAPERS:
        about = find_recipe(name).about
        notes = about.row.count(NOT_REPORTED) + about.row.count(NOT_RELEASED)
        assert notes == (not about.reports), name
