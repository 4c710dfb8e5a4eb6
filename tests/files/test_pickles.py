import gc
import io
import os
import pickle
import pickletools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.errors import InvalidInput
from refseg.files.pickles import ForeignUnpickler, read_pickle
from refseg.files.plain_data import check_expanded

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


def loads(path, content):
    path.write_bytes(content)
    return read_pickle(path)


def number(value, protocol=2):
    return pickle.dumps(value, protocol=protocol)[2:-1]


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02" + b"(" * 300_000 + b"t" * 300_000 + b".",
        b"\x80\x02}" + b"(" * 300_000 + b"t" * 300_000 + b"Ns.",
        b"\x80\x02)" + b"q\x00h\x00\x86" * 40 + b".",
        b"\x80\x02]q\x00h\x00a.",
        b"\x80\x02}(" + b"".join(number(k * (2**61 - 1)) + b"N" for k in range(1, 100)) + b"u.",
        b"\x80\x02}(" + b"".join(number((k, k)) + b"N" for k in range(10_001)) + b"u.",
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7fabc.",
        b"\x80\x05\x96" + b"\xff" * 7 + b"\x7fabc.",
        b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
        b"L" + b"9" * 5000 + b"L\n.",
        b"I" + b"9" * 4000 + b"\n.",
        b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.",
        b"V\\ud800\n.",
    ],
)
def test_a_file_that_would_fill_the_memory_or_never_end_is_refused(tmp_path, content):
    with pytest.raises(InvalidInput, match=r"refs\(unc\)\.p is damaged") as caught:
        loads(tmp_path / "refs(unc).p", content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_reference_of_any_number_costs_nothing(tmp_path):
    content = b"\x80\x02]r\xff\xff\xff\xff0j\xff\xff\xff\xff."
    tracemalloc.start()
    assert loads(tmp_path / "refs(unc).p", content) == []
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_keys_are_texts_numbers_or_tuples_of_them(tmp_path):
    content = {"a": 1, b"b": 2, 3: 4, None: 5, True: 6, 0.5: 7, ("a", 1): 8}
    assert loads(tmp_path / "refs(unc).p", pickle.dumps(content)) == content
    assert loads(tmp_path / "refs(unc).p", pickle.dumps({1, "a"}, protocol=4)) == {1, "a"}


def test_the_collector_of_garbage_is_left_as_it_was(tmp_path):
    assert gc.isenabled()
    loads(tmp_path / "refs(unc).p", pickle.dumps([1]))
    assert gc.isenabled()


@pytest.mark.parametrize(("items", "depth"), [(3, 9), (99, 2)])
def test_bounds_of_plain_data_count_what_is_shared_as_often_as_it_is_reached(items, depth):
    shared = [1, 2]
    value = {"a": shared, "b": shared}  # 2 + 2 * 2 items, two deep
    check_expanded(value, max_items=6, max_depth=2)
    with pytest.raises(ValueError, match="it (holds more than|is nested more than)"):
        check_expanded({"x": value}, max_items=items, max_depth=depth)


@pytest.mark.parametrize(
    "content",
    [
        b"c_codecs\nencode\n0"
        + pickle.dumps("x" * 2**20, 2)[2:-1]
        + b"0"
        + b"c_codecs\nencode\nh\x00U\x06latin1\x86R" * 100
        + b".",
        pickle.dumps(list(range(200_000)), 2)[:-1] + b"0" + b"c__builtin__\nset\nh\x00\x85R" * 1000 + b".",
        pickle.dumps({str(k): 0 for k in range(100_000)}, 2)[:-1] + b"0capp\nConfig\n)R" + b"h\x00b" * 5000 + b".",
        b"}" + pickle.dumps((1,) * 100, 2)[2:-1] + b"Ns.",
    ],
    ids=["texts", "sets", "attributes", "key"],
)
def test_small_files_that_copy_their_parts_again_and_again_are_refused(content):
    with pytest.raises(pickle.UnpicklingError, match="copies its own parts too often|as a key"):
        ForeignUnpickler(io.BytesIO(content)).load()
