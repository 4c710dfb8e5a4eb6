import os

import pytest
import torch
from torch import nn

from refseg.encoders import glove
from refseg.encoders.glove import fill_vectors, read_glove
from refseg.errors import InvalidInput, MissingFile

LINES = ["the 0.5 -1 2e-1", ". . . 1 1 1", "red 1 2 3", ". 4 5 6", "café 7 8 9", "red 0 0 0"]


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "vectors.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def plain(found):
    return {word: vector.tolist() for word, vector in found.items()}


def test_only_the_words_asked_for_are_kept_and_the_first_of_each(file):
    assert plain(read_glove(file, ["red", "café", ".", "absent"], 3)) == {
        "red": [1, 2, 3],
        ".": [4, 5, 6],
        "café": [7, 8, 9],
    }


def test_the_second_time_they_come_from_the_cache(file, monkeypatch):
    first = plain(read_glove(file, ["red", "the"], 3))
    monkeypatch.setattr(glove, "_scan", None)
    assert plain(read_glove(file, ["the", "red"], 3)) == first
    with pytest.raises(TypeError):  # other words are not in it
        read_glove(file, ["red"], 3)
    os.utime(file, ns=(0, 0))
    with pytest.raises(TypeError):
        read_glove(file, ["red", "the"], 3)


def test_a_damaged_cache_is_made_anew(file, tmp_path):
    read_glove(file, ["red"], 3)
    (cached,) = (tmp_path / "cache" / "glove").iterdir()
    cached.write_bytes(b"damaged")
    assert plain(read_glove(file, ["red"], 3)) == {"red": [1, 2, 3]}


def test_without_a_place_for_the_cache_it_works_all_the_same(file, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert plain(read_glove(file, ["red"], 3)) == {"red": [1, 2, 3]}


def test_the_file_is_read_line_by_line(file, monkeypatch):
    monkeypatch.setattr("pathlib.Path.read_bytes", None)
    monkeypatch.setattr("pathlib.Path.read_text", None)
    assert plain(read_glove(file, ["red"], 3)) == {"red": [1, 2, 3]}


def test_known_words_get_their_vectors_and_the_others_keep_theirs(file):
    vectors = nn.Embedding(4, 3)
    before = vectors.weight.detach().clone()
    assert fill_vectors(vectors, file, {"absent": 1, "red": 2, "the": 3}) == 2
    wanted = torch.stack([before[0], before[1], torch.tensor([1.0, 2, 3]), torch.tensor([0.5, -1, 0.2])])
    torch.testing.assert_close(vectors.weight.detach(), wanted)
    assert vectors.weight.requires_grad


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 2\n", r"line 1: not a word and 3 numbers \(2 follow the first"),
        ("the 1 2 3 4\n", "line 1"),
        ("the 1 2 3\nred 1 x 3\n", "line 2"),
        ("the 1 2 3\nred 1 2\n", "line 2"),
        ("the 1 2 3\nred 1 nan 3\n", "line 2"),
        ("", "line 1"),
        ("PK\x03\x04", "zip archive; unpack it"),
        ("\x00\x01\x02" * 99, "line 1"),
        ("the 1 2 3\ngreen 1 2 3\n", "none of the 1 word"),
    ],
)
def test_a_malformed_file_is_one_error(file, text, message):
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=message):
        fill_vectors(nn.Embedding(4, 3), file, {"red": 2})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFile, match="nowhere.txt is missing"):
        read_glove(tmp_path / "nowhere.txt", ["red"], 3)
