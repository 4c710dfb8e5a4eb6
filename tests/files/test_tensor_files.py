"""Files of weights hold tensors and settings; whatever else is in them is neither imported nor called."""

import argparse
import collections
import collections.abc
import datetime
import enum
import errno
import functools
import os
import pathlib
import pickle
import random
import re
import struct
import warnings
import zipfile
import zoneinfo

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import save_file

from refseg.errors import InvalidInput, MissingFile
from refseg.files import tensor_files
from refseg.files.pickles import Foreign
from refseg.files.tensor_files import (
    DamagedFile,
    check_finite,
    read_npz,
    read_saved,
    read_saved_plain,
    read_tensors,
    safetensors_shapes,
    unwrapped,
)

WAY_OUT = "give another file"
BASE = torch.arange(24.0).view(4, 6)
TENSORS = {
    "plain": BASE,
    "transposed": BASE.T,
    "part": BASE[1:, 2:4],
    "shared": BASE.view(-1)[5:9],
    "half": BASE.half(),
    "bfloat16": BASE.bfloat16(),
    "long": torch.arange(3),
    "bool": torch.tensor([True, False]),
    "complex": torch.complex(BASE, BASE),
    "number": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "channels last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "parameter": torch.nn.Parameter(BASE.clone()),
}


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("mapped", [True, False])
def test_tensors_are_those_that_torch_saved(tmp_path, new_format, mapped):
    path = tmp_path / "x.pth"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=new_format)
    found = read_saved(path, WAY_OUT, mapped)
    assert found.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype, name
        assert found[name].stride() == value.stride() and not found[name].requires_grad


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_read(tmp_path, protocol):
    torch.save(TENSORS, tmp_path / "x.pth", pickle_protocol=protocol)
    assert torch.equal(read_saved(tmp_path / "x.pth", WAY_OUT)["part"], TENSORS["part"])


def test_writing_to_a_mapped_tensor_leaves_the_file_as_it_is(tmp_path):
    torch.save(TENSORS, tmp_path / "x.pth")
    before = (tmp_path / "x.pth").read_bytes()
    read_saved(tmp_path / "x.pth", WAY_OUT)["plain"].fill_(7)
    assert (tmp_path / "x.pth").read_bytes() == before


SETTINGS = {
    "numpy number": np.float64(0.6),
    "numpy array": np.arange(3),
    "path": pathlib.PurePosixPath("runs"),
    "date": datetime.datetime(2020, 1, 1),
    "namespace": argparse.Namespace(size=480, out=pathlib.PurePosixPath("runs")),
    "device": torch.device("cpu"),
    "dtype": torch.float32,
    "random state": np.random.default_rng(0),
    "module": torch.nn.Linear(1, 1),
    "type": int,
    "type of None": type(None),
    "partial": functools.partial(torch.nn.LayerNorm, eps=1e-6),
    "choice": re.RegexFlag.IGNORECASE,
    "kind of choices": enum.Enum,
    "zone": datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")),
    "abstract type": collections.abc.Sequence,
    "type of items": list[int],
    "generator": random.Random(0),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_objects_are_passed_over(tmp_path, name):
    torch.save({"x": BASE, "setting": SETTINGS[name]}, tmp_path / "x.pth")
    found = read_saved(tmp_path / "x.pth", WAY_OUT)
    assert torch.equal(found["x"], BASE) and isinstance(found["setting"], Foreign)


def test_what_is_plain_stays_plain(tmp_path):
    content = {
        "default": collections.defaultdict(list, {"a": [1]}),
        "ordered": collections.OrderedDict(a=1),
        "counter": collections.Counter("aab"),
        "size": torch.Size([1, 2]),
        "set": {1, 2},
        "bytes": b"\x00\xff",
        "numbers": {0: (1, 2.5, None, True)},
    }
    torch.save(content, tmp_path / "x.pth")
    assert read_saved_plain(tmp_path / "x.pth", WAY_OUT) == content


def test_versions_of_modules_stay_beside_a_state_dict(tmp_path):
    state = torch.nn.BatchNorm2d(2).state_dict()
    torch.save(state, tmp_path / "x.pth")
    assert read_saved_plain(tmp_path / "x.pth", WAY_OUT)._metadata == state._metadata


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


CODE = {
    "system": (Calls(os.system, "touch it_ran"), "(posix|nt).system"),
    "eval": (Calls(eval, "open('it_ran', 'w')"), "builtins.eval"),
    "getattr": (Calls(getattr, os, "system"), "builtins.getattr"),
    "named only": (eval, "builtins.eval"),
    "torch itself": (Calls(torch.load, "x.pth"), "torch.serialization.load"),
    "numpy's tests": (Calls(np.testing.assert_equal, 1, 1), r"numpy.testing.*assert_equal"),
    "in a partial": (functools.partial(os.system, "touch it_ran"), "(posix|nt).system"),
    "attribute of a class": (Calls(getattr, functools.partial, "func"), "functools.partial.func"),
    "in a set": (Calls(set, [Calls(os.system, "touch it_ran")]), "(posix|nt).system"),
}


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("name", CODE)
def test_code_is_named_and_never_run(tmp_path, monkeypatch, name, new_format):
    monkeypatch.chdir(tmp_path)
    content, kind = CODE[name]
    if name == "getattr":
        content = Calls(getattr, "text", "upper")
    torch.save({"x": BASE, "y": content}, tmp_path / "x.pth", _use_new_zipfile_serialization=new_format)
    message = rf"x.pth holds code \({kind}\), which is never run; .*: give another file"
    with pytest.raises(InvalidInput, match=message) as caught:
        read_saved(tmp_path / "x.pth", WAY_OUT)
    assert not isinstance(caught.value, DamagedFile) and not (tmp_path / "it_ran").exists()


class Scripted(torch.nn.Module):
    """Writes a file when TorchScript loads it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Buffer(torch.ones(2))

    def forward(self, x):
        return x + self.weight

    @torch.jit.export
    def __getstate__(self):
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        torch.save(state[0], "it_ran")
        self.weight, self.training = state


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_code_of_an_archive_of_torchscript_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(Scripted()).save("RN50.pt")
    (tmp_path / "it_ran").unlink(missing_ok=True)
    torch.jit.load("RN50.pt")
    assert (tmp_path / "it_ran").exists()  # the file does harm, to who loads it as TorchScript
    (tmp_path / "it_ran").unlink()
    with pytest.raises(InvalidInput, match="RN50.pt holds no state dict"):
        read_tensors(tmp_path / "RN50.pt", WAY_OUT)
    assert [path.name for path in tmp_path.iterdir()] == ["RN50.pt"]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_archive_of_torchscript_is_read_by_dotted_names(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Sequential(torch.nn.BatchNorm2d(2)))
    torch.jit.script(module).save(tmp_path / "x.pt")
    found = read_tensors(tmp_path / "x.pt", WAY_OUT)
    assert found.keys() == module.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_a_state_dict_is_found_where_training_scripts_put_it(tmp_path, wrap):
    state = {f"module.{name}": value for name, value in {"a.b": BASE, "c": BASE}.items()}
    torch.save({wrap: state, "epoch": 3} if wrap else state, tmp_path / "x.pth")
    assert read_tensors(tmp_path / "x.pth", WAY_OUT).keys() == {"a.b", "c"}


@pytest.mark.parametrize(
    ("names", "expected", "counted"),
    [
        (["module.a.b", "module.c"], ["a.b", "c"], []),
        (["_orig_mod.a.b", "_orig_mod.c"], ["a.b", "c"], []),
        (["module._orig_mod.a", "n_averaged"], ["a"], ["n_averaged"]),
        (["_orig_mod.module.a", "n_averaged"], ["a"], ["n_averaged"]),
        (["module.module.a", "module.n_averaged"], ["a"], ["n_averaged"]),
        (["backbone._orig_mod.a", "head.b"], ["backbone.a", "head.b"], []),
        (["module.a", "other.b"], ["module.a", "other.b"], []),
        (["a", "_orig_mod.a"], ["a", "_orig_mod.a"], []),
        (["a.b", "c"], ["a.b", "c"], []),
    ],
)
def test_prefixes_of_wrappers_are_removed_however_they_are_nested(names, expected, counted):
    state, others = unwrapped(dict.fromkeys(names, 0))
    assert (list(state), others) == (expected, counted)


def archive(path, pickled, numbers=b"", name="x"):
    """A file as torch.save writes it, with a pickle of our own."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}/data.pkl", pickled)
        file.writestr(f"{name}/data/0", numbers)
    return path


def tensor_of(storage=b"FloatStorage", count=4, start=0, size=(4,), stride=(1,), key="0"):
    """The pickle of one tensor; Python's own pickler would not write most of these."""

    def number(value):
        return (
            b"\x8a\x08" + struct.pack("<q", value)
            if value != int(value) or abs(value) >= 2**31
            else b"J" + struct.pack("<i", value)
        )

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"(" + text("storage") + b"ctorch\n" + storage + b"\n" + text(key) + text("cpu") + number(count) + b"tQ"
    arguments = b"(" + storage + number(start) + numbers(size) + numbers(stride) + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R."


def test_the_pickle_of_these_tests_is_read(tmp_path):
    path = archive(tmp_path / "x.pth", tensor_of(), BASE.numpy().tobytes()[:16])
    assert read_saved(path, WAY_OUT).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"size": (5,)},
        {"size": (2, 2), "stride": (3, 1)},
        {"start": 1},
        {"start": -1},
        {"stride": (-1,)},
        {"size": (-4,)},
        {"size": (2**40,)},
        {"size": (2**40, 2**40), "stride": (0, 0)},
        {"count": 2**40},
        {"count": -4},
        {"size": (4,), "stride": (1, 1)},
        {"key": "1"},
        {"key": "../../x"},
        {"storage": b"QInt8Storage"},
        {"storage": b"DoubleStorage"},
        {"storage": b"load"},
    ],
)
def test_a_tensor_that_is_not_all_in_the_file_is_refused(tmp_path, change):
    path = archive(tmp_path / "x.pth", tensor_of(**change), bytes(16))
    with pytest.raises(DamagedFile, match="x.pth is damaged or not a checkpoint"):
        read_saved(path, WAY_OUT)


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x08" + struct.pack("<q", 2**40) + b"\x85R.",
        b"\x80\x02ctorch\nTensor\n\x8a\x08" + struct.pack("<q", 2**40) + b"\x85R.",
        b"\x80\x02Nr\xff\xff\xff\x7f.",
        b"\x80\x02" + b"\x85" * 300_000 + b".",
        b"\x80\x02)" + b"\x85" * 300_000 + b"}q\x00h\x00\x00",
        b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b".",
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f.",
        b"",
    ],
)
def test_a_few_bytes_do_not_take_memory_or_time(tmp_path, pickled):
    path = archive(tmp_path / "x.pth", pickled, bytes(16))
    try:
        read_saved_plain(path, WAY_OUT)
    except InvalidInput as error:
        assert "\n" not in str(error) and len(str(error)) < 500


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), new_format=st.booleans())
def test_a_flipped_bit_ends_in_one_line_or_in_tensors(tmp_path_factory, place, bit, new_format):
    path = tmp_path_factory.mktemp("flip") / "x.pth"
    torch.save({"a": BASE, "b": [1, 2]}, path, _use_new_zipfile_serialization=new_format)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        read_saved(path, WAY_OUT)
    except InvalidInput as error:
        assert "\n" not in str(error)


def test_compressed_and_big_endian_archives_are_refused(tmp_path):
    torch.save({"a": BASE}, tmp_path / "x.pth")
    for order, kind in ((b"little", zipfile.ZIP_DEFLATED), (b"big", zipfile.ZIP_STORED)):
        with zipfile.ZipFile(tmp_path / "x.pth") as old, zipfile.ZipFile(tmp_path / "y.pth", "w", kind) as new:
            for name in old.namelist():
                new.writestr(name, order if name.endswith("byteorder") else old.read(name))
        with pytest.raises(DamagedFile, match="compressed|big-endian"):
            read_saved(tmp_path / "y.pth", WAY_OUT)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_numbers_that_are_not_finite_are_refused_by_the_name_of_the_tensor(value, dtype):
    tensors = {"a": torch.ones(3, dtype=dtype), "b": torch.ones(2, 2, dtype=dtype), "c": torch.tensor([1])}
    check_finite(tensors | {"empty": torch.zeros(0)}, pathlib.Path("x.pth"))
    tensors["b"][1, 0] = value
    with pytest.raises(InvalidInput, match="x.pth: b holds numbers that are not finite"):
        check_finite(tensors, pathlib.Path("x.pth"))


def test_the_header_tells_shapes_and_types(tmp_path):
    save_file({"a": BASE, "b": BASE.half()}, tmp_path / "x.safetensors")
    assert safetensors_shapes(tmp_path / "x.safetensors", WAY_OUT) == {"a": ((4, 6), "F32"), "b": ((4, 6), "F16")}
    with pytest.raises(MissingFile, match="y.safetensors is missing; give another file"):
        safetensors_shapes(tmp_path / "y.safetensors", WAY_OUT)


def test_an_npz_that_announces_more_than_it_holds_is_refused(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(16)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("a.npy", array)
    with pytest.raises(InvalidInput, match="a.npy ends too early"):
        list(read_npz(tmp_path / "x.npz", lambda _: True, WAY_OUT))
    with zipfile.ZipFile(tmp_path / "y.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", bytes(2**28 + 1))
    with pytest.raises(InvalidInput, match="64 times as large unpacked"):
        list(read_npz(tmp_path / "y.npz", lambda _: True, WAY_OUT))


@pytest.mark.parametrize("dtype", ["|S0", "|V0", "<U0", "|S4"])
def test_an_npz_of_anything_but_numbers_is_refused(tmp_path, dtype):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (4611686018427387904,), }}\n".encode()
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(InvalidInput, match="'a.npy' holds no numbers"):
        list(read_npz(tmp_path / "x.npz", lambda _: True, WAY_OUT))


def test_an_npz_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingFile, match="x.npz is missing; give another file"):
        list(read_npz(tmp_path / "x.npz", lambda _: True, WAY_OUT))


@pytest.mark.parametrize("new_format", [True, False])
def test_expanded_tensors_are_read_as_they_were_saved(tmp_path, new_format):
    torch.save(BASE[:1].expand(1000, 6), tmp_path / "x.pth", _use_new_zipfile_serialization=new_format)
    found = read_saved(tmp_path / "x.pth", WAY_OUT)
    assert torch.equal(found, BASE[:1].expand(1000, 6)) and found.stride() == (0, 1)


@pytest.mark.parametrize("size", [(2**26 + 5,), (2**59,), (2**13, 2**14)])
def test_tensors_of_far_more_elements_than_are_stored_are_refused(tmp_path, size):
    path = archive(tmp_path / "x.pth", tensor_of(size=size, stride=(0,) * len(size)), bytes(16))
    with pytest.raises(DamagedFile, match="tensors of far more elements than it stores"):
        read_saved(path, WAY_OUT)


def test_expanded_tensors_are_counted_together(tmp_path):
    torch.save([torch.zeros(1).expand(2**24 + 1) for _ in range(5)], tmp_path / "x.pth")
    with pytest.raises(DamagedFile, match="tensors of far more elements than it stores"):
        read_saved(tmp_path / "x.pth", WAY_OUT)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EMFILE, "Too many open files"), r"Too many open files\); raise the limit"),
        (MemoryError(), r"Cannot allocate memory\); close other programs"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: ..."), "Cannot allocate memory"),
        (SafetensorError("I/O error (os error 5)"), "Input/output error"),
    ],
)
@pytest.mark.parametrize("name", ["x.pth", "x.npz", "x.safetensors"])
def test_what_the_machine_refuses_is_no_damage_of_a_file(tmp_path, monkeypatch, error, reason, name):
    def refuse(*_, **__):
        raise error

    torch.save(BASE, tmp_path / "x.pth")
    np.savez(tmp_path / "x.npz", a=1)
    save_file({"a": BASE}, tmp_path / "x.safetensors")
    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    monkeypatch.setattr(tensor_files, "safe_open", refuse)
    with pytest.raises(InvalidInput, match=rf"{name} cannot be read \({reason}") as caught:
        if name.endswith(".npz"):
            list(read_npz(tmp_path / name, bool, WAY_OUT))
        else:
            read_tensors(tmp_path / name, WAY_OUT)
    assert not isinstance(caught.value, DamagedFile)


def test_a_pickled_tensor_without_torch_save_is_refused_with_the_way_out(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": BASE}))
    with pytest.raises(InvalidInput, match="x.pth .*give another file"):
        read_saved(tmp_path / "x.pth", WAY_OUT)
