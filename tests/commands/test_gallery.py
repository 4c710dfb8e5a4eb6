"""`refseg gallery`: files, options, and mistakes that are told before anything is loaded."""

import pytest
from PIL import Image

from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput


def test_a_picture_and_a_page_of_weights_and_masks(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("refseg.evaluation.report.html_page.can_plot", lambda: False)
    run("evaluate", "selector", "drawn_scenes", "--split", "val", "--count", 2, "--masks", "--out", "masks")
    systems = "--masks masks --weights selector --label stored --label ours".split()
    data = "--data drawn_scenes --split val --count 2 --number 2".split()
    said = run("gallery", *systems, *data, "-o", "sheet.png", "--out", "sheet.html")
    columns = "image | ground truth | stored | ours"
    assert said.splitlines() == [f"sheet.{ending}: 2 expressions, {columns}" for ending in ("png", "html")]
    again = run("gallery", "--masks", "masks", "--sort", "worst", "--number", 1, "-o", "sheet.html")
    assert again == "sheet.html (replaced, of an earlier run): 1 expression, image | ground truth | masks\n"
    assert "drawn_scenes, split val: 1 of " in (tmp_path / "sheet.html").read_text()


def test_images_and_expressions_are_given_as_to_segment(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(DrawnScenes("val", 1)[0].image).save("scene.png")
    said = run("gallery", "scene.png", "the star", "both circles", "--weights", "selector", "-e", "the plus")
    assert said == "gallery.png: 3 expressions, image | selector\n"
    (tmp_path / "asked.csv").write_text("image,expression\nscene.png,the star\n")
    said = run("gallery", "--table", "asked.csv", "--weights", "selector", "-o", "table.html")
    assert said == "table.html: 1 expression, image | selector\n"


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        ("--weights selector", InvalidInput, "name what to show: a data set"),
        ("--data drawn_scenes", InvalidInput, "name weights or masks, for example --weights selector"),
        ("--data drawn_scenes a.png star --weights selector", InvalidInput, "leave out the others, or --data"),
        ("a.png --weights selector", InvalidInput, "for example refseg gallery a.png 'the red cup'"),
        ("a.png star --weights selector --root x", InvalidInput, "are of a data set, and images are given"),
        ("a.png star --weights selector", MissingFile, "a.png is missing"),
        ("--data drawn_scenes --weights nothing", MissingFile, "no weights 'nothing'"),
        ("--data drawn_scenes --masks nothing", MissingFile, "nothing is missing; give a folder of ID.png"),
        ("--masks empty", InvalidInput, "empty is empty; give a folder of ID.png"),
        ("--data drawn_scenes --masks empty.jsonl", InvalidInput, "empty.jsonl holds no masks; give a folder"),
        ("--data drawn_scene --weights selector", InvalidInput, "did you mean drawn_scenes"),
        ("--data drawn_scenes --weights selector --sort agreement", InvalidInput, "did you mean disagreement"),
        ("--data drawn_scenes --weights selector -o a.jpg", InvalidInput, "end in .png or .html"),
        ("--data drawn_scenes --weights selector -o other.png", UnwritableOutput, "is something else"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(run, tmp_path, monkeypatch, words, error, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.png").write_bytes(b"a picture of mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(error, match=told):
        run("gallery", *words.split())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["empty", "empty.jsonl", "other.png"]
    assert (tmp_path / "other.png").read_bytes() == b"a picture of mine"


def test_columns_are_in_the_order_in_which_they_are_typed(run, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("refseg.inspection.gallery.build.build_gallery", lambda systems, **_: given.extend(systems))
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).touch()
    words = "--masks a --weights selector --masks=b --weights reader".split()
    with pytest.raises(AttributeError):  # there is nothing to save
        run("gallery", "--data", "drawn_scenes", *words)
    assert [one if isinstance(one, str) else one.place for one in given] == ["a", "selector", "b", "reader"]
