"""Reading of arrays of numbers from MATLAB files of version 5 (`-v6` and `-v7`), which ReferIt and JHMDB use.

Read here, since SciPy's reader takes a damaged type of numbers for an address in memory, and ends the process.
"""

import io
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from refseg.errors import InvalidInput

MAX_ARRAY_VALUES = 2**28
"""Values of an array: 300 frames of 1280 x 720 pixels."""
_HEAD = 128
_ORDERS = {b"\0\1IM": "<", b"\1\0MI": ">"}  # the version, and how its letters come
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES, _COMPLEX = range(6, 16), 0x800  # of numbers; others are cells, structures, texts
_MAX_HEADER_BYTES = 4096  # bytes of an array's class, shape or name


class _Element(NamedTuple):
    kind: int
    size: int
    inside_tag: bytes  # of up to 4 bytes, which lie in the tag


def read_array(path: Path, name: str) -> NDArray[np.generic] | None:
    """Reads the array of that name, as its numbers are stored; None if the file has none.

    Raises:
        InvalidInput: if it is not of numbers, too large, or the file is damaged or of another version.
        OSError: if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _find(file, name)
    except InvalidInput:
        raise
    except (struct.error, zlib.error, EOFError, ValueError) as error:  # ValueError: of shapes
        raise InvalidInput("it is damaged or cut off") from error


def _find(file: BinaryIO, name: str) -> NDArray[np.generic] | None:
    order = _ORDERS.get(file.read(_HEAD)[124:])
    if order is None:
        raise InvalidInput("it is of another version; in MATLAB, save(..., '-v7') writes this one")
    while tag := file.read(8):
        kind, size = struct.unpack(f"{order}II", tag)
        start = file.tell()
        content = cast(BinaryIO, io.BufferedReader(_Inflated(file, size))) if kind == _COMPRESSED else file
        if content is not file:
            kind, _ = struct.unpack(f"{order}II", _read_exactly(content, 8))
        if kind != _MATRIX:
            raise EOFError
        if (found := _array(content, order, name)) is not None:
            return found
        file.seek(start + size)
    return None


def _array(file: BinaryIO, order: str, name: str) -> NDArray[np.generic] | None:
    flags = np.frombuffer(_read_header(file, order), f"{order}u4")
    shape = np.frombuffer(_read_header(file, order), f"{order}i4").tolist()
    if _read_header(file, order) != name.encode():
        return None
    if len(flags) != 2 or flags[0] & 0xFF not in _CLASSES or flags[0] & _COMPLEX:
        raise InvalidInput(f"{name} is not an array of real numbers")
    values = math.prod(shape)
    if min(shape, default=0) < 0 or values > MAX_ARRAY_VALUES:
        raise InvalidInput(f"{name} has more than the {MAX_ARRAY_VALUES:,} values that are allowed")
    element = _read_element(file, order)
    if element.kind not in _NUMBERS:
        raise InvalidInput(f"{name} is of no known type of numbers")
    stored = np.dtype(f"{order}{_NUMBERS[element.kind]}")
    if element.size != values * stored.itemsize:
        raise InvalidInput(f"{name} has not as many values as its shape says")
    content = element.inside_tag or _read_exactly(file, element.size)
    return np.frombuffer(content, stored).reshape(shape, order="F")


def _read_header(file: BinaryIO, order: str) -> bytes:
    element = _read_element(file, order)
    if element.size > _MAX_HEADER_BYTES:
        raise EOFError
    if element.inside_tag or not element.size:
        return element.inside_tag
    return _read_exactly(file, -(-element.size // 8) * 8)[: element.size]


def _read_element(file: BinaryIO, order: str) -> _Element:
    tag = _read_exactly(file, 8)
    kind, size = struct.unpack(f"{order}II", tag)
    if small := kind >> 16:
        if small > 4:
            raise EOFError
        return _Element(kind & 0xFFFF, small, tag[4 : 4 + small])
    return _Element(kind, size, b"")


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    """Reads `size` bytes, in parts, so that no more memory is taken than there are bytes."""
    content = bytearray()
    while len(content) < size:
        part = file.read(min(size - len(content), 2**20))
        if not part:
            raise EOFError
        content += part
    return bytes(content)


class _Inflated(io.RawIOBase):
    """The next `size` bytes of a file, decompressed as they are read."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left = file, size
        self._unpacking, self._packed = zlib.decompressobj(), b""

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fills as much as there is; 0 at the end."""
        part = b""
        while not part and not self._unpacking.eof:
            if not self._packed:
                self._packed = self._file.read(min(self._left, 2**16))
                self._left -= len(self._packed)
                if not self._packed:
                    break
            part = self._unpacking.decompress(self._packed, len(buffer))
            self._packed = self._unpacking.unconsumed_tail
        buffer[: len(part)] = part
        return len(part)
