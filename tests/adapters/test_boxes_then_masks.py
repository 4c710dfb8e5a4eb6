"""gdino_sam2, mmgdino_sam2, owlv2_sam2, florence2_sam2, qwen3vl_sam2: tiny random ones, loaded by name."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import refseg
from conftest import fused, noise, pixels
from refseg.adapters.boxes import Boxes, GroundingDino, Owlv2, best_boxes
from refseg.adapters.catalogue import CATALOGUE
from refseg.adapters.entries.maskers import MASKERS
from refseg.adapters.local_model import LocalModel
from refseg.adapters.masker import load_masker
from refseg.errors import InvalidInput
from refseg.finders.box_masks import MODEL_MASKERS

SCORED = ["gdino", "mmgdino", "owlv2"]
EXPRESSIONS = ["the dog", "a very long expression. about a small dog? on the chair near the window", "cat"]
WIDE, HIGH = (90, 120), (120, 70)


@pytest.fixture(scope="session")
def segmenters(folders, tmp_path_factory):
    """Loaded segmenters by the name of the detector and settings."""
    loaded = {}

    def load(detector, /, drawn_by="sam2", **settings):
        limit = {"florence2": {"max_pieces": 20}, "qwen3vl": {"max_pieces": 16, "dtype": "float32"}}
        settings = limit.get(detector, {}) | settings
        key = detector, drawn_by, *settings.items()
        if key not in loaded:
            folder = tmp_path_factory.mktemp(detector)
            (folder / "detector").symlink_to(folders[detector])
            (folder / "masker").symlink_to(folders[drawn_by])
            loaded[key] = refseg.load(f"{detector}_sam2={folder}", **settings)
        return loaded[key]

    return load


@pytest.mark.parametrize("name", SCORED)
def test_an_expression_alone_has_the_answer_that_it_has_among_others(segmenters, name):
    segmenter, images = segmenters(name), [noise(*WIDE), noise(*WIDE, seed=1)]
    together = fused(segmenter, images, [*EXPRESSIONS, *EXPRESSIONS], [0, 0, 0, 1, 1, 1])
    for m, expression in enumerate([*EXPRESSIONS, *EXPRESSIONS]):
        alone = fused(segmenter, [images[m // 3]], [expression], [0])
        torch.testing.assert_close(alone.exists[0], together.exists[m], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.logits.amax(), together.logits[m].amax(), atol=1e-5, rtol=1e-5)
        if len(alone.referents[0]):
            torch.testing.assert_close(alone.referents[0], together.referents[m], atol=1e-5, rtol=1e-5)
    assert len({round(value, 4) for value in together.exists.tolist()}) == 6, "expressions and images matter"


@pytest.mark.parametrize("name", [*SCORED, "florence2"])
def test_images_of_several_sizes_have_the_answers_that_they_have_alone(segmenters, name):
    segmenter, images = segmenters(name), [noise(*WIDE), noise(*HIGH), noise(*WIDE, seed=1)]
    for image, results in zip(images, segmenter.batch(images, [EXPRESSIONS[:2]] * 3), strict=True):
        for expression, result in zip(EXPRESSIONS[:2], results, strict=True):
            alone = segmenter(image, expression)
            assert result.mask.shape == image.shape[:2] and abs(result.exists - alone.exists) < 1e-5
            assert (result.mask != alone.mask).mean() < 1e-3


def test_without_its_full_stop_grounding_dino_would_answer_otherwise_in_a_batch(segmenters, monkeypatch):
    network = segmenters("gdino").network
    with torch.inference_mode():
        seen = network.detector.encode_image(pixels(noise(*WIDE)))

        def alone_and_among_others():
            ids = [network.detector.ids(phrase) for phrase in EXPRESSIONS]
            images = torch.zeros(1, dtype=torch.int64)
            _, alone = network.detector._detect(seen, ids[:1], images)
            _, others = network.detector._detect(seen, ids, images.expand(3))
            return (alone[0] - others[0]).abs().max()

        assert alone_and_among_others() < 1e-5
        whole = GroundingDino.ids
        monkeypatch.setattr(GroundingDino, "ids", lambda self, phrase: [i for i in whole(self, phrase) if i != 1012])
        assert alone_and_among_others() > 1e-4


def test_grounding_dino_reads_one_phrase_with_one_full_stop_however_long(segmenters):
    detector = segmenters("gdino").network.detector
    assert detector.ids("Dog. and? cat") == [101, 3899, 1998, 4937, 1012, 102]
    long = detector.ids("dog " * 400)
    assert len(long) == 256 and long[-2:] == [1012, 102]
    assert detector.count_pieces("dog " * 400) == 403 and detector.count_pieces("the dog?") == 5


@pytest.mark.parametrize("name", SCORED)
@torch.inference_mode()
def test_boxes_equal_those_of_the_plain_call(segmenters, name):
    detector, image = segmenters(name).network.detector, noise(*HIGH)
    (boxes,) = detector.detect(detector.encode_image(pixels(image)), ["the dog"], [0])
    read, size = torch.from_numpy(image).permute(2, 0, 1), image.shape[:2]
    if name == "owlv2":
        options = {"padding": "max_length", "max_length": 16, "truncation": True}
        batch = detector.processor(text=[["the dog"]], images=read, **options, return_tensors="pt")
    else:
        batch = detector.processor(text="the dog.", images=read, return_tensors="pt")
    found = detector.processor.post_process_grounded_object_detection(
        detector.model(**batch), threshold=0.0, target_sizes=torch.tensor([size])
    )[0]
    best = found["scores"].argmax()
    corners = (found["boxes"][best] / torch.tensor([size[1], size[0]] * 2)).clamp(0, 1)
    torch.testing.assert_close(boxes.scores[0], found["scores"][best], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(boxes.places[0], corners, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "model"), [("sam2", "sam2"), ("edgetam", "edgetam"), ("sam-base", "sam"), ("sam-hq", "samhq")]
)
@torch.inference_mode()
def test_masks_equal_those_of_the_plain_call(folders, name, model):
    masker, images = load_masker(LocalModel(name, folders[model], own=True), name), [noise(*HIGH), noise(*HIGH, seed=1)]
    seen = masker.encode_image(torch.cat([pixels(image) for image in images]))
    places = torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.3, 0.3, 0.9, 1.0]])
    drawn = masker.draw(seen, 1, places)
    alone = masker.draw(masker.encode_image(pixels(images[1])), 0, places[1:])
    torch.testing.assert_close(alone[0], drawn[1], atol=1e-5, rtol=1e-5)
    assert masker.draw(seen, 0, places[:0]).shape[0] == 0 and drawn.std() > 1e-4

    (height, width), read = HIGH, torch.from_numpy(images[1]).permute(2, 0, 1)
    boxes = [(places[0] * torch.tensor([width, height] * 2)).tolist()]
    batch = masker.processor(images=read, input_boxes=[boxes], return_tensors="pt")
    out = masker.model(batch["pixel_values"], input_boxes=batch["input_boxes"].float(), multimask_output=False)
    sizes = [batch["reshaped_input_sizes"]] if "reshaped_input_sizes" in batch else []
    plain = masker.processor.post_process_masks(out.pred_masks, batch["original_sizes"], *sizes, binarize=False)[0]
    mine = F.interpolate(drawn[None, :1], HIGH, mode="bilinear")[0, 0]
    torch.testing.assert_close(mine, plain[0, 0], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_all_that_is_above_the_threshold_is_meant_or_the_best_alone(segmenters, photograph):
    every, best = (segmenters("owlv2", threshold=0.001, answer=answer).network for answer in ("all", "best"))
    boxes = every.detector.detect(every.detector.encode_image(pixels(photograph)), ["dog"], [0])[0]
    kept, one = every._meant(boxes), best._meant(boxes)
    assert len(boxes.scores) == len(kept.scores) > 2 and len(one.scores) == 1
    assert torch.equal(one.places[0], boxes.places[0]) and boxes.scores.diff().max() <= 0
    high = segmenters("owlv2", threshold=0.999).network
    assert torch.equal(high._meant(boxes).places, boxes.places[:1]), "the best at least"


def test_a_threshold_of_scores_or_of_existence_empties_masks(segmenters, photograph):
    assert segmenters("owlv2", threshold=0.001)(photograph, "dog").exists > 0.5
    result = segmenters("owlv2", threshold=0.999)(photograph, "dog")
    assert not result.found and result.exists < 0.5 and result.decided_by == "existence threshold"
    assert not segmenters("owlv2", threshold=0.001)(photograph, "dog", threshold=0.99999).found


def test_the_masker_is_a_setting(segmenters, photograph):
    for model, setting in (("sam", "sam-base"), ("samhq", "sam-hq")):
        assert segmenters("owlv2", drawn_by=model, masker=setting)(photograph, "dog").mask.shape == photograph.shape[:2]
    with pytest.raises(InvalidInput, match="settings of owlv2_sam2: masker"):
        segmenters("owlv2", masker="sam9")
    assert tuple(model.name for model in MASKERS) == MODEL_MASKERS


def test_boxes_lie_in_the_image_and_overlap_little():
    places = torch.tensor([[0.5, 0.5, 2.0, 0.5], [0.5, 0.5, 1.9, 0.5], [0.2, 0.2, 0.1, 0.1], [1.5, 0.5, 0.2, 0.2]])
    boxes = best_boxes(places, torch.tensor([0.3, 0.9, 0.5, 0.8]))
    expected = Boxes(torch.tensor([[0.0, 0.25, 1.0, 0.75], [0.15, 0.15, 0.25, 0.25]]), torch.tensor([0.9, 0.5]))
    torch.testing.assert_close(boxes.places, expected.places)
    torch.testing.assert_close(boxes.scores, expected.scores)
    assert best_boxes(places, torch.full((4,), torch.nan)).scores.numel() == 0


def test_what_is_too_long_is_cut_with_a_remark(segmenters, photograph):
    result = segmenters("owlv2")(photograph, "dog " * 20)
    assert any("owlv2_sam2 reads 16 pieces, it has 6 more" in warning for warning in result.warnings)
    assert not segmenters("gdino")(photograph, "dog " * 20).warnings
    assert len(segmenters("owlv2").network.detector.ids("dog " * 20)) == 16


def test_florence2_reads_the_boxes_that_it_writes(segmenters, monkeypatch, photograph):
    network = segmenters("florence2").network
    written = "</s><s>dog<loc_100><loc_200><loc_500><loc_600><loc_700><loc_700><loc_900><loc_950></s>"
    monkeypatch.setattr(network.detector.text, "write", lambda prompts, features: ([written], torch.tensor([0.8])))
    result = segmenters("florence2")(photograph, "the dog")
    assert abs(result.exists - 0.8) < 1e-4
    (boxes,) = network.detector.detect(torch.zeros(1, 5, 16), ["the dog"], [0])
    torch.testing.assert_close(
        boxes.places, torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.7, 0.7, 0.9, 0.95]]), atol=2e-3, rtol=0
    )
    assert len(network._meant(Boxes(boxes.places, boxes.scores / 8)).scores) == 2, "all have one score"


def test_qwen3vl_says_boxes_or_none(segmenters, monkeypatch, photograph):
    segmenter = segmenters("qwen3vl")
    assert segmenter(photograph, "the dog").mask.shape == photograph.shape[:2], "random words are no boxes, no error"
    for answer, exists in (('[{"bbox_2d": [100, 200, 500, 600]}, {"bbox_2d": [1, 2', 1.0), ("none", 0.0), ("{}", 0.0)):
        monkeypatch.setattr(segmenter.network.detector, "answer", lambda phrase, image, answer=answer: answer)
        result = segmenter(photograph, "the dog")
        assert result.exists == pytest.approx(exists, abs=1e-5) and (exists == 1.0 or not result.found)


@pytest.mark.parametrize("part", ["detector", "masker"])
def test_damaged_parts_are_told_in_one_line(folders, tmp_path, part):
    for name, model in (("detector", "owlv2"), ("masker", "sam2")):
        shutil.copytree(folders[model], tmp_path / name)
    file = tmp_path / part / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InvalidInput) as caught:
        refseg.load(f"owlv2_sam2={tmp_path}")
    assert str(tmp_path / part) in str(caught.value) and "\n" not in str(caught.value)


def test_the_catalogue_says_what_each_costs():
    for name in ("gdino_sam2", "mmgdino_sam2", "owlv2_sam2", "florence2_sam2", "qwen3vl_sam2"):
        entry = CATALOGUE[name]
        assert list(entry.parts) == ["detector", "masker"] and entry.size > 3e8 and entry.encodes_once
        assert entry.configured({"masker": "edgetam"}).masker == "edgetam"
        assert entry.models(entry.configured({"masker": "edgetam"}))["masker"].id == "yonigozlan/EdgeTAM-hf"


@torch.inference_mode()
def test_a_detector_answers_each_phrase_once(segmenters, photograph, monkeypatch):
    detector, asked = segmenters("owlv2").network.detector, []
    whole = Owlv2._detect
    monkeypatch.setattr(
        Owlv2, "_detect", lambda self, seen, ids, images: asked.extend(ids) or whole(self, seen, ids, images)
    )
    first, other, second = detector.detect(detector.encode_image(pixels(photograph)), ["dog", "cat", "dog"], [0, 0, 0])
    assert (
        len(asked) == 2
        and np.array_equal(first.scores, second.scores)
        and not np.array_equal(first.scores, other.scores)
    )


def test_a_result_keeps_the_boxes_and_their_scores(segmenters):
    every, best = (
        segmenters("owlv2", threshold=0.001, answer=answer)(noise(*HIGH), "dog") for answer in ("all", "best")
    )
    assert len(every.candidates) > 2 and all(one.meant for one in every.candidates)
    assert [one.meant for one in best.candidates] == [True] + [False] * (len(best.candidates) - 1)
    for one, other in zip(best.candidates, best.candidates[1:], strict=False):
        (left, top, right, bottom), (height, width) = one.box_xyxy, HIGH
        assert 0 <= left < right <= width and 0 <= top < bottom <= height and one.score >= other.score
    written = best.to_dict()["candidates"][0]
    assert written["meant"] and written["score"] == round(best.candidates[0].score, 4) and len(written["box"]) == 4
    many = segmenters("owlv2")(noise(*HIGH), ["dog", "cat"] * 6)
    assert [one.candidates for one in many[:2]] == [one.candidates for one in many[-2:]]
    assert many[0].candidates != many[1].candidates


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 3), (2, 60), (4, 3)])
def test_the_smallest_images_are_answered_without_a_word(segmenters, size_hw, capfd):
    segmenters("owlv2"), segmenters("owlv2", drawn_by="sam", masker="sam-base")  # saving and loading write
    capfd.readouterr()
    for segmenter in (segmenters("owlv2"), segmenters("owlv2", drawn_by="sam", masker="sam-base")):
        assert segmenter(noise(*size_hw), "the dog").mask.shape == size_hw
    assert capfd.readouterr() == ("", "")
