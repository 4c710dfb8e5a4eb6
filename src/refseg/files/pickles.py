"""Reads pickles of plain data without running their code, in bounded time and memory.

A pickle is a program, which `pickle.load` would run. The field's refs(...).p hold
lists, dicts, texts and numbers only, which need no import, so every import is refused by name. What torch.save wrote
needs imports for its tensors: `ForeignUnpickler` leaves an inert `Foreign` wherever something would be called, and
refuses what no settings of a training script hold.

Python's own unpickler in C can be made to take 64 GiB by seven bytes; this is the one in Python, with the opcodes that
are needed and bounds on what they make.
"""

import _compat_pickle
import gc
import io
import pickle
import re
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

from refseg.errors import InvalidInput, first_line
from refseg.files.plain_data import check_expanded

MAX_BYTES = 2**28
_INT_BITS = 1024  # of an integer; more would be slow to print
_KEY_LIMIT = 2**61 - 1  # from here on different integers have the same hash
_TUPLE_KEYS = 10_000  # per file, since their hashes can be made to collide
_MAX_KEY = 16  # items of a tuple
_MOST_COPIED = 2**22
"""Items, and sixteenths of texts, that a file may copy from what it has made, since a copy needs few bytes."""

_PLAIN = """
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4
    FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE
    BINBYTES SHORT_BINBYTES EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS
    EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE
    GLOBAL STACK_GLOBAL INST PERSID BINPERSID
"""
_CALLS = "REDUCE NEWOBJ NEWOBJ_EX BUILD"


def _dispatch(names: str) -> dict[int, Any]:
    known: dict[int, Any] = pickle._Unpickler.dispatch
    return {code: known[code] for code in (getattr(pickle, name)[0] for name in names.split())}


class ForbiddenImport(pickle.UnpicklingError):
    """An import or call in a pickle."""


class PlainUnpickler(pickle._Unpickler):
    """Reads lists, tuples, dicts, sets, texts, bytes, numbers, booleans and None; keys are texts, bytes or numbers.

    Args:
        file: its `read` and `readline` return no more than there is.
        encoding: of Python 2's texts.

    Raises:
        ForbiddenImport: at an import.
        Exception: of any kind, if the file is damaged, or too deep or too large once it is written out.
    """

    dispatch = _dispatch(_PLAIN)

    def __init__(self, file: Any, encoding: str = "utf-8"):
        super().__init__(file, encoding=encoding)
        self.read, self.readline = file.read, file.readline
        self._tuple_keys = self._copied = 0

    def load(self) -> Any:
        """Reads the next object of the file."""
        collects = gc.isenabled()
        gc.disable()  # repeated collections would take half of the time
        try:
            content = self._load()
            check_expanded(content)
            return content
        finally:
            if collects:
                gc.enable()

    def _load(self) -> Any:
        self.metastack: list[Any] = []
        self.stack: list[Any] = []
        self.append, self.proto = self.stack.append, 0
        read, dispatch = self.read, self.dispatch
        try:
            while code := read(1):
                dispatch[code[0]](self)
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            return stop.value
        except KeyError as error:
            raise pickle.UnpicklingError(f"unknown operation or reference {error}") from error
        raise EOFError("it ends too early")

    def pop_mark(self) -> list[Any]:
        """Returns the items since the last mark."""
        items = self.stack
        self.stack = self.metastack.pop()
        self.append = self.stack.append
        return items

    def find_class(self, module: str, name: str) -> Any:
        """Refuses every import."""
        raise ForbiddenImport(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Refuses references to outside of the file."""
        raise ForbiddenImport("an object outside of the file")

    def check_key(self, key: Any) -> None:
        """Refuses keys that are costly to hash or unusual."""
        kind = type(key)
        if kind is tuple and len(key) <= _MAX_KEY and all(type(item) in _SCALARS for item in key):
            self._tuple_keys += 1
            if self._tuple_keys <= _TUPLE_KEYS:
                return
        elif kind in _SCALARS and not (kind is int and abs(key) >= _KEY_LIMIT):
            return
        raise pickle.UnpicklingError(f"a {kind.__name__} as a key")

    def charge(self, count: int) -> None:
        """Counts copied items.

        Raises:
            pickle.UnpicklingError: if it is more than `_MOST_COPIED` altogether.
        """
        self._copied += count
        if self._copied > _MOST_COPIED:
            raise pickle.UnpicklingError("it copies its own parts too often")

    def _add(self, target: Any, keys: list[Any], values: list[Any]) -> None:
        if type(target) is not dict and type(target) is not OrderedDict:
            raise pickle.UnpicklingError(f"an entry of a {type(target).__name__}")
        for key in keys:
            if type(key) is not str:
                self.check_key(key)
        target.update(zip(keys, values, strict=True))

    def _load_setitems(self) -> None:
        items = self.pop_mark()
        self._add(self.stack[-1], items[::2], items[1::2])

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._add(self.stack[-1], [key], [value])

    def _load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._add(self.stack[-1], items[::2], items[1::2])

    def _load_appends(self) -> None:
        self._extend(self.pop_mark())

    def _load_append(self) -> None:
        self._extend([self.stack.pop()])

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise pickle.UnpicklingError(f"an item of a {type(target).__name__}")
        target += items

    def _load_additems(self) -> None:
        items, target = self.pop_mark(), self.stack[-1]
        if type(target) is not set:
            raise pickle.UnpicklingError(f"an item of a {type(target).__name__}")
        target |= self.set_of(items)

    def _load_frozenset(self) -> None:
        self.append(frozenset(self.set_of(self.pop_mark())))

    def set_of(self, items: list[Any]) -> set[Any]:
        """Returns a set of valid keys."""
        self.charge(len(items))
        for item in items:
            self.check_key(item)
        return set(items)

    def _load_frame(self) -> None:
        self.read(8)  # frames matter for streams only

    def _load_int(self) -> None:
        text = self.readline()[:-1]
        self.append(text == b"01" if text in (b"00", b"01") else _checked(int(text)))

    def _load_long(self) -> None:
        self.append(_checked(int(self.readline()[:-1].rstrip(b"L"))))

    def _load_long1(self) -> None:
        self.append(_checked(pickle.decode_long(self.read(self.read(1)[0]))))

    def _load_long4(self) -> None:
        length = int.from_bytes(self.read(4), "little", signed=True)
        if not 0 <= length <= _INT_BITS // 8:
            raise pickle.UnpicklingError("a number of thousands of digits")
        self.append(_checked(pickle.decode_long(self.read(length))))

    def _load_unicode(self) -> None:
        text = str(self.readline()[:-1], "raw-unicode-escape")
        text.encode()  # a lone surrogate cannot be printed
        self.append(text)

    def _load_binunicode(self) -> None:
        self.append(str(self.read(int.from_bytes(self.read(4), "little")), "utf-8"))

    def _load_short_binunicode(self) -> None:
        self.append(str(self.read(self.read(1)[0]), "utf-8"))

    dispatch |= {
        pickle.SETITEMS[0]: _load_setitems,
        pickle.SETITEM[0]: _load_setitem,
        pickle.DICT[0]: _load_dict,
        pickle.APPENDS[0]: _load_appends,
        pickle.APPEND[0]: _load_append,
        pickle.ADDITEMS[0]: _load_additems,
        pickle.FROZENSET[0]: _load_frozenset,
        pickle.FRAME[0]: _load_frame,
        pickle.INT[0]: _load_int,
        pickle.LONG[0]: _load_long,
        pickle.LONG1[0]: _load_long1,
        pickle.LONG4[0]: _load_long4,
        pickle.UNICODE[0]: _load_unicode,
        pickle.BINUNICODE[0]: _load_binunicode,
        pickle.SHORT_BINUNICODE[0]: _load_short_binunicode,
    }


_SCALARS = frozenset([str, bytes, int, float, bool, type(None)])


def _checked(number: int) -> int:
    if number.bit_length() > _INT_BITS:
        raise pickle.UnpicklingError("a number of hundreds of digits")
    return number


def read_pickle(path: Path) -> Any:
    """Reads lists, tuples, dicts, sets, texts, bytes, numbers, booleans and None of a pickle, also of Python 2.

    Texts that Python 2 wrote as bytes are read as UTF-8, or else as Latin-1.

    Raises:
        InvalidInput: if it holds anything else, is damaged, or too large.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"{path} has more than {MAX_BYTES >> 20} MiB, no file of refs does; give that file")
    content = path.read_bytes()
    try:
        return _load(content, "utf-8", path)
    except UnicodeDecodeError:
        return _load(content, "latin1", path)


def _load(content: bytes, encoding: str, path: Path) -> Any:
    try:
        return PlainUnpickler(io.BytesIO(content), encoding).load()
    except UnicodeDecodeError:
        if encoding == "latin1":  # not of Python 2, with bytes that are no text
            raise InvalidInput(f"{path} is damaged (a text is not UTF-8); download it again") from None
        raise
    except ForbiddenImport as error:
        raise InvalidInput(
            f"{path} wants to run {first_line(error)}: that is refused, since it may be harmful; a file of refs holds "
            "lists, dicts, texts and numbers only; take it from the data set's own source, or save it again as JSON"
        ) from error
    except Exception as error:  # damage makes the unpickler fail in any way
        raise InvalidInput(f"{path} is damaged or not a pickle ({first_line(error)}); download it again") from error


class Foreign:
    """A placeholder of an object or function, which is neither imported nor called.

    Attributes:
        kind: name of its type or its own, such as "numpy.float64".
        state: its attributes by name.
    """

    __slots__ = "kind", "state"

    def __init__(self, kind: str):
        self.kind, self.state = kind, dict[str, Any]()


class ForeignUnpickler(PlainUnpickler):
    """A `PlainUnpickler` that makes a `Foreign` of everything else and notes its name in `foreign`.

    Ordered and default dicts, counters and sets of the standard library become plain ones.

    Raises:
        ForbiddenImport: at a name that settings do not hold, such as `os.system`; see `is_code`.
    """

    dispatch = PlainUnpickler.dispatch | _dispatch(_CALLS)

    def __init__(self, file: Any, encoding: str = "utf-8"):
        super().__init__(file, encoding)
        self.foreign: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Foreign:
        """Returns a `Foreign` instead of an import."""
        if (module, name) in _compat_pickle.NAME_MAPPING:
            module, name = _compat_pickle.NAME_MAPPING[module, name]
        kind = f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"
        if is_code(kind, called=False):
            raise ForbiddenImport(kind)
        return Foreign(kind)

    def call(self, kind: str, args: tuple[Any, ...]) -> Any:
        """Replaces a call; subclasses handle more calls."""
        match kind, args:
            case (("collections.OrderedDict" | "builtins.dict" | "collections.Counter"), ()):
                return OrderedDict() if kind.endswith("OrderedDict") else {}
            case "collections.OrderedDict", (list() as pairs,):
                self.charge(len(pairs))
                made: OrderedDict[Any, Any] = OrderedDict()
                self._add(made, [key for key, _ in pairs], [value for _, value in pairs])
                return made
            case "collections.Counter", (dict() as counts,):
                return counts
            case "collections.defaultdict", _:
                return {}
            case "builtins.set", (list() as items,):
                return self.set_of(items)
            case "_codecs.encode", (str() as text, "latin1"):
                self.charge(len(text) // 16 + 1)
                return text.encode("latin1")
            case "builtins.getattr", (Foreign(kind=of), str() as name) if name.isidentifier():
                self.charge((len(of) + len(name)) // 16 + 1)
                return self.find_class(of, name)  # classes within classes, class methods that make objects
        if is_code(kind, called=True):
            raise ForbiddenImport(kind)
        self.foreign[kind] = None
        return Foreign(kind)

    def _load_reduce(self) -> None:
        args, function = self.stack.pop(), self.stack[-1]
        if type(function) is not Foreign or type(args) is not tuple:
            raise pickle.UnpicklingError("a call of what is no function")
        self.stack[-1] = self.call(function.kind, args)

    def _load_newobj(self) -> None:
        args, of = self.stack.pop(), self.stack.pop()
        if type(of) is not Foreign or type(args) is not tuple:
            raise pickle.UnpicklingError("an object of what is no class")
        if of.kind in ("collections.OrderedDict", "collections.defaultdict", "collections.Counter"):
            self.append(self.call(of.kind, ()))
            return
        self.foreign[of.kind] = None
        self.append(Foreign(of.kind))

    def _load_newobj_ex(self) -> None:
        self.stack.pop()
        self._load_newobj()

    def _load_build(self) -> None:
        state, of = self.stack.pop(), self.stack[-1]
        if type(of) is Foreign:
            parts = state if type(state) is tuple else (state,)
            self.charge(sum(len(part) + 1 for part in parts if type(part) is dict) + len(parts))
            of.state |= {name: value for part in parts if type(part) is dict for name, value in part.items()}
        elif type(of) is OrderedDict and type(state) is dict and len(state) == 1 and "_metadata" in state:
            of.__dict__.update(state)  # versions of modules, which torch attaches to a state dict
        else:
            self.built(of)

    def built(self, of: Any) -> None:
        """Refuses attributes of objects that have none."""
        raise pickle.UnpicklingError(f"attributes of a {type(of).__name__}")

    def check_key(self, key: Any) -> None:
        """Allows foreign objects, which are compared by identity."""
        if type(key) is not Foreign:
            super().check_key(key)

    def _add(self, target: Any, keys: list[Any], values: list[Any]) -> None:
        if type(target) is not Foreign:
            super()._add(target, keys, values)

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not Foreign:
            super()._extend(items)

    dispatch |= {
        pickle.REDUCE[0]: _load_reduce,
        pickle.NEWOBJ[0]: _load_newobj,
        pickle.NEWOBJ_EX[0]: _load_newobj_ex,
        pickle.BUILD[0]: _load_build,
    }


_TYPES = """
    bool bytearray bytes complex dict float frozenset int list object range set slice str tuple
    type NoneType Ellipsis NotImplemented getattr
"""
_SETTINGS = frozenset(  # harmless names of the standard library
    [
        *(f"builtins.{name}" for name in _TYPES.split()),
        *(f"collections.{name}" for name in ("OrderedDict", "defaultdict", "Counter", "deque", "ChainMap")),
        *("argparse.Namespace", "types.SimpleNamespace", "uuid.UUID", "copyreg._reconstructor", "_codecs.encode"),
        *("re._compile", "re.RegexFlag", "array.array", "array._array_reconstructor", "logging.getLogger"),
        *("functools.partial", "types.GenericAlias", "random.Random", "time.struct_time"),
    ]
)
_MODULES_OF_SETTINGS = re.compile(
    r"(pathlib|datetime|decimal|fractions|typing|enum|zoneinfo|numbers|ipaddress|collections\.abc)(\.\w+)*"
)
_FUNCTIONS = re.compile(  # of other libraries, that only make a value
    r"numpy(\._?core)?\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer|dtype|ndarray)"
    r"|numpy\.random\.(_pickle\.\w+|\w+\.__pyx_unpickle_\w+)"
    r"|torch\.(device|serialization\._get_layout|_utils\._rebuild_\w+|_tensor\._rebuild_from_type_v2)"
    r"|torch\.jit\._pickle\.(build_\w+|restore_type_tag)"
)


def is_code(kind: str, called: bool) -> bool:
    """Whether a name in a pickle is a reason to refuse the file, although nothing would be run.

    Settings of training scripts may hold objects of any class, but of the standard library a few known types only, and
    no calls but of functions that make arrays and tensors.

    Args:
        kind: module and name.
        called: Whether it is called, or only named, as the class of an object.

    >>> is_code("posix.system", called=False), is_code("yacs.config.CfgNode", called=True)
    (True, False)
    >>> is_code("numpy._core.multiarray.scalar", called=True), is_code("numpy.testing.runstring", called=True)
    (False, True)
    """
    module, _, name = kind.rpartition(".")
    if called and kind == "builtins.getattr":  # of anything but a class
        return True
    if kind.partition(".")[0] in sys.stdlib_module_names:
        return kind not in _SETTINGS and not _MODULES_OF_SETTINGS.fullmatch(module)
    function = not name.lstrip("_")[:1].isupper()
    return called and function and not _FUNCTIONS.fullmatch(kind)
