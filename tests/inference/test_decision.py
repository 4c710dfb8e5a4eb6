"""Results say which decided, the mask or the threshold of existence, and whether the image is familiar."""

import numpy as np
import pytest

import refseg
from refseg.cli import main
from refseg.errors import InvalidInput
from refseg.inference import segmenter as segmenter_module


@pytest.fixture(scope="module")
def segmenter() -> refseg.Segmenter:
    return refseg.load()


@pytest.fixture(scope="module")
def scene():
    return refseg.load_dataset("drawn_scenes", split="test", count=1)[0]


def test_the_threshold_of_a_result_is_that_of_the_checkpoint_or_of_the_call(segmenter, scene):
    expressions = [expression.text for expression in scene.expressions]
    own = segmenter.checkpoint.calibration.exists_threshold
    for threshold, results in (
        (own, segmenter(scene.image, expressions)),
        (0.2, segmenter(scene.image, expressions, 0.2)),
    ):
        assert {result.exists_threshold for result in results} == {threshold}
        for result in results:
            assert result.found == (result.decided_by == "mask")
            assert (result.exists > threshold) == (result.decided_by != "existence threshold")
    assert not segmenter(scene.image, "the green ring").found


def test_where_a_high_threshold_empties_the_mask_it_is_what_decided(segmenter, scene):
    result = segmenter(scene.image, "the pentagons", 0.9999999)
    assert not result.found and result.decided_by == "existence threshold"
    assert "below the threshold" in result.verdict


def test_a_video_s_frames_say_it_too(segmenter, scene):
    [one] = segmenter.video([scene.image], "the pentagons", 0.3)
    assert one.exists_threshold == 0.3 and one.familiar


def test_whether_weights_know_an_image_is_looked_at_once(segmenter, scene, monkeypatch):
    looked, look = [], segmenter_module.is_unfamiliar
    monkeypatch.setattr(segmenter_module, "is_unfamiliar", lambda *given: looked.append(1) or look(*given))
    assert segmenter.knows(scene.image) is True and looked == [1]


def test_a_batch_is_checked_at_once_and_its_results_come_one_by_one(segmenter, scene, monkeypatch):
    images, expressions = segmenter.encode([scene.image, scene.image]), [["the star"], ["the ring", "the star"]]
    with pytest.raises(InvalidInput, match="2 images and 1 list of expressions"):
        segmenter.ask_batch(images, expressions[:1])
    predicted, predict = [], segmenter_module.predict_encoded
    monkeypatch.setattr(
        segmenter_module,
        "predict_encoded",
        lambda *given, **more: (predicted.append(1) or one for one in predict(*given, **more)),
    )
    monkeypatch.setattr("refseg.inference.chunks.PIXELS_AT_ONCE", 1)  # one expression at once
    results = segmenter.ask_batch(images, expressions)
    assert [(index, one.expression, len(predicted)) for index, one in results] == [
        (0, "the star", 1), (1, "the ring", 2), (1, "the star", 3),
    ]  # fmt: skip


def test_noise_is_unfamiliar_and_its_picture_is_no_answer(segmenter, scene):
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    strange, known = segmenter(noise, "the star"), segmenter(scene.image, "the pentagons")
    assert known.familiar and not strange.familiar and any("unlike" in warning for warning in strange.warnings)
    below = np.asarray(strange.overlay()).astype(int)[64:]
    assert np.ptp(below, axis=-1).max() == 0 and np.ptp(np.asarray(known.overlay()), axis=-1).max() > 50


def test_the_terminal_and_json_say_the_same(segmenter, scene, tmp_path, monkeypatch, capsys):
    from PIL import Image

    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["refseg", "segment", "scene.png", "the green ring", "--out", "o", "--format", "json"]
    )
    with pytest.raises(SystemExit):
        main()
    said, json = capsys.readouterr().out, (tmp_path / "o" / "scene.the-green-ring.json").read_text()
    own = segmenter.checkpoint.calibration.exists_threshold
    assert f"is below the threshold {own:.1%}" in said and '"decided_by": "existence threshold"' in json
