import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.datasets import matlab
from refseg.datasets.matlab import read_array
from refseg.errors import InvalidInput

scipy_io = pytest.importorskip("scipy.io", reason="SciPy writes the files that are read here")


def written(path, compressed: bool = False, **arrays: object) -> bytes:
    scipy_io.savemat(path, arrays, do_compression=compressed)
    return path.read_bytes()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("numbers", ["u1", "i2", "u4", "i8", "f4", "f8", "?"])
@pytest.mark.parametrize("shape", [(20, 30, 2), (1, 1), (1, 3), (0, 0)])
def test_arrays_are_read_as_scipy_reads_them(tmp_path, shape, numbers, compressed):
    values = (np.random.default_rng(0).random(shape) * 2).astype(numbers)
    written(tmp_path / "a.mat", compressed, text="t", about={"a": 1}, mask=values, more=values)
    read, expected = read_array(tmp_path / "a.mat", "mask"), scipy_io.loadmat(tmp_path / "a.mat")["mask"]
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == expected.dtype
    assert read_array(tmp_path / "a.mat", "other") is None


@pytest.mark.parametrize("kind", [0, 8, 10, 14, 100, 255])
def test_an_unknown_type_of_numbers_is_refused(tmp_path, kind):
    content = bytearray(written(tmp_path / "a.mat", mask=np.ones((20, 30), np.uint8)))
    content[content.index(b"mask") + 4] = kind
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InvalidInput, match="no known type of numbers"):
        read_array(tmp_path / "a.mat", "mask")


@pytest.mark.parametrize("value", ["text", {"a": 1}, np.array([1 + 2j]), np.array([{}, 1], object)])
def test_what_is_no_array_of_real_numbers_is_refused(tmp_path, value):
    written(tmp_path / "a.mat", mask=value)
    with pytest.raises(InvalidInput, match="not an array of real numbers"):
        read_array(tmp_path / "a.mat", "mask")


def test_an_array_of_too_many_values_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, "MAX_ARRAY_VALUES", 100)
    written(tmp_path / "a.mat", True, mask=np.ones(101))
    with pytest.raises(InvalidInput, match="more than the 100 values"):
        read_array(tmp_path / "a.mat", "mask")


def test_another_version_is_told_with_the_way_out(tmp_path):
    scipy_io.savemat(tmp_path / "a.mat", {"mask": np.ones(3)}, format="4")
    with pytest.raises(InvalidInput, match="another version; in MATLAB, save"):
        read_array(tmp_path / "a.mat", "mask")


@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from([0, 1, 127, 128, 255])), max_size=5),
    st.integers(0, 300),
)
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, compressed, damage, length):
    path = tmp_path_factory.mktemp("damaged") / "a.mat"
    content = bytearray(written(path, compressed, mask=np.arange(60, dtype=np.uint8)))
    for place, value in damage:
        content[place % len(content)] = value
    path.write_bytes(content[: length + 60])
    try:
        read_array(path, "mask")
    except InvalidInput:
        pass
