"""The whole way of a photograph, from a file of darknet's weights to masks, with a small network of random weights."""

import hashlib
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import refseg
from refseg.cli import main
from refseg.finders import coco80, load_finder
from refseg.finders.box_masks import grabcut_mask
from refseg.finders.coco80 import COCO_CLASSES
from refseg.finders.darknet_weights import HEADER, darknet_order
from refseg.finders.published import PUBLISHED_FINDERS
from refseg.finders.yolov4_tiny import YoloV4Tiny

WIDTH = 2  # of the network, 32 in the paper
DOG, CAT = COCO_CLASSES.index("dog"), COCO_CLASSES.index("cat")


def darknet_file() -> bytes:
    """Random weights of a network to which most of what stands out is a dog, and sometimes a cat."""
    torch.manual_seed(0)
    network = YoloV4Tiny(80, width=WIDTH)
    for head in (network.coarse[1], network.fine[1]):
        for anchor in head.bias.detach().view(3, -1):
            anchor[4], anchor[5:] = -1.0, -9.0
            anchor[5 + DOG], anchor[5 + CAT] = 4.0, 0.5
        head.weight.data.mul_(6.0)
    numbers = (tensor.detach().numpy().astype("<f4").tobytes() for tensor in darknet_order(network))
    return HEADER.pack(0, 2, 5, 0) + b"".join(numbers)


@pytest.fixture
def photograph(tmp_path, monkeypatch) -> Path:
    """A picture unlike drawn scenes, in a folder of its own where the small network is coco80."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    content = darknet_file()
    sha256 = hashlib.sha256(content).hexdigest()
    entry = PUBLISHED_FINDERS["coco80"].replace(size=len(content), sha256=sha256)
    monkeypatch.setitem(PUBLISHED_FINDERS, "coco80", entry)
    monkeypatch.setattr(coco80, "YoloV4Tiny", partial(YoloV4Tiny, width=WIDTH))
    Path("yolov4-tiny.weights").write_bytes(content)
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(noise).resize((160, 120), Image.Resampling.BILINEAR).save("photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def command(monkeypatch, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["refseg", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    return run


def test_weights_are_got_from_a_file_and_answer_about_a_photograph(photograph, command):
    assert command("weights", "get", "coco80", "--file", "yolov4-tiny.weights")[0] == 0
    code, out, err = command("segment", "photo.png", "the dog on the left", "the window", "--format", "json")
    assert code == 0 and "reader answers, with the finder coco80" in err
    assert "'window' is not a thing that this finder knows" in out
    answer = json.loads(Path("photo.the-dog-on-the-left.json").read_text())
    found = load_finder("coco80").find(np.asarray(Image.open(photograph)))
    (chosen,) = [thing for thing in answer["reading"]["objects"] if thing["chosen"]]
    (same,) = [one for one in found if np.round(one.box_xyxy, 1).tolist() == chosen["box"] and one.class_name == "dog"]
    assert sum(chosen["box"][::2]) < 160  # in the left half
    assert answer["area"] == grabcut_mask(np.asarray(Image.open(photograph)), same.box_xyxy).sum()


def test_alone_and_together_give_the_same_bits(photograph, command):
    command("weights", "get", "coco80", "--file", "yolov4-tiny.weights")
    segmenter = refseg.load("reader", masker="ellipse")
    asked = ["the biggest dog", "dogs", "the darkest dog", "the dog above the biggest dog", "the", "cats and dogs"]
    together = segmenter(photograph, asked)
    assert sum(result.found for result in together) >= 4
    assert len({result.mask.tobytes() for result in together}) >= 4
    for expression, result in zip(asked, together, strict=True):
        alone = segmenter(photograph, expression)
        assert alone.to_dict() == result.to_dict() and torch.equal(alone.logits, result.logits)
