"""Official files of full size, made from the goldens' layouts, through the commands and back."""

import argparse
import functools
import re

import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from refseg.checkpoints.io import load_checkpoint
from refseg.cli import app
from refseg.conversion import fit_report, mapping
from refseg.conversion.official_layout import find_layout

ONE = "lavt_one_swin_base"  # LAVT with its BERT in the network's state dict
NAMES = ["dmmi_swin_base", "dmmi_resnet101", "cmirnet_swin_base", "cmirnet_resnet50", "lavt_swin_base", ONE]
INSIDE = "text_encoder."
WITHOUT_POOLER = ("dmmi", "lavt")  # their releases have none


def convert(*arguments: object) -> str:
    asked = ["convert", *map(str, arguments)]
    return CliRunner().invoke(app, asked, catch_exceptions=False, standalone_mode=False).output


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_those_of_the_authors(golden, name):
    entries = [("model", entry) for entry in golden(name).about["state_dict"]]
    if name != ONE:
        entries += [("bert_model", entry) for entry in golden("bert_base").about["state_dict"]]
    with torch.device("meta"):
        tensors = {f"{part}.{entry['name']}": torch.empty(entry["shape"]) for part, entry in entries}
    _, _, report = mapping.compare(find_layout(name.split("_")[0]), tensors)
    assert report.preset == name.replace("_one", "") and report.fits, fit_report.misfits(report)
    aliases = {f"model.{e['name']}": f"model.{e['alias_of']}" for _, e in entries if e.get("alias_of")}
    assert report.aliases == aliases


@pytest.mark.full_size
@pytest.mark.parametrize("name", NAMES)
def test_a_converted_network_answers_as_the_authors_and_its_weights_go_back(golden, name, tmp_path):
    g, bert, network_name = golden(name), golden("bert_base"), name.split("_")[0]
    words = bert.weights()
    if network_name in WITHOUT_POOLER:
        words = {key: value for key, value in words.items() if not key.startswith("pooler.")}
    weights = g.weights()
    structural = [entry for entry in g.about["state_dict"] if entry["name"] not in weights]
    weights |= {entry["name"]: torch.zeros(entry["shape"], dtype=torch.int64) for entry in structural}
    release = {"model": weights, "bert_model": words, "args": argparse.Namespace(img_size=g.about["image_size"])}
    if name == ONE:
        del release["bert_model"]
    torch.save(release, tmp_path / "official.pth")

    out = convert(network_name, tmp_path / "official.pth", "--out", tmp_path / "ours")
    assert out.startswith(f"{name.replace('_one', '')}: ")
    checkpoint = load_checkpoint(tmp_path / "ours")
    assert checkpoint.preprocessing.side == g.about["image_size"]
    check_answers(g, bert, checkpoint.network)
    del checkpoint

    convert(network_name, tmp_path / "ours", "--to-official", "--out", tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True, mmap=True)
    filled = re.findall(r"^ +\d+  (\S+)$", out, re.MULTILINE)
    release.pop("args")
    if name == ONE:  # it comes back in the other form
        inside = [key for key in weights if key.startswith(INSIDE)]
        release["bert_model"] = {key.removeprefix(INSIDE): weights.pop(key) for key in inside}
    for part, tensors in release.items():
        assert back[part].keys() == tensors.keys()
        for key, value in tensors.items():
            if not torch.equal(back[part][key], value):
                never_acts = [p for p in filled if matches(p, f"{part}.{key}")]
                assert never_acts, f"{part}.{key} came back with other values"


@pytest.mark.full_size
@torch.inference_mode()
def test_a_converted_cris_answers_as_the_authors_and_its_weights_go_back(golden, tmp_path):
    g = golden("cris_resnet50")
    weights = {f"module.{name}": value for name, value in g.weights().items()}
    torch.save({"epoch": 35, "state_dict": weights}, tmp_path / "official.pth")
    out = convert("cris", tmp_path / "official.pth", "--out", tmp_path / "ours", "--max-words", 22)
    assert out.startswith("cris_resnet50: ") and "backbone.logit_scale" in out
    checkpoint = load_checkpoint(tmp_path / "ours")
    assert checkpoint.preprocessing.side == 416 and checkpoint.tokenizer.max_words == 22

    tokens, word_mask = g.input("tokens", "input/tokens", [11], 17)
    tokens[:, 0], tokens[:, 10] = 49406, 49407
    output = checkpoint.network(g.input("image", "input/image", 1, 416, 416), tokens, word_mask.bool())
    g.check_mask(output.logits)

    convert("cris", tmp_path / "ours", "--to-official", "--out", tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True, mmap=True)["state_dict"]
    assert back.keys() == weights.keys()
    changed = [name for name, value in weights.items() if not torch.equal(back[name], value)]
    assert changed == ["module.backbone.logit_scale"]


@torch.inference_mode()
def check_answers(g, bert, network):
    tokens, word_mask = bert.input("tokens", "input/tokens", [11])
    (g if g.name == ONE else bert).check("text", network.encode_words(tokens, word_mask.bool()).mT, tolerance=1e-4)
    side = g.about["image_size"]
    if g.name == ONE:
        text = network.encode_words(tokens, word_mask.bool())
    else:
        text = g.input("noise", "input/text", (1, 768, 20)).mT
    word_mask = g.input("tokens", "input/tokens", [11])[1].bool()
    features, index = network.encode_image(g.input("image", "input/image", 1, side, side)), torch.zeros(1, dtype=int)
    if g.about["network"] == "DMMI":
        logits = network.decoder(*network.fused_stages(features.first, text, word_mask))
        both, corners = logits.permute(0, 3, 1, 2), True
    elif g.about["network"] == "LAVT":
        both, corners = network.decoder(network.levels(features.first, text, word_mask)).permute(0, 3, 1, 2), True
    else:
        finest = network.stages[0]
        head, x = (
            network.heads[str(finest)],
            network.decoder(network.compute_decoder_inputs(features, text, word_mask, index))[finest],
        )
        both, corners = F.conv2d(x, head.weight, head.bias, padding=1), False
    g.check("out", F.interpolate(both, (side, side), mode="bilinear", align_corners=corners), tolerance=1e-4)
    g.check_mask(network.fuse(features, text, word_mask, index).logits)


@functools.cache
def expression(pattern):
    return re.compile(re.escape(pattern).replace(r"\*", ".*"))


def matches(pattern, name):
    return expression(pattern).fullmatch(name)
