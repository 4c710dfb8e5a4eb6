import json
import os

import pytest

from refseg.datasets.storage.reading import error_context, expand_user, find_folder, read_plain
from refseg.errors import InvalidInput, MissingFile


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_read_in_its_encoding_with_or_without_a_byte_order_mark(files, encoding):
    path = files.bytes("refs.json", json.dumps(["café"], ensure_ascii=False).encode(encoding))
    assert read_plain(path) == ["café"]


@pytest.mark.parametrize(
    "content", [b"[" + b"1" * 5000 + b"]", b"[" * 100_000, b"", b"\xff\xfe\xff", b'["caf\xe9"]', b"[1, 2", b"\0\0\0"]
)
def test_what_is_no_json_is_said_in_one_line(files, content):
    path = files.bytes("refs.json", content)
    with pytest.raises(InvalidInput, match=r"refs\.json is damaged or not JSON") as told:
        read_plain(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("fault", [KeyError("id"), TypeError("no"), AttributeError("no"), OverflowError("big")])
def test_an_entry_that_is_not_as_the_format_says_is_said_with_its_file(files, fault):
    def each(entry):
        raise fault

    with pytest.raises(InvalidInput, match=r"refs\.json is not as its format says"):
        read_plain(files.json("refs.json", [{}]), each)


def test_what_is_said_of_an_entry_is_one_line():
    with pytest.raises(InvalidInput) as told, error_context("line 1"):
        raise ValueError("a\nb" + "c" * 10_000)
    assert str(told.value) == "line 1 is not as the format says (a)"


def test_an_entry_nested_too_deep_is_said_with_its_place():
    with pytest.raises(InvalidInput, match="line 1 is not as the format says"), error_context("line 1"):
        json.loads("[" * 100_000)


def test_a_folder_that_cannot_be_one_is_told(tmp_path):
    with pytest.raises(InvalidInput, match="~nosuchuser/data cannot be a path"):
        expand_user("~nosuchuser/data")
    for root in (tmp_path / ("a" * 300), "a\0b"):
        with pytest.raises(MissingFile, match="cannot be read"):
            find_folder("refcoco", "refcoco", "refcoco", root)


@pytest.mark.skipif(os.geteuid() == 0, reason="an administrator may enter every folder")
def test_a_folder_that_may_not_be_entered_is_told(tmp_path):
    (tmp_path / "locked" / "data").mkdir(parents=True)
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(MissingFile, match="cannot be read"):
            find_folder("refcoco", "refcoco", "refcoco", tmp_path / "locked" / "data")
    finally:
        (tmp_path / "locked").chmod(0o755)
