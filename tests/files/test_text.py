"""Encodings of users' text files, and tables."""

import pytest

from refseg.errors import InvalidInput, MissingFile
from refseg.files.text import read_table, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_by_its_mark(tmp_path, encoding):
    (tmp_path / "t.txt").write_bytes("le café\n".encode(encoding))
    assert read_text(tmp_path / "t.txt") == "le café\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nle café\n".encode("cp1252"), r"t\.txt: line 2 is not UTF-8; save it as UTF-8"),
        ("a\nb".encode("utf-16-le"), r"t\.txt: line 1 has a zero byte, as UTF-16 without a mark has"),
        ("ab".encode("utf-16")[:-1], r"t\.txt: line 1 is not UTF-16"),
    ],
)
def test_other_encodings_are_refused_with_the_line_and_the_way_out(tmp_path, content, message):
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read_text(tmp_path / "t.txt")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(MissingFile, match="gone is missing"):
        read_text(tmp_path / "gone")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_text(tmp_path)


def test_rows_of_a_table_come_with_their_lines(tmp_path):
    (tmp_path / "t.csv").write_bytes(b'a,b\r\n\r\n"x, y\nz",2\r\n')
    assert list(read_table(tmp_path / "t.csv")) == [(1, ["a", "b"]), (4, ["x, y\nz", "2"])]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_of_other_spreadsheets_are_read(tmp_path, delimiter):
    (tmp_path / "t.csv").write_text(f"image{delimiter}expression\na.png{delimiter}the dog, left or right\n")
    assert list(read_table(tmp_path / "t.csv")) == [
        (1, ["image", "expression"]),
        (2, ["a.png", "the dog, left or right"]),
    ]


def test_a_cell_of_any_length_is_refused_with_its_line(tmp_path):
    (tmp_path / "t.csv").write_text(f"a,b\n{'x' * 200_000},2\n")
    with pytest.raises(InvalidInput, match="line 2 is not as the format says .field larger"):
        list(read_table(tmp_path / "t.csv"))
