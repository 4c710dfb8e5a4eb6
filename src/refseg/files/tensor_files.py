"""Tensors of untrusted files; nothing in them is imported or called.

.safetensors   a header of names, types and shapes, and the numbers.
torch.save     a ZIP archive of `data.pkl` and one member of numbers for each storage; before 2020 a row of pickles with
               the numbers after it. The pickle is read by `ForeignUnpickler`, which makes tensors and plain data.
TorchScript    the same archive, with modules in the place of dicts, and their code, which is ignored.
.npz           arrays of NumPy.

`torch.load(weights_only=True)` does not read TorchScript, calls allowed functions, and can be made to allocate any
amount of memory; so the few functions that make a tensor are written here.
"""

import io
import math
import mmap
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from refseg.errors import InvalidInput, MissingFile, RefsegError, first_line, shown, unreadable
from refseg.files.pickles import MAX_BYTES, ForbiddenImport, Foreign, ForeignUnpickler

_DTYPES = {
    **{"Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16},
    **{"Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8},
    **{"Bool": torch.bool, "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128, "Untyped": torch.uint8},
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_SCRIPT = "__torch__."  # prefix of TorchScript's modules
_WRAPPERS = "module.", "_orig_mod."  # DistributedDataParallel and AveragedModel, torch.compile
_STATE_DICTS = "state_dict", "model"  # entries of a training script's file
_NPY = b"\x93NUMPY"
_MOST_REPEATED = 2**26
"""Elements of expanded tensors beyond those stored."""
_NPZ_RATIO = 64  # largest ratio of unpacked to packed bytes; weights hardly shrink


class DamagedFile(InvalidInput):
    """A damaged file, or one of another format."""


def read_saved(path: Path, way_out: str, mapped: bool = True) -> Any:
    """Reads a file of torch.save: tensors, plain data, and a `Foreign` for every other object.

    Args:
        path: the file.
        way_out: advice for errors.
        mapped: Whether tensors are memory-mapped, if the file is a ZIP archive.

    Raises:
        MissingFile: if there is no such file.
        DamagedFile: if it is damaged or another file.
        InvalidInput: if it holds code, or cannot be read.
    """
    return _read(path, way_out, mapped)[0]


def read_saved_plain(path: Path, way_out: str) -> Any:
    """Reads tensors and plain data of torch.save into memory; errors as of `read_saved`.

    Raises:
        InvalidInput: also if it holds any other object.
    """
    content, foreign = _read(path, way_out, mapped=False)
    if foreign:
        raise InvalidInput(f"{path} holds objects of a program ({foreign[0]}), which are never made; {way_out}")
    return content


def read_tensors(path: Path, way_out: str) -> dict[str, Tensor]:
    """Reads the state dict of a `.safetensors` file, a file of torch.save, or a module of TorchScript.

    Prefixes of wrappers are removed; the state dict may be an entry of a training script's file.

    Raises:
        MissingFile, InvalidInput: if there is no such file or no state dict in it.
    """
    if path.suffix == ".safetensors":
        return unwrapped(read_safetensors(path, way_out))[0]
    content = read_saved(path, way_out)
    if isinstance(content, Foreign) and content.kind.startswith(_SCRIPT):
        state = dict(_attributes(content, way_out, path))
    elif isinstance(content, dict):
        state = next((content[name] for name in _STATE_DICTS if isinstance(content.get(name), dict)), content)
    else:
        raise InvalidInput(f"{path} holds a {kind_of(content)}, not a state dict; {way_out}")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InvalidInput(f"{path} holds no state dict; {way_out}")
    return unwrapped(tensors)[0]


def unwrapped(state: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Removes prefixes and counters of wrappers from a state dict; returns the names of the counters as well.

    >>> unwrapped({"module._orig_mod.conv.weight": 1, "n_averaged": 2})
    ({'conv.weight': 1}, ['n_averaged'])
    """
    counted: list[str] = []
    compiled = {name.replace(_WRAPPERS[1], ""): value for name, value in state.items()}  # also of compiled parts
    state = compiled if len(compiled) == len(state) else dict(state)
    while inner := [name for name in state if name.startswith(_WRAPPERS[0])]:
        others = [name for name in state if not name.startswith(_WRAPPERS[0])]
        if any("." in name for name in others):
            break
        counted += others
        state = {name.removeprefix(_WRAPPERS[0]): state[name] for name in inner}
    return state, counted


def read_safetensors(path: Path, way_out: str) -> dict[str, Tensor]:
    """Reads all tensors of a `.safetensors` file.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or it is damaged or cannot be read.
    """
    with _safetensors(path, way_out) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def safetensors_shapes(path: Path, way_out: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns shape and type ("F32") of each tensor by name; errors as of `read_safetensors`."""
    with _safetensors(path, way_out) as file:
        slices = ((name, file.get_slice(name)) for name in file.keys())
        return {name: (tuple(one.get_shape()), one.get_dtype()) for name, one in slices}


def safetensors_metadata(path: Path, way_out: str) -> dict[str, str]:
    """Returns the metadata of the header; errors as of `read_safetensors`."""
    with _safetensors(path, way_out) as file:
        return file.metadata() or {}


def read_npz(path: Path, wanted: Callable[[str], bool], way_out: str) -> Iterator[tuple[str, NDArray[Any] | None]]:
    """Yields the arrays of an .npz by name; None for unwanted ones, which are not read.

    Raises:
        MissingFile: if there is no such file.
        InvalidInput: if it is damaged, holds something else than arrays of numbers, or cannot be read.
    """
    with _reading(path, way_out, "no .npz file"):
        with path.open("rb") as file:
            if file.read(len(_NPY)) == _NPY:
                raise InvalidInput(f"{path} holds a single array; {way_out}")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > max(MAX_BYTES, _NPZ_RATIO * path.stat().st_size):
                raise DamagedFile(f"{path} would be {_NPZ_RATIO} times as large unpacked; {way_out}")
            for member in members:
                name = member.filename.removesuffix(".npy")
                yield name, _array(archive, member, way_out) if wanted(name) else None


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Checks that tensors hold no NaN or infinity.

    Raises:
        InvalidInput: naming the first tensor that holds one.
    """
    for name, value in tensors.items():
        if value.is_floating_point() and value.numel():
            low, high = value.aminmax()
            if not (math.isfinite(low) and math.isfinite(high)):
                raise InvalidInput(
                    f"{path}: {name} holds numbers that are not finite (NaN or infinity), so every answer would be "
                    "wrong; take another file, or weights from before the training diverged"
                )


def kind_of(value: Any) -> str:
    """Returns the type of a value from a file, for messages."""
    return value.kind if isinstance(value, Foreign) else type(value).__name__


def _read(path: Path, way_out: str, mapped: bool) -> tuple[Any, list[str]]:
    """Returns the content of a file of torch.save, and the names of its foreign objects."""
    with _reading(path, way_out, "not a checkpoint"), path.open("rb") as file:
        start = file.read(4)
        if not start:
            raise DamagedFile(f"{path} is empty; download it again")
        if start == b"PK\x03\x04":
            return _read_archive(path, mapped)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
            return _read_legacy(stream)


@contextmanager
def _reading(path: Path, way_out: str, other: str) -> Iterator[None]:
    """Turns any error of reading into one line; `other` names the alternative to damage."""
    try:
        if not path.is_file():
            raise MissingFile(f"{path} is missing; {way_out}")
        yield
    except RefsegError:
        raise
    except ForbiddenImport as error:
        raise InvalidInput(
            f"{path} holds code ({first_line(error)}), which is never run; a file of weights holds tensors and "
            f"settings only: {way_out}"
        ) from error
    except Exception as error:  # damaged files make unpicklers, NumPy, zipfile and safetensors fail in any way
        raise unreadable(path, error) or DamagedFile(
            f"{path} is damaged or {other} ({first_line(error)}); download it again, or {way_out}"
        ) from error


class _TensorUnpickler(ForeignUnpickler):
    """Unpickles tensors, whose storages `storage_of(key, bytes)` returns."""

    def __init__(self, file: Any, storage_of: Callable[[str, int], torch.UntypedStorage]):
        super().__init__(file)
        self._storage_of, self._repeated = storage_of, 0

    def persistent_load(self, pid: Any) -> Any:
        """Returns the numbers of ("storage", type, key, device, count), and of a view in old files."""
        if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] != "storage" or type(pid[1]) is not Foreign:
            raise pickle.UnpicklingError("a reference that is no storage")
        dtype, (key, _, count) = _dtype(pid[1].kind), pid[2:5]
        if type(key) is not str or not _is_count(count):
            raise pickle.UnpicklingError("a storage without name or size")
        storage, start = self._storage_of(key, count * dtype.itemsize), 0
        if len(pid) == 6 and pid[5] is not None:
            _, start, count = pid[5]
        return _Numbers(storage, dtype, start, count)

    def call(self, kind: str, args: tuple[Any, ...]) -> Any:
        """Rebuilds tensors and torch's other objects."""
        match kind, args:
            case "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2", (numbers, start, size, stride, *_):
                return self._tensor(numbers, start, size, stride)
            case "torch._utils._rebuild_tensor_v3", (numbers, start, size, stride, _, _, Foreign(kind=dtype), *_):
                return self._tensor(numbers, start, size, stride, dtype)
            case "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", (
                Tensor() as data,
                *_,
            ):
                return data
            case "torch._tensor._rebuild_from_type_v2", (Foreign(kind=inner), _, tuple() as given, *_):
                return self.call(inner, given)
            case "torch.Size", (tuple() as size,):
                return size
        if kind.startswith("torch.jit._pickle.") and args:
            return args[0]  # a list with the type of its items
        return super().call(kind, args)

    def built(self, of: Any) -> None:
        """Ignores attributes of tensors."""
        if not isinstance(of, Tensor):
            super().built(of)

    def _tensor(self, numbers: Any, start: Any, size: Any, stride: Any, dtype: str = "") -> Tensor:
        """Makes a tensor on a storage, which must hold all of its elements; few may be repeated."""
        if type(numbers) is not _Numbers or type(size) is not tuple or type(stride) is not tuple:
            raise pickle.UnpicklingError("a tensor without numbers")
        if len(size) != len(stride) or not all(_is_count(number) for number in (start, *size, *stride)):
            raise pickle.UnpicklingError("a tensor without a shape")
        kind = getattr(torch, dtype.removeprefix("torch."), None) if dtype else numbers.dtype
        if not isinstance(kind, torch.dtype):
            raise pickle.UnpicklingError(f"a tensor of {dtype}")
        count = numbers.count * numbers.dtype.itemsize // kind.itemsize
        last = start + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        if math.prod(size) >= 2**62 or (all(size) and last >= count):
            raise pickle.UnpicklingError("a tensor beyond the end of its numbers")
        self._repeated += max(0, math.prod(size) - count)
        if self._repeated > _MOST_REPEATED:
            raise pickle.UnpicklingError("tensors of far more elements than it stores")
        first = numbers.start * numbers.dtype.itemsize // kind.itemsize
        storage = numbers.storage
        if storage.data_ptr() % kind.itemsize:
            storage = storage.clone()
        return torch.empty(0, dtype=kind).set_(storage, first + start, size, stride)


class _Numbers:
    """A range of `count` numbers of a dtype in a storage, from number `start` on."""

    def __init__(self, storage: torch.UntypedStorage, dtype: torch.dtype, start: int, count: int):
        if not (_is_count(start) and _is_count(count)) or (start + count) * dtype.itemsize > storage.nbytes():
            raise pickle.UnpicklingError("numbers behind the end of their storage")
        self.storage, self.dtype, self.start, self.count = storage, dtype, start, count


def _dtype(kind: str) -> torch.dtype:
    name = kind.rpartition(".")[2]
    if not kind.startswith("torch.") or not name.endswith("Storage") or name.removesuffix("Storage") not in _DTYPES:
        raise pickle.UnpicklingError(f"tensors of {kind}, which are not read")
    return _DTYPES[name.removesuffix("Storage")]


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _read_archive(path: Path, mapped: bool) -> tuple[Any, list[str]]:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        members = {member.filename: member for member in archive.infolist()}
        roots = [
            name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl") and name.count("/") == 1
        ]
        if len(roots) != 1:
            raise pickle.UnpicklingError("it has no data.pkl")
        root, size = roots[0], path.stat().st_size
        if f"{root}byteorder" in members:
            with archive.open(f"{root}byteorder") as order:
                if order.read(10) != b"little":
                    raise pickle.UnpicklingError("its numbers are big-endian")
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # writes to tensors do not change the file
        whole = torch.frombuffer(mapping, dtype=torch.uint8).untyped_storage()
        found: dict[str, torch.UntypedStorage] = {}

        def storage_of(key: str, _: int) -> torch.UntypedStorage:
            if key not in found:
                member = members[f"{root}data/{key}"]
                start = _start(member, file)
                if member.compress_type != zipfile.ZIP_STORED or start + member.file_size > size:
                    raise pickle.UnpicklingError("its numbers are compressed, or end too early")
                part = whole[start : start + member.file_size]
                found[key] = part if mapped else part.clone()
            return found[key]

        if members[f"{root}data.pkl"].compress_type != zipfile.ZIP_STORED:
            raise pickle.UnpicklingError("its data.pkl is compressed")
        with archive.open(members[f"{root}data.pkl"]) as pickled:
            unpickler = _TensorUnpickler(io.BytesIO(pickled.read(MAX_BYTES)), storage_of)
        return unpickler.load(), list(unpickler.foreign)


def _start(member: zipfile.ZipInfo, file: Any) -> int:
    """Returns the start of a member's bytes, after its header, name and extra field."""
    file.seek(member.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise pickle.UnpicklingError("a part of it is missing")
    lengths = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
    return member.header_offset + 30 + sum(lengths)


def _read_legacy(stream: mmap.mmap) -> tuple[Any, list[str]]:
    """Reads the old format: pickles of a magic number, version, system, content and storages, then their numbers."""
    found: dict[str, torch.UntypedStorage] = {}
    left = len(stream)

    def storage_of(key: str, size: int) -> torch.UntypedStorage:
        nonlocal left
        if key not in found:
            left -= size
            if left < 0:
                raise pickle.UnpicklingError("it announces more numbers than it has")
            found[key] = torch.UntypedStorage(size)
        return found[key]

    if _TensorUnpickler(stream, storage_of).load() != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("torch.save did not write it")
    _TensorUnpickler(stream, storage_of).load()
    machine = _TensorUnpickler(stream, storage_of).load()
    if not isinstance(machine, dict) or not machine.get("little_endian"):
        raise pickle.UnpicklingError("its numbers are big-endian")
    unpickler = _TensorUnpickler(stream, storage_of)
    content = unpickler.load()
    keys = _TensorUnpickler(stream, storage_of).load()
    if not isinstance(keys, list) or set(keys) != found.keys():
        raise pickle.UnpicklingError("its storages are not listed")
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        size = found[key].nbytes()
        numbers = stream.read(size)
        if len(numbers) < size or count > size:
            raise pickle.UnpicklingError("it ends too early")
        if size:
            torch.empty(0, dtype=torch.uint8).set_(found[key], 0, (size,), (1,)).numpy()[:] = np.frombuffer(
                numbers, np.uint8
            )
    return content, list(unpickler.foreign)


def _attributes(module: Foreign, way_out: str, path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors of a TorchScript module and its submodules by their dotted names."""
    waiting, seen = [("", module)], 0
    while waiting:
        start, module = waiting.pop()
        seen += 1
        if seen > 100_000 or start.count(".") > 100:
            raise DamagedFile(f"{path} is nested without end; {way_out}")
        for name, value in module.state.items():
            if isinstance(value, Tensor):
                yield f"{start}{name}", value
            elif isinstance(value, Foreign) and value.kind.startswith(_SCRIPT):
                waiting.append((f"{start}{name}.", value))


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, way_out: str) -> NDArray[Any]:
    """Reads one array, whose size must agree with its header."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](file)
        if dtype.hasobject:
            raise InvalidInput(f"{archive.filename} holds pickled code, which is never run; {way_out}")
        if dtype.kind not in "biufc":  # texts may have size 0, and then any number of items
            raise InvalidInput(f"{archive.filename}: {shown(member.filename)} holds no numbers; {way_out}")
        if math.prod(shape) * dtype.itemsize > member.file_size:
            raise DamagedFile(f"{archive.filename} is damaged ({member.filename} ends too early); {way_out}")
    with archive.open(member) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


@contextmanager
def _safetensors(path: Path, way_out: str) -> Iterator[Any]:
    with _reading(path, way_out, "no .safetensors file"), safe_open(path, "pt") as file:
        yield file
