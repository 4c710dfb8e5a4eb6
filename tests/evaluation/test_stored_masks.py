import json

import numpy as np
import pytest
from PIL import Image

from refseg import protocols
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, MissingFile
from refseg.evaluation.rows import rows_of
from refseg.evaluation.scoring import STANDARD
from refseg.evaluation.stored_masks import compare_samples, open_masks, score_samples
from refseg.masks.rle import encode_rle


@pytest.fixture(scope="module")
def scenes():
    return list(DrawnScenes("val", count=3))


def truths(scenes):
    return {scene.expression_id(i): scene.mask(i) for scene in scenes for i in range(len(scene.expressions))}


def write_png(folder, masks):
    for id, mask in masks.items():
        file = folder / f"{id}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(file)
    return folder


def write_lines(file, masks, **more):
    file.write_text("".join(json.dumps({"id": id, **more, **encode_rle(mask)}) + "\n" for id, mask in masks.items()))
    return file


@pytest.mark.parametrize("write", [write_png, lambda folder, masks: write_lines(folder / "masks.jsonl", masks)])
def test_the_true_masks_score_everything(scenes, tmp_path, write):
    stored = open_masks(write(tmp_path, truths(scenes)))
    assert compare_samples(stored, scenes) == []
    scored = rows_of(score_samples(stored, scenes, [protocols.build("lavt"), STANDARD], workers=2))
    assert {row.error for row in scored} == {"correct"} and len(scored) == len(truths(scenes))
    assert all(row.scores["lavt"].iou == 1 for row in scored if row.has_target)


def test_a_probability_of_existence_may_be_given(scenes, tmp_path):
    stored = open_masks(write_lines(tmp_path / "masks.jsonl", truths(scenes), exists=0.25))
    assert {row.exists for row in rows_of(score_samples(stored, scenes, [STANDARD]))} == {0.25}


def test_missing_masks_are_named_and_refused(scenes, tmp_path):
    some = dict(list(truths(scenes).items())[2:])
    with pytest.raises(InvalidInput, match=r"lacks 2 of \d+ masks: val-base-0/0, val-base-0/1; write an empty one"):
        compare_samples(open_masks(write_png(tmp_path, some)), scenes)


def test_surplus_masks_are_named_and_left_out(scenes, tmp_path):
    stored = open_masks(write_png(tmp_path, {**truths(scenes), "another": np.zeros((5, 5), bool)}))
    (line,) = compare_samples(stored, scenes)
    assert "1 mask of no expression" in line and "another" in line


def test_a_mask_of_another_size_is_refused(scenes, tmp_path):
    first = next(iter(truths(scenes)))
    stored = open_masks(write_png(tmp_path, {**truths(scenes), first: np.zeros((64, 128), bool)}))
    with pytest.raises(InvalidInput, match=f"{first} .* is 128 x 64 pixels, its image 128 x 128"):
        list(score_samples(stored, scenes, [STANDARD]))


def test_a_picture_with_many_values_is_no_mask(tmp_path):
    Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10)).save(tmp_path / "a.png")
    with pytest.raises(InvalidInput, match="more than two values"):
        open_masks(tmp_path).mask("a")


def test_a_damaged_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"a\.png cannot be read"):
        open_masks(tmp_path).mask("a")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
def test_masks_may_be_pictures_of_any_kind(tmp_path, mode):
    mask = np.eye(8, dtype=bool)
    picture = Image.fromarray(mask.astype(np.uint16)) if mode == "I;16" else Image.fromarray(mask).convert(mode)
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_masks(tmp_path).mask("a"), mask)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "line 1, is not"),
        ('{"id": "a", "counts": "0", "size": [4, 4], "exists": 2}', "exists is a probability"),
        ('{"id": "a"}\n{"id": "a"}', "another mask of expression a"),
    ],
)
def test_a_line_that_is_no_mask_is_named(tmp_path, line, message):
    (tmp_path / "masks.jsonl").write_text(line + "\n")
    with pytest.raises(InvalidInput, match=message):
        open_masks(tmp_path / "masks.jsonl")


def test_run_lengths_that_do_not_add_up_are_refused(tmp_path):
    (tmp_path / "masks.jsonl").write_text('{"id": "a", "counts": [3, 5], "size": [4, 4]}\n')
    with pytest.raises(InvalidInput, match="expression a: run lengths do not add up"):
        open_masks(tmp_path / "masks.jsonl").mask("a")


def test_the_ending_may_be_in_large_letters(tmp_path):
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "a.PNG")
    np.testing.assert_array_equal(open_masks(tmp_path).mask("a"), np.eye(8, dtype=bool))


def test_answers_with_soft_edges_or_alpha_are_read_as_masks_of_data_sets_are(tmp_path):
    soft = np.zeros((40, 40), np.uint8)
    soft[10:30, 10:30], soft[10:30, 9], soft[10:30, 30] = 255, 100, 200
    Image.fromarray(soft).save(tmp_path / "soft.png")
    cut = np.full((40, 40, 4), 200, np.uint8)
    cut[..., 3] = soft
    Image.fromarray(cut).save(tmp_path / "cut.png")
    stored = open_masks(tmp_path)
    for id in ("soft", "cut"):
        np.testing.assert_array_equal(stored.mask(id), soft >= 128)


def test_labels_of_several_objects_are_no_answer(tmp_path):
    labels = np.zeros((40, 40), np.uint8)
    labels[:10], labels[10:20], labels[20:30] = 1, 2, 3
    Image.fromarray(labels).save(tmp_path / "a.png")
    with pytest.raises(InvalidInput, match="more than two values"):
        open_masks(tmp_path).mask("a")


@pytest.mark.parametrize(
    "line", ['{"id": "a", "exists": 1e400}', '{"id": "a", "exists": ' + "1" * 5000 + "}", "[" * 100_000]
)
def test_numbers_and_nesting_beyond_any_bound_are_refused(tmp_path, line):
    (tmp_path / "masks.jsonl").write_text(line)
    with pytest.raises(InvalidInput, match="line 1"):
        open_masks(tmp_path / "masks.jsonl")


def test_no_masks_at_all_are_told(tmp_path):
    with pytest.raises(InvalidInput, match="holds no .png"):
        open_masks(tmp_path)
    with pytest.raises(MissingFile, match="is missing"):
        open_masks(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("mode", "values", "is_cut"),
    [("L", [0, 255], False), ("L", [0, 1], False), ("L", [0, 100, 255], True), ("I;16", [0, 65535], False)],
)
def test_masks_that_are_cut_at_half_are_told(tmp_path, mode, values, is_cut):
    mask = np.zeros((40, 40), np.uint16 if mode == "I;16" else np.uint8)
    mask[10:30, 10:30] = values[-1]
    mask[10, 10:20] = values[1]
    Image.fromarray(mask).save(tmp_path / "a.png")
    stored = open_masks(tmp_path)
    assert stored.cautions() == []
    assert stored.mask("a")[15, 15]
    told = f"{tmp_path} holds 1 mask with soft edges or noise, which are cut at half: a"
    assert stored.cautions() == ([told] if is_cut else [])
