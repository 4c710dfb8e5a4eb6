import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.files.pickles import read_pickle
from refseg.errors import InvalidInput

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(plain, st.sampled_from([0, 1, 2, 3, 4, 5]))
def test_plain_data_is_read_in_every_protocol(tmp_path_factory, content, protocol):
    path = tmp_path_factory.mktemp("pickles") / "refs(unc).p"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    assert read_pickle(path) == content


@pytest.mark.parametrize(("content", "text"), [(b"caf\xe9", "café"), ("café".encode(), "café"), (b"cup", "cup")])
def test_bytes_that_python_2_called_text_are_utf_8_or_else_latin_1(tmp_path, content, text):
    path = tmp_path / "refs(unc).p"
    path.write_bytes(b"\x80\x02U" + bytes([len(content)]) + content + b".")
    assert read_pickle(path) == text


class _RunsACommand:
    def __reduce__(self):
        return os.system, ("touch harmed",)


class _PointsOutside(pickle.Pickler):
    def persistent_id(self, obj):
        return "x" if isinstance(obj, set) else None


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (_RunsACommand(), "posix.system|nt.system"),
        ([{"ref_id": np.int64(3)}], "numpy.*scalar"),
        (np.zeros(2), "numpy.*_reconstruct"),
        ({"a": {1, 2}}, "set"),
        ([eval], "eval"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2])
def test_what_needs_an_import_is_refused_by_name_and_not_run(tmp_path, monkeypatch, content, name, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(InvalidInput, match=rf"refs\(unc\)\.p wants to run .*({name})"):
        read_pickle(path)
    assert not (tmp_path / "harmed").exists()


def test_new_style_globals_and_references_out_of_the_file_are_refused(tmp_path):
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps(os.system, protocol=4))
    with pytest.raises(InvalidInput, match="wants to run posix.system|nt.system"):
        read_pickle(path)
    with path.open("wb") as file:
        _PointsOutside(file, protocol=2).dump([{1}])
    with pytest.raises(InvalidInput, match="an object outside of the file"):
        read_pickle(path)


@pytest.mark.parametrize(
    "damage", [b"", b"<!doctype html>", b"\x80\x02]q\x00(", b"\x80\x02.", b"\x82\x01.", b"r\xff\xff\xff\x7f."]
)
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "refs(unc).p"
    path.write_bytes(damage)
    with pytest.raises(InvalidInput, match=r"refs\(unc\)\.p is damaged or not a pickle"):
        read_pickle(path)


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    whole = pickle.dumps([{"ref_id": 3, "sentences": [{"raw": "the cup"}]}], protocol=2)
    ends = [place for _, _, place in pickletools.genops(whole)]
    for end in ends[:-1]:
        path = tmp_path / "refs(unc).p"
        path.write_bytes(whole[:end])
        with pytest.raises(InvalidInput):
            read_pickle(path)
