"""Exported weights answer without torch, as they do with it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import refseg
from refseg.errors import InvalidInput
from refseg.inference.exported_segmenter import load_exported


def bright(height, width):
    """A picture with a bright rectangle and noise."""
    image = np.random.default_rng(0).integers(0, 60, (height, width, 3), np.uint8)
    image[height // 4 : height // 2, width // 5 : width // 2] += 180
    return image


@pytest.mark.parametrize("size", [(64, 64), (75, 120), (300, 211)])
def test_the_results_are_those_of_the_segmenter(handmade, size):
    with_torch, without = refseg.load(handmade), load_exported(handmade)
    texts = ["the bright thing", "the dark thing"]
    for threshold in (None, 0.999):
        pairs = zip(with_torch(bright(*size), texts, threshold), without(bright(*size), texts, threshold), strict=True)
        for a, b in pairs:
            assert a.to_dict() == b.to_dict() and a.found
            assert np.array_equal(a.mask, b.mask) and np.array_equal(a.logits.numpy(), b.logits)
            assert np.array_equal(a.probability, b.probability)


def test_expressions_are_checked_alike(handmade):
    segmenters = refseg.load(handmade), load_exported(handmade)
    for bad, threshold in (([""], None), (["the " * 9], None), ("the thing", None), (["the thing"], 2.0), ([3], None)):
        errors = []
        for segmenter in segmenters:
            with pytest.raises(InvalidInput) as caught:
                segmenter.ask(bright(64, 64), bad, threshold)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]


@pytest.mark.parametrize("weights", ["selector_video", "reader", "clipseg"])
def test_weights_that_need_torch_are_left_to_the_segmenter(weights):
    assert load_exported(weights) is None


@pytest.mark.parametrize("bundled", [False, True])
def test_the_command_does_not_import_torch(handmade, tmp_path, bundled):
    Image.fromarray(bright(80, 100)).save(tmp_path / "image.png")
    code = (
        "import sys\n"
        "from refseg.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'transformers', 'timm', 'onnx'} & {*sys.modules}))"
    )
    expression = "the red star" if bundled else "the bright thing"
    words = ["segment", "image.png", expression, "--format", "all"]
    words += [] if bundled else ["--weights", str(handmade)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        env={**os.environ, "REFSEG_CACHE": str(tmp_path / "cache")},  # without a finder
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]" and expression in done.stdout
    mask = np.array(Image.open(tmp_path / f"image.{expression.replace(' ', '-')}.mask.png")) > 0
    segmenter = refseg.load() if bundled else refseg.load(handmade)
    assert np.array_equal(mask, segmenter(tmp_path / "image.png", expression).mask)
