"""The own format for users' data, and `refseg data import`, which makes it."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from refseg import datasets
from refseg.cli import app
from refseg.errors import InvalidInput

RLE = {"counts": [0, 40, 560], "size": [20, 30]}


@pytest.fixture
def lines(files):
    """Writes lines to mine.jsonl, and opens it."""
    files.photograph("desk.jpg")

    def write(*entries, split: str = "all"):
        texts = (entry if isinstance(entry, str) else json.dumps(entry) for entry in entries)
        (files.root / "mine.jsonl").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return datasets.build("jsonl", split=split, root=files.root / "mine.jsonl")

    return write


def line(**more) -> dict:
    """A line that refers to nothing, unless it has a mask or boxes."""
    nothing = {} if more.keys() & {"mask", "boxes"} else {"mask": []}
    return {"image": "desk.jpg", "expression": "the cup"} | nothing | more


def test_masks_are_png_files_polygons_run_lengths_boxes_or_nothing(lines, files):
    Image.fromarray(np.eye(20, 30, dtype=np.uint8) * 255).save(files.root / "cup.png")
    (sample,) = lines(
        line(mask="cup.png"),
        line(mask=[files.square(0, 0), files.square(2, 0)]),
        line(mask=RLE, boxes=[[0, 0, 2, 3], [1, 1, 9, 4]]),
        line(boxes=[[0, 0, 2, 3], [1, 1, 9, 4]]),
        line(),
        line(mask=None, boxes=[]),
        line(mask=[files.square(10, 10), RLE]),
    )
    assert [len(expression.targets) for expression in sample.expressions] == [1, 1, 1, 2, 0, 0, 1]
    assert [int(sample.mask(k).sum()) for k in (0, 1, 2, 4, 5, 6)] == [20, 24, 40, 0, 0, 56]
    assert sample.box(2) == sample.box(3) == (0, 0, 9, 4)
    assert sample.box(1) == (0, 0, 6, 4)
    assert sample.box(4) is None
    with pytest.raises(InvalidInput, match="it has a box but no mask"):
        sample.mask(3)


@pytest.mark.parametrize("keys", [{}, {"mask": None}, {"mask": None, "boxes": None}])
def test_lines_that_do_not_say_what_they_refer_to_are_counted_and_refused(lines, keys):
    unstated = {"image": "desk.jpg", "expression": "the cup"} | keys
    with pytest.raises(
        InvalidInput, match=r'1 of 2 lines \(line 2\) has neither mask nor boxes; .* "mask": \[\] where'
    ):
        lines(line(), unstated)
    with pytest.raises(InvalidInput, match=r"9 of 10 lines \(line 1, line 2, line 3, \.\.\.\) have neither"):
        lines(*[unstated] * 9, line(boxes=[]))


def test_ids_are_the_lines_own_or_their_numbers(lines):
    (sample,) = lines(line(), "", line(id="a", type="plural"), line(id=70))
    assert [(expression.id, expression.type) for expression in sample.expressions] == [
        ("1", ""),
        ("a", "plural"),
        ("70", ""),
    ]


def test_splits_are_those_of_the_lines(lines):
    entries = line(split="val"), line(split="val", expression="a cup"), line(split="train")
    assert lines(*entries, split="val").expression_count == 2
    assert lines(*entries).expression_count == 3
    with pytest.raises(InvalidInput, match="jsonl has no split 'test'; .* holds val, train, and split 'all' takes"):
        lines(*entries, split="test")
    with pytest.raises(InvalidInput, match="holds no named ones, and split 'all' takes everything"):
        lines(line(), split="val")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "a line is an object with image, expression, .*, not a list"),
        ({"expression": "the cup"}, "image must be a text that is not empty"),
        (line(expression="  "), "expression must be a text that is not empty"),
        (line(expression=None), "expression must be a text that is not empty"),
        (line(masks=[]), "unknown key 'masks'; did you mean mask. choose one of: image, expression, mask"),
        (line(mask=" "), "mask names no file; give one, or .. where the expression refers to nothing"),
        (line(boxes=""), r"boxes is a list of .left, top, right, bottom., not ''"),
        (line(mask=3), "a segmentation is a list of polygons or run lengths"),
        (line(mask=[[1, 2, 3]]), "a polygon is"),
        (line(mask=[[1, 2, 3, 4]]), "no polygon of mask has 3 points"),
        (line(mask={"counts": [1], "size": [20, 30]}), "run lengths do not add up to 20 x 30"),
        (line(boxes=[[1, 2, 3]]), "boxes"),
        (line(boxes=[[5, 2, 3, 9]]), r"boxes: \[left, top, right, bottom\]"),
        (line(boxes=3), "boxes"),
        (line(boxes=[[1, 2, 1e999, 4]]), r"boxes: \[left, top, right, bottom\]"),
        (json.dumps(line(boxes=[[7, 2, 3, 4]])).replace("7", "9" * 5000), "not JSON"),
        ("[" * 100_000, "not JSON"),
        (line(split="half \ud800"), "split has half a character"),
        (line(split=3), "split must be a text"),
        (line(id=[]), "id must be a text or a number"),
        (line(id="1"), "id '1' is that of line 1 already"),
        (line(mask={"counts": [600], "size": [30, 20]}), r"its mask is of size \[30, 20\], that of line 1 of"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_the_reason(lines, entry, reason):
    with pytest.raises(InvalidInput, match=rf"mine\.jsonl: line 3: {reason}"):
        lines(line(mask=RLE), "", entry)


def test_several_bad_lines_are_told_together(lines):
    with pytest.raises(InvalidInput, match="line 1: .*; line 2: .*; line 3: .*; and 2 more$"):
        lines(*["bad"] * 5, line())


def test_letters_of_other_encodings_are_refused(lines, files):
    (files.root / "mine.jsonl").write_bytes(b'{"image": "desk.jpg", "expression": "caf\xe9"}\n')
    with pytest.raises(InvalidInput, match="line 1: not UTF-8"):
        datasets.build("jsonl", split="all", root=files.root)


def test_a_folder_must_hold_one_file_of_lines(lines, files):
    with pytest.raises(InvalidInput, match=r"has 0 files \*\.jsonl"):
        datasets.build("jsonl", split="all", root=files.root)


@pytest.fixture
def instances(files):
    annotations = {
        11: (1, [files.square(0, 0)]),
        12: (1, RLE, True),
        13: (1, []),
        21: (2, [files.square(5, 5)]),
    }
    return files.json("instances.json", files.coco({1: "desk.jpg", 2: "shelf.jpg"}, annotations))


def run(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", "import", *map(str, arguments)])
    return result.exit_code, " ".join(str(result.exception or result.output).split())


def test_a_table_of_expressions_is_imported(files, instances):
    for folder in ("photos", "out"):
        (files.root / folder).mkdir()
    files.photograph("photos/desk.jpg")
    table = files.root / "expressions.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["expression", "annotation", "image", "split", "id"])
        writer.writerow(["the cup, left", "11", "", "train", ""])
        writer.writerow(["both", "11 12", "1", "", "b"])
        writer.writerow(["a cat", "None", "desk.jpg", "", ""])
        writer.writerow(["only a box", "13", "", "", ""])
    out = files.root / "out" / "mine.jsonl"
    assert run(table, instances, "--out", out, "--images", files.root / "photos") == (
        0,
        f"{out}: 4 expressions, 1 of them refer to nothing; next: "
        f"refseg data check jsonl --root {out} --images {files.root / 'photos'}",
    )
    (sample,) = datasets.build("jsonl", split="all", root=out, images=files.root / "photos")
    assert [expression.text for expression in sample.expressions] == ["the cup, left", "both", "a cat", "only a box"]
    assert [expression.id for expression in sample.expressions] == ["1", "b", "3", "4"]
    assert [int(sample.mask(k).sum()) for k in range(3)] == [16, 16 + 40 - 4 * 2, 0]
    assert sample.box(3) == (2.5, 3, 6.5, 8)
    assert sample.image.shape == (20, 30, 3)
    assert datasets.build("jsonl", split="train", root=out).expression_count == 1


def test_names_of_images_begin_with_their_folder_where_it_is_inside(files, instances):
    files.photograph("photos/desk.jpg")
    table, out = files.bytes("t.csv", b"expression,annotation\nthe cup,11\n"), files.root / "mine.jsonl"
    assert run(table, instances, "--out", out, "--images", files.root / "photos")[0] == 0
    assert json.loads(out.read_text())["image"] == "photos/desk.jpg"
    assert datasets.build("jsonl", split="all", root=out)[0].image.shape == (20, 30, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_tables_of_any_unicode_encoding_with_a_mark_are_imported(files, instances, encoding):
    table = files.bytes("t.csv", "expression,annotation\nle café,11\n".encode(encoding))
    assert run(table, instances, "--out", files.root / "mine.jsonl")[0] == 0
    assert json.loads((files.root / "mine.jsonl").read_text(encoding="utf-8"))["expression"] == "le café"


def test_half_a_character_in_a_sentence_becomes_a_question_mark(files, instances):
    table = files.bytes("t.jsonl", b'{"expression": "the cup \\ud83d", "annotation": 11}\n')
    assert run(table, instances, "--out", files.root / "mine.jsonl")[0] == 0
    assert json.loads((files.root / "mine.jsonl").read_text())["expression"] == "the cup ?"


def test_rows_may_be_json_lines(files, instances):
    rows = [
        {"expression": "both", "annotation": [11, 12]},
        {"expression": "a cat", "image": 2, "annotation": [], "type": "name"},
    ]
    table = files.root / "rows.jsonl"
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert run(table, instances, "--out", files.root / "mine.jsonl")[0] == 0
    read = [json.loads(text) for text in (files.root / "mine.jsonl").read_text().splitlines()]
    assert read[1] == {"image": "shelf.jpg", "expression": "a cat", "mask": [], "type": "name"}


def test_refs_are_imported_with_their_ids(files, instances):
    refs = files.pickle("refs(unc).p", [files.ref(0, 1, 11, "Cup", "left"), files.ref(1, 2, [-1], "cat", split="val")])
    assert run(refs, instances, "--out", files.root / "mine.jsonl")[0] == 0
    read = datasets.build("jsonl", split="all", root=files.root / "mine.jsonl")
    assert [expression.id for sample in read for expression in sample.expressions] == ["0-0", "0-1", "1-10"]
    assert read[1].expressions[0].targets == ()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("expression,annotation\ncup,77\n", "line 2: annotation 77 is not in the COCO file"),
        ("expression,annotation\ncup,11 21\n", r"line 2: its annotations and image are of several images \(1, 2\)"),
        ("expression,annotation\ncup,none\n", "line 2: its annotation is none, so its image must be said; add its id"),
        ("expression,annotation,image\ncup,none,9.jpg\n", r"line 2: image 9\.jpg is not in the COCO file"),
        ("expression,image\ncup,1\n", r"1 of 1 row \(line 2\) has no annotation; give its id in COCO, or none where"),
        ("expression,annotation,image\ncup,11,\na, ,1\nb,,1\n", r"2 of 3 rows \(line 3, line 4\) have no annotation"),
        ("expression,annotation\n,11\ncup,77\n", "line 2: expression is empty; line 3: annotation 77"),
        ("expression,ann_id\ncup,11\n", "an unknown column 'ann_id'; the columns are expression, annotation"),
        ("annotation\n11\n", "no column 'expression'"),
        ("expression,annotation\nthe cup, left,11\n", "line 2: 3 cells, 2 columns; texts with commas need"),
        ("expression,annotation\nboth,11 13\n", "line 2: annotation 13 has a bbox but no segmentation"),
        ("expression,annotation\nspeck,14\n", "line 2: annotation 14: no polygon of its segmentation has 3 points"),
        ("expression,annotation\ncup,15\n", "line 2: boxes: .left, top, right, bottom. in pixels"),
        ("expression,annotation\ncup,16\n", "line 2: annotation 16 is more than once in the COCO file"),
        ("expression,annotation,id\ncup,11,7\nit,11,7\n", "line 3: id '7' is that of line 1 already"),
        ("expression,annotation\ncaf\xe9,11\n", "line 2 is not UTF-8; save it as UTF-8"),
        ("expression\0,annotation\ncup,11\n", "line 1 has a zero byte, as UTF-16 without a mark"),
        (f"expression,annotation\n{'long ' * 40_000},11\n", "line 2 is not as the format says .field larger"),
        (f"{'long ' * 40_000},11\n", "line 1 is not as the format says .field larger"),
    ],
)
def test_bad_rows_are_told_and_nothing_is_written(files, instances, rows, reason):
    content = json.loads(instances.read_text())
    cup = content["annotations"][0]
    content["annotations"] += [
        cup | {"id": 14, "segmentation": [[1, 2, 3, 4]]},
        cup | {"id": 15, "bbox": [5, 5, -3, 2]},
        cup | {"id": 16},
        cup | {"id": 16, "image_id": 2},
    ]
    files.json("instances.json", content)
    table = files.bytes("expressions.csv", rows.encode("cp1252"))
    with pytest.raises(InvalidInput, match=reason):
        CliRunner().invoke(
            app,
            ["data", "import", str(table), str(instances), "--out", str(files.root / "mine.jsonl")],
            catch_exceptions=False,
        )
    assert not (files.root / "mine.jsonl").exists()


def test_files_that_are_missing_or_of_another_kind_are_named(files, instances):
    out = files.root / "mine.jsonl"
    assert "gone.csv is missing" in run(files.root / "gone.csv", instances, "--out", out)[1]
    table = files.root / "table.xlsx"
    table.write_text("x")
    assert "is neither .csv nor .jsonl, nor refs" in run(table, instances, "--out", out)[1]
    assert "is not the name of a .jsonl file" in run(table, instances, "--out", files.root)[1]


def test_files_that_are_there_are_replaced_only_if_asked(files, instances):
    table, out = files.bytes("t.jsonl", b'{"expression": "the cup", "annotation": 11}\n'), files.root / "mine.jsonl"
    out.write_text("mine")
    said = run(table, instances, "--out", out)[1]
    assert "mine.jsonl is there already and would be replaced; add --overwrite" in said and out.read_text() == "mine"
    said = run(table, instances, "--out", table, "--overwrite")[1]
    assert "is one of the files that are read; give another name" in said and "annotation" in table.read_text()
    assert run(table, instances, "--out", out, "--overwrite")[0] == 0
    assert "desk.jpg" in out.read_text()


def test_realset_imported_has_the_same_masks(realset, files):
    out = files.root / "real.jsonl"
    refs = realset / "grefs(real).json"
    assert run(refs, realset / "instances.json", "--out", out, "--images", realset / "images")[0] == 0
    ours = datasets.build("jsonl", split="val", root=out, images=realset / "images")
    theirs = datasets.build("refer", split="val", root=realset, grefs=True)
    for one, other in zip(ours, theirs, strict=True):
        assert one.coco_id == other.coco_id
        for index, expression in enumerate(one.expressions):
            assert expression.id == other.expressions[index].id
            assert (one.mask(index) == other.mask(index)).all()
    assert (ours[0].image == theirs[0].image).all()
