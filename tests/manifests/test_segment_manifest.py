"""`refseg segment --manifest` with weights: its answers are those of calls for each image alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.errors import InvalidInput
from refseg.inference.segmenter import load
from refseg.manifests.segment_manifest import segment_manifest

ASKED = ["the stars", "the medium object"]


@pytest.fixture(scope="module")
def manifest(golden, tmp_path_factory) -> Path:
    """Five rows about four images, of which one is damaged and one missing."""
    folder = tmp_path_factory.mktemp("manifest")
    rows = [{"image": f"{k}.png", "expressions": ASKED[: 1 + k % 2], "id": k} for k in range(5)]
    for k in range(3):
        Image.fromarray(golden.images[k][:48, :64]).save(folder / f"{k}.png")
    (folder / "3.png").write_bytes(b"no image")
    (folder / "images.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "images.jsonl"


@pytest.fixture
def segment(monkeypatch, run_segment, tmp_path):
    """Runs `refseg segment` in an empty folder; gives the exit code."""
    monkeypatch.chdir(tmp_path)
    return run_segment


def lines(out: str = "answers") -> list[dict]:
    return [json.loads(line) for part in sorted(Path(out).glob("part-*.jsonl")) for line in part.open()]


def test_every_row_has_the_answer_of_a_call_for_its_image_alone(segment, manifest, checkpoint_folder, capsys):
    assert segment("--manifest", manifest, "--piece-size", 2, "--part", "2/2", "--format", "mask") == 0
    said = capsys.readouterr()
    assert "5 images in 3 pieces; worker 2 of 2 (part 2/2): 1 piece to answer" in said.err
    assert "2 of 3 pieces left to other workers" in said.err
    assert segment("--manifest", manifest, "--piece-size", 2, "--format", "mask") == 0
    said = capsys.readouterr()
    assert "2 images done, 1 failed" in said.out and "4.png is missing; check the path" in said.err
    found = lines()
    assert [(line["row"], line["id"], "error" in line) for line in found] == [(k, k, k > 2) for k in range(5)]
    segmenter = load(checkpoint_folder)
    for k, line in enumerate(found[:3]):
        results = segmenter(manifest.parent / f"{k}.png", ASKED[: 1 + k % 2])
        for one, result in zip(line["results"], results, strict=True):
            assert {**result.to_dict(), "boxes": [list(box) for box in result.boxes], "files": one["files"]} == one
            assert (np.asarray(Image.open(Path("answers", *one["files"]))) == result.mask * 255).all()
    assert found[0]["weights"] == str(checkpoint_folder) and found[0].keys() >= {"sha256", "threshold", "version"}

    assert not list(Path("answers").glob(".*"))

    Path("answers/.unfinished").mkdir()  # of a worker that was killed when its piece was in place
    Path("answers/.unfinished/part-00001.jsonl.lock").touch()
    assert segment("--manifest", manifest, "--piece-size", 2, "--format", "mask") == 0
    assert "all of its pieces are there already" in capsys.readouterr().err
    assert not list(Path("answers").glob(".*"))
    assert segment("--status") == 0
    assert "done 3, failed 2, left 0 images\n3 of 3 pieces" in capsys.readouterr().out
    assert segment("--status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["failed_pieces"] == [1, 2]

    assert segment("--manifest", manifest, "--piece-size", 2, "--threshold", "0.3", "--format", "mask") == 2
    assert "answers holds answers with another threshold" in capsys.readouterr().err
    assert segment("--manifest", manifest, "--piece-size", 2) == 2
    assert "answers holds answers with other files (['mask'], now [])" in capsys.readouterr().err


def test_pieces_with_errors_are_asked_again_when_they_are_mended(segment, manifest, golden, tmp_path, capsys):
    for k in range(3):
        Image.fromarray(golden.images[k][:48, :64]).save(f"{k}.png")
    rows = manifest.read_text().splitlines()[1:4]
    Path("images.jsonl").write_text("\n".join(rows))
    assert segment("--manifest", "images.jsonl", "--piece-size", 1) == 0
    assert "--retry-failed asks pieces with errors again" in capsys.readouterr().err
    before = Path("answers/part-00000.jsonl").stat().st_ino
    Image.fromarray(golden.images[3][:48, :64]).save("3.png")
    assert segment("--manifest", "images.jsonl", "--piece-size", 1, "--retry-failed") == 0
    assert "1 image done, 0 failed" in capsys.readouterr().out
    assert not any("error" in line for line in lines())
    assert Path("answers/part-00000.jsonl").stat().st_ino == before


def test_an_expression_that_cannot_be_read_is_an_error_of_its_own(segment, manifest, golden):
    Image.fromarray(golden.images[0][:48, :64]).save("0.png")
    Path("images.jsonl").write_text(json.dumps({"image": "0.png", "expressions": ["the stars", "\ud800", "the stars"]}))
    assert segment("--manifest", "images.jsonl") == 0
    first, second, third = lines()[0]["results"]
    assert "holds bytes that are no text" in second["error"]
    assert first == third and "error" not in first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "--manifest images.jsonl --table images.jsonl",
            "--table is not of a --manifest, whose answers are",
        ),
        ("--manifest images.jsonl --json", "--json is not of a --manifest"),
        ("a.png x --part 1/2", "--part is of a manifest; give one with --manifest images.jsonl"),
        ("--manifest images.jsonl --format polygons", "--format polygons is not written of a manifest"),
        ("--manifest images.jsonl --part 3/2", "--part 3/2 is no part; write --part 2/8"),
        ("--manifest images.jsonl -i a -i b", "--manifest takes one --images"),
        ("--manifest images.jsonl -i nowhere", "nowhere is not a folder; give the folder that the paths of"),
        ("--manifest nothing.jsonl", "nothing.jsonl is missing"),
        ("--manifest images.jsonl", "a.png is missing; names of images start from .; --images takes another folder"),
        ("--manifest . --out . x", ". holds the photographs; give another --out for the answers"),
        ("--status --out nowhere", "nowhere holds no answers to a manifest"),
        ("--manifest images.jsonl --ray local --actors 0", "--actors 0 is no number of actors|pip install 'refseg.ray"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(segment, capsys, arguments, said):
    import re

    Path("images.jsonl").write_text('{"image": "a.png", "expression": "x"}\n')
    assert segment(*arguments.split()) == 2
    assert re.search(said, capsys.readouterr().err)
    assert sorted(path.name for path in Path().iterdir()) == ["images.jsonl"]


def test_python_does_what_the_command_does(manifest, checkpoint_folder, tmp_path):
    outcome = segment_manifest(str(manifest), str(tmp_path / "a"), weights=str(checkpoint_folder), piece_size=5)
    assert (outcome.done, outcome.failed, outcome.pieces, outcome.left) == (3, 2, 1, 0)
    with pytest.raises(InvalidInput, match="piece_size=0 is not allowed"):
        segment_manifest(str(manifest), str(tmp_path / "b"), piece_size=0)
    assert not (tmp_path / "b").exists()


def test_batches_of_ray_data_get_results_and_keep_the_types_of_their_columns(manifest, checkpoint_folder):
    """A batch is a table of pyarrow, with Ray or without."""
    arrow = pytest.importorskip("pyarrow")
    from refseg.manifests.ray_engine import RowAnswers

    rows = [{"image": f"{k}.png", "expressions": ASKED, "id": k} for k in (0, 4)]
    answers = RowAnswers(str(checkpoint_folder), images=str(manifest.parent))(arrow.Table.from_pylist(rows))
    assert answers.schema.field("expressions").type == arrow.list_(arrow.string())
    first, second = answers.to_pylist()
    alone = load(checkpoint_folder)(manifest.parent / "0.png", ASKED)
    assert [one["rle"] for one in json.loads(first["results"])] == [one.rle() for one in alone]
    assert second["results"] is None and "4.png is missing" in second["error"]

    held = [{"image": (manifest.parent / "0.png").read_bytes()}, {"image": "0.png"}]
    for row in held:
        (line,) = RowAnswers(str(checkpoint_folder), ASKED)(arrow.Table.from_pylist([row])).to_pylist()
        assert line["results"] == first["results"] or "name their folder with images=..." in line["error"]


@pytest.mark.slow
def test_actors_of_ray_give_the_same_answers(manifest, checkpoint_folder, tmp_path):
    pytest.importorskip("ray.data", reason="the engine for clusters needs ray")
    for name, engine in (("plain", {}), ("ray", {"ray": "local", "actors": "2"})):
        out = str(tmp_path / name)
        segment_manifest(str(manifest), out, weights=str(checkpoint_folder), piece_size=2, **engine)
    assert lines(str(tmp_path / "plain")) == lines(str(tmp_path / "ray"))
