import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

import refseg
from refseg.checkpoints.familiarity import Familiarity
from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput
from refseg.inference.checks import number_warnings
from refseg.inference.exported_segmenter import load_exported
from refseg.inference.segmenter import Segmenter, load


@pytest.fixture(scope="module")
def segmenter(checkpoint_folder) -> Segmenter:
    return refseg.load(checkpoint_folder)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return 1.0 if not (a | b).any() else (a & b).sum() / (a | b).sum()


def test_the_masks_are_those_of_the_true_referents(segmenter, golden):
    answers = [result for i in range(8) for result in segmenter(golden.images[i], golden.of(i))]
    assert np.mean([iou(result.mask, mask) for result, mask in zip(answers, golden.masks, strict=True)]) > 0.9
    assert all(result.found == (result.mask & (result.probability > 0.5)).any() for result in answers)


def test_instances_part_the_mask(segmenter, golden):
    several = 0
    for result in segmenter.ask(golden.images[0], golden.of(0)):
        assert (sum((i.astype(int) for i in result.instances), np.zeros_like(result.mask, int)) == result.mask).all()
        several += len(result.instances) > 1
    assert several


def test_a_batch_equals_its_members(segmenter, golden):
    images = [golden.images[0], golden.images[1][:90], golden.images[2], golden.images[3][:90]]
    expressions = [golden.of(0), golden.of(1)[:2], [], golden.of(3)]
    together = segmenter.batch(images, expressions)
    assert [len(results) for results in together] == [8, 2, 0, 8]
    for image, some, results in zip(images, expressions, together, strict=True):
        for text, alone, result in zip(some, segmenter(image, some), results, strict=True):
            assert result.expression == text and result.mask.shape == image.shape[:2]
            assert iou(result.mask, alone.mask) > 0.99
            assert result.exists == pytest.approx(alone.exists, abs=1e-3)


def test_an_image_is_encoded_once_and_memory_does_not_grow_with_expressions(segmenter, golden, monkeypatch):
    monkeypatch.setattr("refseg.inference.chunks.PIXELS_AT_ONCE", 5 * 128 * 128)
    encoded, chunks = [], []
    encode, fuse = segmenter.network.encode_image, segmenter.network.fuse
    monkeypatch.setattr(segmenter.network, "encode_image", lambda image: encoded.append(1) or encode(image))
    monkeypatch.setattr(segmenter.network, "fuse", lambda f, w, m, i: chunks.append(len(i)) or fuse(f, w, m, i))
    expressions = golden.of(0) * 10
    results = segmenter(golden.images[0], expressions)
    assert [result.expression for result in results] == expressions
    assert len(encoded) == 1 and max(chunks) == 5


def test_results_come_at_the_image_s_own_size(segmenter, golden):
    enlarged = golden.images[0].repeat(3, axis=0).repeat(3, axis=1)
    result = segmenter(enlarged, golden.expressions[0])
    assert result.mask.shape == result.probability.shape == result.instance_map.shape == (384, 384)
    assert iou(result.mask, golden.masks[0].repeat(3, axis=0).repeat(3, axis=1)) > 0.85


def test_of_a_large_image_masks_and_objects_are_drawn_in_strips_that_join_without_a_seam(
    segmenter, golden, monkeypatch
):
    image, expressions = golden.images[0].repeat(3, axis=0).repeat(3, axis=1), golden.of(0)
    at_once = segmenter(image, expressions)
    monkeypatch.setattr("refseg.preprocessing.images._STRIP_PIXELS", 5000)
    for whole, parts in zip(at_once, segmenter(image, expressions), strict=True):
        np.testing.assert_array_equal(parts.mask, whole.mask)
        np.testing.assert_array_equal(parts.instance_map, whole.instance_map)
        np.testing.assert_array_equal(np.asarray(parts.overlay()), np.asarray(whole.overlay()))
    assert max(len(result.instances) for result in at_once) > 1


def test_every_kind_of_image_gives_the_same(segmenter, golden, tmp_path):
    array, expression = golden.images[0], golden.expressions[0]
    Image.fromarray(array).save(tmp_path / "scene.png")
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    kinds = [
        tmp_path / "scene.png",
        str(tmp_path / "scene.png"),
        buffer.getvalue(),
        Image.fromarray(array),
        torch.from_numpy(array).permute(2, 0, 1),
        torch.from_numpy(array).permute(2, 0, 1) / 255,
    ]
    for kind in kinds:
        np.testing.assert_array_equal(segmenter(kind, expression).mask, segmenter(array, expression).mask)


def test_the_threshold_moves_between_an_answer_and_none_and_is_forgotten_afterwards(segmenter, golden):
    image, expressions = golden.images[0], golden.of(0)
    before = [result.found for result in segmenter(image, expressions)]
    exists = np.array([result.exists for result in segmenter(image, expressions)])
    strict = [result.found for result in segmenter(image, expressions, threshold=1 - 1e-7)]
    assert sum(strict) <= sum(exists > 1 - 1e-7) < sum(before)
    assert [result.found for result in segmenter(image, expressions)] == before


def test_threads_with_different_thresholds_do_not_disturb_each_other(segmenter, golden):
    image, expressions = golden.images[0], golden.of(0)
    thresholds = [1e-6, 1 - 1e-7] * 32
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(lambda t: [r.found for r in segmenter(image, expressions, t)], thresholds))
    assert all(some == found[i % 2] for i, some in enumerate(found)) and found[0] != found[1]


def test_a_threshold_of_a_call_changes_nothing_that_others_use(segmenter, golden, monkeypatch):
    network, seen = segmenter.network, []
    before, encode = network.exists_threshold_logit, network.encode_words
    fuse = type(network).fuse

    def note(self, *arguments):
        seen.append((self.exists_threshold_logit, network.exists_threshold_logit))
        return fuse(self, *arguments)

    monkeypatch.setattr(type(network), "fuse", note)
    segmenter(golden.images[0], golden.expressions[0], threshold=0.9)
    assert seen == [(pytest.approx(segmenter.checkpoint.calibration.existence_logit(0.9)), before)]
    assert network.encode_words == encode


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_answers_although_another_thread_was_answering_at_its_fork(checkpoint_folder, golden, tmp_path):
    np.savez(tmp_path / "scene.npz", image=golden.images[0])
    program = f"""
import os, signal, threading
import numpy as np, torch
import refseg
torch.set_num_threads(1)  # OpenMP itself does not survive a fork
segmenter, image = refseg.load({str(checkpoint_folder)!r}), np.load({str(tmp_path / "scene.npz")!r})["image"]
fuse, within, go_on = type(segmenter.network).fuse, threading.Event(), threading.Event()
def slow(self, *arguments):
    if threading.current_thread() is not threading.main_thread():
        within.set()
        go_on.wait(60)
    return fuse(self, *arguments)
type(segmenter.network).fuse = slow
other = threading.Thread(target=segmenter, args=(image, "the star", 0.5))
other.start()
within.wait(60)
child = os.fork()
if not child:
    signal.alarm(60)  # ends it, where it waits for ever
    segmenter(image, "the star", 0.6)
    os._exit(7)
status = os.waitpid(child, 0)[1]
go_on.set()
other.join()
print(os.WIFEXITED(status) and os.WEXITSTATUS(status))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_give_no_numbers_are_told(checkpoint_folder, golden, value):
    checkpoint = load_checkpoint(checkpoint_folder)
    with torch.no_grad():
        next(checkpoint.network.chooser.parameters()).fill_(value)
    with pytest.raises(InvalidInput, match="the weights of selector give values that are not finite") as caught:
        Segmenter(checkpoint)(golden.images[0], "the star")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("expressions", "threshold", "said"),
    [
        ("", None, "empty"),
        (" ?! ", None, "empty"),
        ("the " * 25 + "star", None, "26 words"),
        (["the star", ""], None, "empty"),
        (["the star", 3], None, "int is not an expression"),
        ("the star", 0.0, "between 0 and 1"),
        ("the star", 1.0, "between 0 and 1"),
        ("the star", float("nan"), "between 0 and 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_image_is_read(segmenter, expressions, threshold, said):
    with pytest.raises(InvalidInput, match=said):
        segmenter("missing.png", expressions, threshold)


def test_a_string_in_the_place_of_a_list_is_noticed(segmenter, golden):
    with pytest.raises(InvalidInput, match="give a list"):
        segmenter.batch([golden.images[0]], ["the star"])
    with pytest.raises(InvalidInput, match="one list an image"):
        segmenter.batch([golden.images[0]], [])


def test_no_expressions_give_no_results(segmenter, golden):
    assert segmenter(golden.images[0], []) == []


def test_unknown_words_are_named(segmenter, golden):
    result = segmenter(golden.images[0], "the purple dog")
    assert result.unknown_words == ("dog",) and "'dog'" in result.warnings[0]
    assert segmenter(golden.images[0], "the purple star").warnings == ()


def test_an_image_unlike_the_training_images_is_warned_of(checkpoint_folder, golden):
    checkpoint = load_checkpoint(checkpoint_folder)
    size = 2 * checkpoint.network.config.coarse
    for threshold, warned in ((-1.0, True), (1e9, False)):
        checkpoint.familiarity = Familiarity(torch.zeros(size), torch.eye(size), threshold, "")
        result = Segmenter(checkpoint)(golden.images[0], "the star")
        assert bool(result.warnings) == warned
        if warned:
            assert "drawn scenes only" in result.warnings[0] and 'refseg.load("reader")' in result.warnings[0]
            assert result.warnings[0].startswith("the image is unlike")


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (17, 130), (999, 1001)])
def test_images_of_any_size_and_shape_are_answered(segmenter, shape):
    result = segmenter(np.full((*shape, 3), 127, np.uint8), "the star")
    assert result.mask.shape == shape


def test_the_representation_says_what_it_knows(segmenter):
    assert "drawn scenes only" in repr(segmenter)


def test_the_bundled_weights_find_what_the_scene_shows():
    from refseg.datasets.drawn_scenes.dataset import DrawnScenes

    segmenter, scores = refseg.load(), []
    for scene in DrawnScenes("val", count=8):
        answers = segmenter(scene.image, [expression.text for expression in scene.expressions])
        scores += [iou(answer.mask, scene.mask(i)) for i, answer in enumerate(answers)]
        assert not any(answer.warnings for answer in answers)
    assert np.mean(scores) > 0.85


def test_the_bundled_weights_say_that_a_photograph_is_none_of_theirs():
    rows, columns = np.mgrid[:240, :320]
    photograph = np.stack([rows, columns * 0.7, 255 - rows], axis=-1).astype(np.uint8)  # a sky, at best
    assert any("drawn scenes" in warning for warning in refseg.segment(photograph, "the star").warnings)


def test_an_encoded_image_is_answered_as_the_image_and_is_not_encoded_again(segmenter, golden, monkeypatch):
    images, expressions = [golden.images[0], golden.images[1][:100], golden.images[2]], [golden.of(k) for k in range(3)]
    expected = [segmenter(image, some) for image, some in zip(images, expressions, strict=True)]
    encoded = segmenter.encode(images)
    assert encoded[0].together is encoded[2].together is not encoded[1].together
    monkeypatch.setattr(segmenter.network, "encode_image", None)
    answered = segmenter.batch([*encoded, encoded[0]], [*expressions, expressions[0][::-1]])
    for results, others in zip([*expected, expected[0][::-1]], answered, strict=True):
        for result, other in zip(results, others, strict=True):
            assert result.expression == other.expression and (result.mask == other.mask).all()
            assert abs(result.exists - other.exists) < 1e-5 and result.warnings == other.warnings


def test_an_image_that_another_segmenter_encoded_is_refused(segmenter, golden):
    (encoded,) = refseg.load("selector").encode([golden.images[0]])
    with pytest.raises(InvalidInput, match="encoded by another segmenter"):
        segmenter(encoded, "the star")


@pytest.mark.parametrize(
    ("expression", "warned"),
    [
        ("both stars", ()),
        ("the three red stars", ("the sentence speaks of 3, and 2 objects matched",)),
        ("the stars", ()),
        ("the three-pointed star", ()),
        ("the star between the three rings", ()),
    ],
)
def test_another_number_than_the_sentence_says_is_told(expression, warned):
    assert number_warnings(expression, np.array([[0, 1], [2, 2]], np.uint8)) == warned
    assert number_warnings(expression, np.zeros((2, 2), np.uint8)) == number_warnings(expression, None) == ()


def test_a_result_tells_another_number_with_and_without_torch():
    image = DrawnScenes("test", 1)[0].image  # four pentagons
    for segmenter in (load(), load_exported("selector")):
        both, all_of_them = segmenter(image, ["both pentagons", "the pentagons"])
        assert both.warnings == ("the sentence speaks of 2, and 4 objects matched",) and not all_of_them.warnings
