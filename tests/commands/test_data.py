import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from typer.testing import CliRunner

from refseg import datasets
from refseg.cli import app
from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import RefsegError
from refseg.text.word_list import WordList


def draw(*arguments: object) -> None:
    CliRunner().invoke(app, ["data", "draw", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn") / "scenes"
    draw("--split", "val", "--count", 3, "--out", out)
    return out


def test_images_masks_and_refs_are_those_of_the_data_set(drawn):
    refs = json.loads((drawn / "grefs(drawn).json").read_text())
    scenes = DrawnScenes("val", 3)
    expressions = [(scene, i) for scene in scenes for i in range(len(scene.expressions))]
    assert len(refs) == len(expressions)
    for ref, (scene, i) in zip(refs, expressions, strict=True):
        assert ref["sentences"][0]["sent"] == scene.expressions[i].text
        assert ref["no_target"] == (ref["ann_id"] == [-1]) == (not scene.expressions[i].targets)
        mask = np.array(Image.open(drawn / "masks" / f"{scene.image_id}_{ref['sent_ids'][0]}.png"))
        np.testing.assert_array_equal(mask, scene.mask(i))
    np.testing.assert_array_equal(np.array(Image.open(drawn / "images" / "val-base-2.png")), scenes[2].image)


def test_annotations_in_coco_format_give_the_masks_again(drawn):
    instances = json.loads((drawn / "instances.json").read_text())
    by_id = {annotation["id"]: annotation for annotation in instances["annotations"]}
    ref = next(ref for ref in json.loads((drawn / "grefs(drawn).json").read_text()) if len(ref["ann_id"]) > 1)
    union = coco.decode(coco.merge([by_id[i]["segmentation"] for i in ref["ann_id"]])).astype(bool)
    name = f"{ref['file_name'].removesuffix('.png')}_{ref['sent_ids'][0]}.png"
    np.testing.assert_array_equal(union, np.array(Image.open(drawn / "masks" / name)))
    categories = {category["id"] for category in instances["categories"]}
    assert {annotation["category_id"] for annotation in instances["annotations"]} <= categories


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RefsegError, match="not an empty folder"):
        draw("--count", 1, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_clips_are_drawn_in_the_layout_of_refer_youtube_vos(tmp_path):
    draw("--clips", "--split", "val", "--count", 4, "--out", tmp_path / "clips")
    written = datasets.build("refer_youtube_vos", split="valid", root=tmp_path / "clips")
    drawn = DrawnClips("val", 4, annotated="all")
    assert len(written) == 4
    for ours, clip in zip(written, drawn, strict=True):
        assert [e.text for e in ours.expressions] == [e.text for e in clip.expressions]
        assert [e.targets for e in ours.expressions] == [e.targets for e in clip.expressions]
        assert ours.annotated_frames(0) == clip.annotated_frames(0)
        for i in range(len(clip.expressions)):
            np.testing.assert_array_equal(ours.mask(i, 1), clip.mask(i, 1))
        assert np.abs(ours.frame(2).astype(int) - clip.frame(2)).mean() < 8
    assert any(not e.targets for clip in written for e in clip.expressions)


def test_settings_of_the_data_set_are_taken(tmp_path):
    draw("--clips", "--count", 1, "--out", tmp_path / "clips", "--set", "frames=[24,26]", "--set", "looks=3")
    told = json.loads((tmp_path / "clips" / "meta_expressions" / "valid" / "meta_expressions.json").read_text())
    (clip,) = told["videos"].values()
    assert 24 <= len(clip["frames"]) <= 26
    assert sum(one["kind"] == "looks" for one in clip["expressions"].values()) == 3
    with pytest.raises(
        RefsegError, match=r"frames of drawn_clips: give a list of 2, .* for example frames=\[5,16\] \(got"
    ):
        draw("--clips", "--count", 1, "--out", tmp_path / "other", "--set", "frames=abc")
    with pytest.raises(RefsegError, match="has no setting frame; did you mean frames"):
        draw("--clips", "--count", 1, "--out", tmp_path / "other", "--set", "frame=3")


def test_a_tier_of_clips_is_refused(tmp_path):
    with pytest.raises(RefsegError, match="--tier hard is of scenes"):
        draw("--clips", "--tier", "hard", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["stats", "view"])
def test_commands_about_images_refuse_videos(command, tmp_path):
    out = ["--out", str(tmp_path / "a.png")] if command == "view" else []
    with pytest.raises(RefsegError, match="mevis holds videos, images are wanted"):
        CliRunner().invoke(app, ["data", command, "mevis", *out], catch_exceptions=False, standalone_mode=False)


def test_a_wrong_split_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(RefsegError, match="choose one of: train"):
        draw("--split", "valid", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def vocabulary(*arguments: object) -> str:
    asked = ["data", "vocabulary", *map(str, arguments)]
    return CliRunner().invoke(app, asked, catch_exceptions=False, standalone_mode=False).output


def test_the_words_of_training_expressions_are_listed(tmp_path):
    out = vocabulary("--count", 3, "--out", tmp_path / "new" / "words.txt")
    lines = (tmp_path / "new" / "words.txt").read_text().splitlines()
    texts = [expression.text for scene in DrawnScenes("train", 3) for expression in scene.expressions]
    assert lines[:4] == ["<pad>", "<go>", "<eos>", "<unk>"] and lines[4:] == sorted(lines[4:])
    assert set(" ".join(texts).lower().split()) >= {"the"} <= set(lines)
    assert f": {len(lines) - 4} words of {len(texts)} expressions" in out
    words = WordList.read(tmp_path / "new" / "words.txt")
    assert not any(words.unknown_words(text) for text in texts)


def test_a_word_list_replaces_a_word_list_and_nothing_else(tmp_path):
    words, notes = tmp_path / "words.txt", tmp_path / "notes.txt"
    assert "replaced" not in vocabulary("--count", 2, "--out", words)
    assert f"{words} (replaced, of an earlier run): " in vocabulary("--count", 3, "--out", words)
    notes.write_text("buy milk")
    with pytest.raises(RefsegError, match="notes.txt is there already and is something else"):
        vocabulary("--count", 2, "--out", notes)
    assert notes.read_text() == "buy milk"


def test_rare_words_can_be_left_out(tmp_path):
    for times in (1, 9):
        vocabulary("--count", 2, "--at-least", times, "--out", tmp_path / f"{times}.txt")
    often, all_of_them = (set((tmp_path / f"{times}.txt").read_text().split()) for times in (9, 1))
    assert often < all_of_them and "<unk>" in often


def test_the_words_of_drawn_clips_are_listed(tmp_path):
    vocabulary("--dataset", "drawn_clips", "--count", 40, "--out", tmp_path / "words.txt")
    assert {"spins", "grows", "left", "star"} <= set((tmp_path / "words.txt").read_text().split())


def test_the_words_of_a_data_set_of_files_are_listed(tmp_path):
    draw("--split", "train", "--count", 2, "--out", tmp_path / "drawn")
    vocabulary("--dataset", "refer", "--root", tmp_path / "drawn", "--out", tmp_path / "files.txt")
    vocabulary("--count", 2, "--out", tmp_path / "drawn.txt")
    assert (tmp_path / "files.txt").read_text() == (tmp_path / "drawn.txt").read_text()


def test_a_data_set_that_is_not_there_and_a_folder_are_refused(tmp_path):
    with pytest.raises(RefsegError, match="unknown data set 'refcoc'; did you mean refcoco .* choose one of"):
        vocabulary("--dataset", "refcoc", "--out", tmp_path / "words.txt")
    with pytest.raises(RefsegError, match="is a folder"):
        vocabulary("--out", tmp_path)
    assert not list(tmp_path.iterdir())
