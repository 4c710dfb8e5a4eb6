"""`refseg segment` about many images."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import refseg.commands.segment_many as command
from refseg.cli import main
from refseg.commands.segment_inputs import read_inputs
from refseg.errors import InvalidInput, MissingFile
from refseg.inference.segmenter import Segmenter, load
from refseg.text.vocabulary import Vocabulary

ASKED = "the stars", "the medium object"


@pytest.fixture
def photographs(golden, tmp_path, monkeypatch):
    """A folder of four scenes of different sizes; the current folder is its parent."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate("dabc"):
        Image.fromarray(golden.images[number][: 100 + number]).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return Path("photos")


@pytest.fixture
def segment(run_segment, photographs):
    """Runs `refseg segment` about the photographs; gives the exit code."""
    return run_segment


def lines(out: str = "answers") -> list[dict]:
    return [json.loads(line) for line in Path(out, "answers.jsonl").read_text().splitlines()]


def asked(out: str = "answers") -> list[tuple[str, str]]:
    return [(Path(line["image"]).name, line["expression"]) for line in lines(out)]


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def test_a_folder_gives_files_and_a_line_for_each_image_and_expression(segment, checkpoint_folder, capsys):
    assert segment("photos", *ASKED) == 0
    captured = capsys.readouterr()
    assert "photos is taken for 4 photographs" in captured.err
    assert captured.out.splitlines()[0] == "photos/a.png: the stars"
    assert captured.out.splitlines()[-1].endswith("found something: answers/answers.jsonl")
    assert asked() == [(f"{name}.png", text) for name in "abcd" for text in ASKED]
    alone, _ = load(checkpoint_folder)("photos/b.png", ASKED)
    line = lines()[2]
    assert {name: line[name] for name in alone.to_dict()} == alone.to_dict() and line["source"] == "../photos/b.png"
    assert line["boxes"] == [list(box) for box in alone.boxes] and len(line["sha256"]) == 64
    assert line["weights"] == str(checkpoint_folder) and 0 < line["threshold"] < 1 and line["version"]
    assert line["files"] == ["b.the-stars.mask.png", "b.the-stars.overlay.png"]
    mask = np.asarray(Image.open(Path("answers", line["files"][0]))) > 0
    np.testing.assert_array_equal(mask, alone.mask)
    assert len(list(Path("answers").iterdir())) == 2 + 2 * 8  # answers.jsonl and run.json


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["photos/a.png", "photos/c.png", ASKED[0]], "ac"),
        (["photos/[ab].png", ASKED[0]], "ab"),
        (["photos/*", ASKED[0]], "abcd"),
        (["**/*.png", ASKED[0]], "abcd"),
        (["-i", "photos/c.png", "-i", "photos/a.png", ASKED[0]], "ca"),
        (["photos", "--photographs", ASKED[0]], "abcd"),
        (["-", ASKED[0]], "bd"),
    ],
)
def test_every_kind_of_images_is_taken(segment, monkeypatch, words, names):
    text = io.TextIOWrapper(io.BytesIO(b"photos/b.png\n\nphotos/d.png\n"))
    monkeypatch.setattr(sys, "stdin", text)
    assert segment(*words, "--format", "none", "--quiet") == 0
    assert asked() == [(f"{name}.png", ASKED[0]) for name in names]
    assert sorted(content("answers")) == ["answers.jsonl", "run.json"]


def write_table(ending: str) -> str:
    rows = [("a.png", "the stars", "7"), ("a.png", "the circle, left", "8"), ("d.png", "the stars", "9")]
    if ending == "csv":
        text = "id,image,expression\n" + "".join(f'{id},{image},"{text}"\n' for image, text, id in rows)
    else:
        text = "".join(json.dumps({"image": image, "expression": text, "id": id}) + "\n" for image, text, id in rows)
    Path("photos", f"sentences.{ending}").write_text(text)
    return f"photos/sentences.{ending}"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_columns_of_a_table_are_carried_along_and_its_paths_are_relative_to_it(segment, ending):
    table = write_table(ending)
    assert segment("--table", table, "--format", "none") == 0
    assert [(line["id"], line["image"], line["expression"]) for line in lines()] == [
        ("7", "a.png", "the stars"),
        ("8", "a.png", "the circle, left"),
        ("9", "d.png", "the stars"),
    ]
    moved = Path(table).rename(Path(table).name)
    assert segment("--table", moved, "-i", "photos", "--format", "none", "--out", "moved") == 0
    assert asked("moved") == asked()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image,sentence\na.png,the star\n", "has no column expression; its first line is 'image,sentence'"),
        ("image,expression\na.png,the cup, left\n", "line 2 has 3 columns"),
        ("image,expression,found\na.png,the star,1\n", "column found has the name of a field of the answers"),
        ("image,expression\n", "has no row"),
    ],
)
def test_a_table_that_is_none_is_told_before_the_weights_are_read(segment, monkeypatch, capsys, text, told):
    Path("t.csv").write_text(text)
    monkeypatch.setattr("refseg.inference.segmenter.load", lambda *arguments: pytest.fail("loaded"))
    assert segment("--table", "t.csv") == 2
    assert told in capsys.readouterr().err and not Path("answers").exists()


def test_rows_whose_paths_leave_the_folder_or_whose_words_cannot_be_read_end_nothing(segment):
    rows = [("../photos/a.png", "the star"), ("a.png", ""), ("a.png", "the star")]
    Path("photos/t.jsonl").write_text(
        "".join(json.dumps(dict(zip(("image", "expression"), row, strict=True))) + "\n" for row in rows)
    )
    assert segment("--table", "photos/t.jsonl", "--format", "none") == 1
    errors = [line.get("error", "") for line in lines()]
    assert "leaves its folder" in errors[0] and errors[1] and not errors[2]


def test_absolute_paths_of_a_table_are_read_from_the_folder_that_the_error_names(segment, capsys):
    rows = [(str(Path(f"photos/{name}.png").resolve()), "the star") for name in "ab"]
    Path("tables").mkdir()
    Path("tables/t.csv").write_text("image,expression\n" + "".join(f"{image},{text}\n" for image, text in rows))
    words = ["--table", "tables/t.csv", "--format", "none"]
    assert segment(*words) == 2
    folder = Path("photos").resolve()
    said = f"absolute paths, none of them in tables; give the folder that they lie in: --images {folder}"
    assert said in capsys.readouterr().err and not Path("answers").exists()
    assert segment(*words, "--images", str(folder)) == 0
    assert [line["image"] for line in lines()] == [image for image, _ in rows]
    Path("tables/t.csv").write_text(
        f"image,expression\n../a.png,the star\n/etc/passwd,the star\n{rows[0][0]},the star\n"
    )
    assert segment(*words, "--images", "photos", "--out", "others") == 1
    said = capsys.readouterr().err
    assert "leaves its folder" in said and "/etc/passwd' is absolute and not in photos" in said
    assert "give the folder that it lies in: --images /etc" in said


def test_a_bad_image_is_a_line_and_the_same_command_tries_it_again(segment, capsys):
    good = Path("photos/b.png").read_bytes()
    Path("photos/b.png").write_bytes(good[:300])
    assert segment("photos", *ASKED) == 1
    captured = capsys.readouterr()
    assert "error: photos/b.png: photos/b.png cannot be decoded" in captured.err
    said = "2 of 8 could not be answered; mend what is said above, then the same command asks them again"
    assert captured.err.splitlines()[-1] == said
    assert [name for name, _ in asked()] == [f"{name}.png" for name in "aabbccdd"]
    assert ["error" in line for line in lines()] == [False, False, True, True, False, False, False, False]
    Path("photos/b.png").write_bytes(good)
    assert segment("photos", *ASKED) == 0
    assert "6 answers there already" in capsys.readouterr().err
    assert [name for name, _ in asked()] == [f"{name}.png" for name in "aaccddbb"]
    assert not any("error" in line for line in lines())


def test_counts_of_a_folder_tell_new_answers_from_earlier_ones(segment, capsys):
    Path("photos/b.png").write_bytes(b"none")
    assert segment("photos/a.png", "photos/c.png", *ASKED) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("4 answers, ")
    assert segment("photos/b.png", "photos/d.png", *ASKED) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("6 answers (2 of them new), ")
    assert "2 of 4 could not be answered" in captured.err
    assert segment("photos/a.png", "photos/c.png", *ASKED) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("6 answers (0 of them new), ")


def test_a_warning_names_the_expression_that_it_is_about(segment, monkeypatch, capsys):
    monkeypatch.setattr(Vocabulary, "remarks", lambda self, text: ["it is odd"] if "big" in text else [])
    for images in (["photos/a.png"], ["photos/a.png", "photos/b.png"]):
        assert segment(*images, "the star", "the big star", "--format", "rle") == 0
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
        assert line.startswith("warning: 'the big star': it is odd")


def test_new_images_are_added_and_what_was_answered_is_not_asked_again(segment, golden, monkeypatch):
    assert segment("photos", *ASKED) == 0
    before = content("answers")
    Image.fromarray(golden.images[5]).save("photos/aa.png")
    read = []
    original = Segmenter.many

    def many(self, questions, *arguments, **settings):
        def seen():
            for question in questions:
                read.append(question.image)
                yield question

        return original(self, seen(), *arguments, **settings)

    monkeypatch.setattr(Segmenter, "many", many)
    assert segment("photos", *ASKED) == 0
    assert read == ["photos/aa.png"] * 2
    after = content("answers")
    assert after.pop("answers.jsonl").startswith(before.pop("answers.jsonl"))
    assert all(after[name] == before[name] for name in before) and len(after) == len(before) + 4


@pytest.mark.parametrize("kind", ["all", "rle"])
def test_a_photograph_that_has_changed_is_answered_again(segment, golden, capsys, kind):
    assert segment("photos", *ASKED, "--format", kind) == 0
    before, old = content("answers"), lines()
    Image.fromarray(golden.images[6]).save("photos/b.png")
    capsys.readouterr()
    assert segment("photos", *ASKED, "--format", kind) == 0
    told = capsys.readouterr().err
    assert "2 answers about images that have changed since" in told and "6 answers there already" in told
    assert asked() == [(f"{name}.png", text) for name in "acdb" for text in ASKED]
    assert lines()[:6] == [line for line in old if not line["image"].endswith("b.png")]
    assert lines()[-1]["size"] == list(golden.images[6].shape[:2]) and lines()[-1]["files"] == old[3]["files"]
    after = content("answers")
    assert after.keys() == before.keys()
    assert {name[:2] for name in after if after[name] != before[name] and "." in name[:2]} == {"b."}
    assert segment("photos", *ASKED, "--format", kind) == 0
    assert content("answers") == after


def test_answers_of_an_image_that_is_gone_are_kept(segment):
    assert segment("photos/a.png", "photos/b.png", "the star", "--format", "none") == 0
    Path("photos/a.png").unlink()
    assert segment("photos/b.png", "photos/c.png", "the star", "--format", "none") == 0
    assert [name for name, _ in asked()] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("change", [["--threshold", "0.77"], ["--format", "rle"], ["--precision", "bf16"]])
def test_answers_of_other_settings_are_not_mixed_in(segment, capsys, change):
    assert segment("photos/a.png", "photos/b.png", "the star") == 0
    before = content("answers")
    assert segment("photos/a.png", "photos/b.png", "the star", *change) == 2
    assert re.search("holds answers of a run with (an)?other ", capsys.readouterr().err)
    assert content("answers") == before


def _child(argv: list[str], stop_after: int) -> None:
    """A run that is killed while it writes line `stop_after`."""
    written = []
    write = command.Answers.write

    def stop(self, line):
        written.append(line)
        if len(written) == stop_after:
            with self.file.open("a") as file:
                file.write('{"image": "photos/')
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, line)

    command.Answers.write = stop
    sys.argv = argv
    main()


def test_what_was_killed_goes_on_and_ends_as_if_it_had_not_been(segment, checkpoint_folder, capsys):
    words = ["photos", *ASKED, "--format", "all", "--quiet"]
    assert segment(*words, "--out", "whole") == 0
    argv = ["refseg", "segment", *words, "--out", "out", "--weights", str(checkpoint_folder)]
    child = get_context("fork").Process(target=_child, args=(argv, 6))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    assert Path("out/answers.jsonl").read_text().count("\n") == 5 and "c.the-medium-object.json" in content("out")
    assert segment(*words, "--out", "out") == 0
    assert content("out") == content("whole")


def test_files_of_images_of_one_stem_do_not_collide(segment, golden):
    for number, folder in enumerate(["a", "b"]):
        Path(folder).mkdir()
        Image.fromarray(golden.images[number]).save(f"{folder}/x.jpg")
    Image.fromarray(golden.images[2]).save("b/X.png")
    assert segment("a/x.jpg", "b/x.jpg", "b/X.png", "the star", "--format", "all") == 0
    names = [line["files"][0] for line in lines()]
    assert names == ["x.the-star.mask.png", "x.the-star-2.mask.png", "X.the-star-3.mask.png"]
    for line in lines():
        for file in line["files"]:
            if file.endswith(".star.json"):
                assert json.loads(Path("answers", file).read_text())["source"] == line["source"]


def test_files_of_others_are_not_replaced(segment):
    Path("answers").mkdir()
    Path("answers/a.the-star.mask.png").write_text("mine")
    assert segment("photos/[ab].png", "the star", "--format", "mask") == 0
    assert [line["files"] for line in lines()] == [["a.the-star-2.mask.png"], ["b.the-star.mask.png"]]
    assert Path("answers/a.the-star.mask.png").read_text() == "mine"


def test_json_alone_is_on_stdout_and_no_file_is_written(segment, capsys):
    Path("photos/b.png").write_bytes(b"")
    assert segment("photos", "the star", "--json") == 1
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["image"]).name for line in printed] == ["a.png", "b.png", "c.png", "d.png"]
    assert "error" in printed[1] and printed[0]["rle"]["size"] == [101, 128]
    assert os.listdir(".") == ["photos"]
    assert segment("photos/a.png", "the star", "--json") == 0
    assert json.loads(capsys.readouterr().out)["image"] == "photos/a.png" and os.listdir(".") == ["photos"]


def test_json_with_a_folder_prints_all_answers_also_when_it_goes_on(segment, capsys):
    assert segment("photos", "the star", "--json", "--out", "out") == 0
    first = capsys.readouterr().out
    assert first == Path("out/answers.jsonl").read_text()
    assert segment("photos", "the star", "--json", "--out", "out") == 0
    assert capsys.readouterr().out == first


def test_quiet_prints_nothing(segment, capsys):
    assert segment("photos", "the purple dog", "--quiet") == 0
    assert segment("photos/a.png", "the purple dog", "--quiet", "--out", "one") == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == "" and len(content("one")) == 2


def test_coco_reads_the_results(segment, tmp_path, capsys):
    for number, name in enumerate("ab", start=1):
        os.rename(f"photos/{name}.png", f"photos/{number:012}.png")
    assert segment("photos/0*.png", *ASKED, "--coco", "results.json") == 0
    assert "image_id is the numbers in file names" in capsys.readouterr().out
    images = [{"id": k, "width": 128, "height": 100 + k} for k in (1, 2)]
    Path("truth.json").write_text(
        json.dumps({"images": images, "annotations": [], "categories": [{"id": 1}, {"id": 2}]})
    )
    loaded = COCO("truth.json").loadRes("results.json")
    found = [(line, one) for line in lines() for one in line["instances"]]
    assert len(loaded.anns) == len(found) >= 2
    for annotation, (line, one) in zip(loaded.loadAnns(loaded.getAnnIds()), found, strict=True):
        assert annotation["image_id"] == int(Path(line["image"]).stem) and annotation["area"] == one["area"]
        assert ASKED[annotation["category_id"] - 1] == line["expression"] and annotation["score"] == line["exists"]
    assert segment("photos/0*.png", *ASKED, "--coco", "results.json", "--out", "other") == 2
    assert "results.json is there already" in capsys.readouterr().err


def test_the_ids_of_coco_may_be_columns(segment):
    Path("photos/t.csv").write_text("image,expression,image_id\na.png,the stars,17\nc.png,the stars,x\n")
    assert segment("--table", "photos/t.csv", "--coco", "results.json") == 0
    ids = [entry["image_id"] for entry in json.loads(Path("results.json").read_text())]
    assert ids == [{"17": 17}.get(line["image_id"], "x") for line in lines() for _ in line["instances"]]


@pytest.mark.parametrize(
    "words",
    [
        ["photos", "photos/a.png"],
        ["missing.png", "photos/a.png", "the star"],
        ["photos", "the star", "--weights", "nothing"],
        ["photos", "the star", "--device", "toaster"],
        ["photos/*.gif", "the star"],
        ["--table", "photos/notes.txt"],
        ["photos", "the star", "--out", "photos/notes.txt"],
        ["photos", "the star", "--coco", "photos"],
    ],
)
def test_mistakes_are_told_before_torch_is_imported(photographs, words):
    code = "import sys; from refseg.cli import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "segment", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "False\n") and "error: " in done.stderr
    assert not Path("answers").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["photos/a.png", "the star", "photos/b.png"], "refseg segment photos/a.png photos/b.png 'the star'"),
        (["photos", "the star", "--out", "photos"], "photos holds the photographs"),
        (["photos/a.png", "photos"], "photos is a folder|among the expressions and is a folder"),
        (["-i", "photos/a.png", "photos/b.png", "the star"], "segment -i photos/a.png -i photos/b.png 'the star'"),
        (
            ["photos/a.png", "photos/b.png"],
            "Missing argument EXPRESSION: say what to find in photos/a.png photos/b.png",
        ),
        (["photos/a.png", "x.png", "the star"], "x.png is missing"),
        (["photos/a.png", "phots/", "the star"], "phots/ is missing"),
        (
            ["photos/a.png", "the star", "x.png"],
            "x.png stands among the expressions, is written as a path, and is missing",
        ),
        (["photos/*.gif", "the star"], "no file matches"),
        (["photos/a.png", "photos/b.png", "--frames", "the star"], "--frames is of one folder"),
        ([], "Missing argument IMAGE"),
    ],
)
def test_what_is_missing_or_ambiguous_is_told(segment, capsys, words, told):
    assert segment(*words) == 2
    assert re.search(told.replace("*", r"\*"), capsys.readouterr().err) and not Path("answers").exists()


def test_a_word_that_is_also_a_folder_is_an_expression_where_images_are_named(photographs):
    Path("dog").mkdir()
    with pytest.raises(InvalidInput, match="refseg segment -i photos/a.png dog"):
        read_inputs(["photos/a.png", "dog"], [], None, None)
    inputs = read_inputs(["dog"], ["photos/a.png"], None, None)
    assert (inputs.one, inputs.expressions) == (Path("photos/a.png"), ["dog"])


@pytest.mark.parametrize("expression", ["is it red?", "the cup/mug", "[the] star", "what *is* it"])
def test_signs_of_globs_and_paths_may_stand_in_expressions(photographs, expression):
    inputs = read_inputs(["photos/a.png", expression], [], None, None)
    assert (inputs.one, inputs.expressions) == (Path("photos/a.png"), [expression])


def test_a_name_that_looks_like_a_glob_is_that_file(photographs):
    Path("photos/a.png").rename("photos/a[1].png")
    assert read_inputs(["photos/a[1].png", "the star"], [], None, None).one == Path("photos/a[1].png")
    with pytest.raises(MissingFile, match="missing"):
        read_inputs(["photos/a[1].png", "b.png", "the star"], [], None, None)


def test_a_folder_of_frames_is_a_video_unless_it_is_said_to_be_photographs(segment, golden, capsys):
    Path("clip").mkdir()
    for number in range(3):
        Image.fromarray(golden.images[number]).save(f"clip/{number}.png")
    assert segment("clip", "the star", "--format", "rle", "--out", "video") == 0
    assert "clip is taken for a video" in capsys.readouterr().err and list(content("video")) == [
        "clip.the-star.rle.jsonl"
    ]
    assert segment("clip", "the star", "--format", "rle", "--photographs") == 0
    assert not capsys.readouterr().err and len(lines()) == 3


def test_many_is_lazy_and_holds_a_few_images_only(checkpoint_folder, golden, tmp_path):
    for name in "ab":
        Image.fromarray(golden.images[0]).save(tmp_path / f"{name}.png")
    taken = []

    def paths():
        for number in range(10_000):
            taken.append(number)
            yield tmp_path / ("ab"[number % 2] + ".png")

    results = load(checkpoint_folder).many(paths(), ["the stars"])
    assert not taken
    next(results)
    time.sleep(0.2)
    assert len(taken) < 20
    results.close()


def test_many_gives_the_results_of_single_calls(checkpoint_folder, photographs):
    segmenter = load(checkpoint_folder)
    alone_of = {path: iter(segmenter(path, ASKED, threshold=0.3)) for path in photographs.glob("*.png")}
    for result in segmenter.many(photographs, ASKED, threshold=0.3):
        alone = next(alone_of[result.path])
        assert result.expression == alone.expression
        np.testing.assert_array_equal(result.mask, alone.mask)
        assert result.exists == alone.exists and result.logits.equal(alone.logits)


def test_many_takes_rows_and_warns_of_what_it_cannot_read(checkpoint_folder, photographs):
    rows = [
        {"image": photographs / "a.png", "expression": "the star", "id": 3},
        {"image": "no.png", "expression": "it"},
    ]
    with pytest.warns(UserWarning, match="no.png is missing"):
        (result,) = load(checkpoint_folder).many(rows)
    assert result.row == {"id": 3} and result.to_dict()["image"] == "photos/a.png"


def test_many_refuses_what_says_no_expression(checkpoint_folder, photographs):
    segmenter = load(checkpoint_folder)
    with pytest.raises(InvalidInput, match="give expressions="):
        segmenter.many(photographs)
    with pytest.raises(InvalidInput, match="is one expression"):
        segmenter.many(photographs, "the star")


@pytest.mark.parametrize(
    "words",
    [["a.mp4", "b.mp4", "the star"], ["photos/a.png", "b.mp4", "the star"], ["-i", "b.mp4", "-i", "a.mp4", "x"]],
)
def test_videos_are_answered_one_at_a_time(photographs, segment, capsys, words):
    for name in ("a.mp4", "b.mp4"):
        Path(name).write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))
    assert segment(*words) == 2
    said = "b.mp4 is a video, which is answered alone: refseg segment b.mp4 'the red cup'"
    assert said in capsys.readouterr().err and not Path("answers").exists()
