"""What manifests say: every kind gives its rows, each once, and tells what is wrong with one."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg.errors import InvalidInput, MissingFile
from refseg.manifests.csv_rows import CsvRows
from refseg.manifests.json_rows import JsonRows
from refseg.manifests.places import ImageRoot
from refseg.manifests.tar_shards import TarShards

ROWS = [{"image": f"{k}.png", "expressions": ["the cup", "the pen"], "id": k} for k in range(5)]
OLD = b"\x89PNG\r\n\x1a\n"


def write_lines(place: str, rows: list[object]) -> str:
    Path(place).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return place


def asked(line: dict) -> list[str]:
    return [one["expression"] for one in line["results"]]


def shard(place: str, members: dict[str, bytes | tarfile.TarInfo]) -> str:
    with tarfile.open(place, "w") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return place


def test_lines_of_json_give_rows_with_what_is_carried_along(answered):
    place = write_lines("images.jsonl", [*ROWS[:3], "", *ROWS[3:]])
    run = answered(place)
    assert [(line["row"], line["image"], line["id"]) for line in run.lines] == [(k, f"{k}.png", k) for k in range(5)]
    assert asked(run.lines[4]) == ["the cup", "the pen"]
    assert (run.plan.pieces.count, run.plan.pieces.rows) == (3, 5)


def test_a_row_without_expressions_is_asked_those_of_the_command(answered):
    place = write_lines("images.jsonl", [{"image": "a.png"}, {"image": "b.png", "expression": "the pen"}])
    assert [asked(line) for line in answered(place, "both cups").lines] == [["both cups"], ["the pen"]]


def test_a_damaged_row_is_a_line_with_its_error_and_no_other_row_is_lost(answered):
    rows = [ROWS[0], "{broken", {"id": 7, "expression": "the cup"}, {"image": "x", "expression": 3}, ROWS[1]]
    lines = answered(write_lines("images.jsonl", rows)).lines
    assert [(line["row"], "error" in line) for line in lines] == [(k, k in (1, 2, 3)) for k in range(5)]
    assert "row 1 is not JSON" in lines[1]["error"]
    assert "row 2 has no image (it has id, expression)" in lines[2]["error"]
    assert "row 3 has 3 for expressions" in lines[3]["error"]


def test_a_column_with_the_name_of_a_field_is_refused(answered):
    with pytest.raises(InvalidInput, match="row 0: column results has the name of a field of the answers; rename it"):
        answered(write_lines("images.jsonl", [{**ROWS[0], "results": 1}]))


def test_a_table_gives_the_same_rows_as_lines_of_json(answered):
    Path("images.csv").write_bytes(
        b'\xef\xbb\xbfid;image;expressions\r\n1;a.png;"the cup, left | the\npen"\r\n\r\n2;b.png;the cup\r\n3;c.png\r\n'
    )
    lines = answered("images.csv", piece_size=1).lines
    assert [line.get("id") for line in lines] == ["1", "2", None]
    assert asked(lines[0]) == ["the cup, left", "the\npen"]
    assert "row 2 has 2 columns, the head has 3" in lines[2]["error"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"file,expression\na,b\n", "'file,expression' for its head, which must name the columns"),
        (b"image,expressions\na,\"['the cup']\"\n", r"in a .csv \| sets them apart"),
        (b"image,expression\n", "has no row"),
        (b'image,expression\na,"open\n' + b"b,c\n" * 60_000, "is a quote left open"),
        ("image,expression\na,b\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"image,expression,row\na,b,c\n", "column row has the name of a field"),
        (b"", "for its head"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_before_anything_is_written(answered, content, said):
    Path("images.csv").write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        answered("images.csv")
    assert not Path("answers").exists()


TEXT = st.text(st.characters(exclude_characters="|\0", exclude_categories=("Cs",)), min_size=1, max_size=8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=9), st.integers(1, 4))
def test_pieces_together_are_the_manifest_whatever_its_texts_are(tmp_path_factory, rows, piece_size):
    import csv

    folder = tmp_path_factory.mktemp("tables")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "note"), *((image, note) for image, note in rows)])
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"image": image, "note": note}) for image, note in rows))
    for kind, place in ((CsvRows, folder / "a.csv"), (JsonRows, folder / "a.jsonl")):
        manifest = kind(str(place), ["the cup"], ImageRoot(str(folder)))
        pieces = manifest.cut(piece_size)
        found = [row for k in range(pieces.count) for row in manifest.read(pieces, k, piece_size)]
        assert [row.number for row in found] == list(range(len(rows))) and pieces.rows == len(rows)
        assert [(row.image, row.columns.get("note")) for row in found] == rows


def test_a_folder_is_listed_once_in_natural_order(answered):
    Path("photos").mkdir()
    for name in ("10.png", "9.png", "a.txt"):
        Path("photos", name).touch()
    assert [line["image"] for line in answered("photos", "the cup").lines] == ["9.png", "10.png"]
    Path("photos", "1.png").touch()
    assert [line["image"] for line in answered("photos", "the cup").lines] == ["9.png", "10.png"]
    with pytest.raises(InvalidInput, match="what to find in photos is not said; name expressions"):
        answered("photos", out="others")


def test_a_glob_names_images_as_seen_from_its_fixed_part(answered):
    Path("photos/a/b").mkdir(parents=True)
    Path("photos/a/b/1.png").touch()
    run = answered("photos/**/*.png", "the cup")
    assert [line["image"] for line in run.lines] == ["a/b/1.png"]
    assert run.manifest.root.image("a/b/1.png") == Path("photos/a/b/1.png")


def test_a_tar_file_is_a_piece_and_its_texts_say_what_is_asked(answered):
    shard("0.tar", {"a/1.png": OLD, "a/1.json": b'{"expressions": ["the cup"], "url": "u"}', "a/1.seg.png": b"no"})
    shard("1.tar", {"2.jpg": OLD, "2.txt": b"the pen\nthe cup\n", "3.json": b"{}", "4.png": OLD})
    run = answered("{0..1}.tar")
    assert (run.plan.pieces.count, run.plan.pieces.rows) == (2, None)
    first, *others = run.lines
    assert (first["shard"], first["row"], first["image"], asked(first)) == ("0.tar", 0, "a/1.png", ["the cup"])
    assert first["json"]["url"] == "u"
    assert asked(others[0]) == ["the pen", "the cup"]
    assert "sample '3' holds no image (.json)" in others[1]["error"]
    assert "'4' has no expression; put expressions into KEY.json or KEY.txt" in others[2]["error"]


def test_what_refseg_data_shard_writes_is_read(answered):
    about = {"image": "7", "size": [2, 2], "objects": [], "expressions": [{"id": "1", "raw": "Cup!", "sent": "cup"}]}
    shard("0.tar", {"000000000.jpg": OLD, "000000000.json": json.dumps(about).encode()})
    assert asked(answered("*.tar").lines[0]) == ["cup"]


def test_members_that_are_links_or_too_large_are_refused_and_the_others_answered(answered, monkeypatch):
    import refseg.manifests.tar_shards as module

    monkeypatch.setattr(module, "MAX_IMAGE_BYTES", 2000)
    link = tarfile.TarInfo("1.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    shard("0.tar", {"0.png": OLD, "1.png": link, "2.png": bytes(2001), "3.png": OLD})
    errors = [line.get("error") for line in answered("0.tar", "the cup").lines]
    assert errors[0] is None and errors[3] is None
    assert "'1.png' is no ordinary file" in errors[1]
    assert "'2.png' has 2,001 bytes; at most 2,000 are read" in errors[2]


def test_of_a_tar_file_that_is_cut_off_the_images_before_are_answered(answered):
    shard("0.tar", {f"{k}.png": OLD * 200 for k in range(3)})
    Path("0.tar").write_bytes(Path("0.tar").read_bytes()[:3000])
    lines = answered("0.tar", "the cup").lines
    assert [line["image"] for line in lines if "error" not in line] == ["0.png"]
    assert "0.tar cannot be read as a tar file" in lines[-1]["error"] and lines[-1]["shard"] == "0.tar"


def test_a_compressed_tar_file_is_refused(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w:gz"):
        pass
    with pytest.raises(InvalidInput, match="is it damaged, cut off or compressed"):
        TarShards(str(tmp_path / "0.tar"), ["the cup"]).check()


def test_all_tar_files_that_are_missing_are_told(answered):
    shard("00.tar", {"1.png": OLD})
    with pytest.raises(MissingFile, match=r"2 files of '\{00..02\}.tar': 01.tar, 02.tar are missing"):
        answered("{00..02}.tar", "the cup")


def test_parquet_gives_rows_from_any_row_on(answered):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {"image": {"bytes": OLD, "path": f"{k}.png"}, "expression": f"cup {k}", "id": k, "f": 0.5} for k in range(9)
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), "images.parquet", row_group_size=4)
    run = answered("images.parquet")
    assert [(line["row"], line["image"], line["id"], line["f"]) for line in run.lines] == [
        (k, f"{k}.png", k, 0.5) for k in range(9)
    ]
    for piece in (3, 0, 4, 1):  # in any order
        read = list(run.manifest.read(run.plan.pieces, piece, 2))
        assert [row.expressions for row in read] == [(f"cup {k}",) for k in range(2 * piece, min(2 * piece + 2, 9))]
        assert read[0].content == OLD
    Path("images.parquet").write_bytes(b"no")
    with pytest.raises(InvalidInput, match="is not Parquet"):
        answered("images.parquet", out="others")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../a.png", "leaves its folder"),
        ("/etc/passwd", "is absolute and not in"),
        ("s3://other/a.png", "is a URL; name the place that may be read: images='s3://other'"),
    ],
)
def test_names_of_images_stay_in_their_folder(tmp_path, name, said):
    with pytest.raises(InvalidInput, match=said):
        ImageRoot(str(tmp_path)).image(name)


def test_what_is_no_manifest_is_told(answered):
    Path("a.txt").touch()
    with pytest.raises(InvalidInput, match="'a.txt' is no manifest; give a table"):
        answered("a.txt")
    with pytest.raises(MissingFile, match="b is missing"):
        answered("b")
    with pytest.raises(MissingFile, match="c.jsonl is missing"):
        answered("c.jsonl")
    Path("shards").mkdir()
    shard("shards/0.tar", {"1.png": OLD})
    with pytest.raises(InvalidInput, match=r"shards holds tar files; give them as 'shards/\*.tar'"):
        answered("shards", "the cup")
    with pytest.raises(InvalidInput, match="is no table; the folder that paths start from is of tables"):
        answered("shards", "the cup", images="shards")
