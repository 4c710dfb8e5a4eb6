"""Damaged copies of a file's content: bytes of any format, and the values within JSON, JSON Lines, CSV and YAML."""

import copy
import json
import pickle
import pickletools
import random
from collections.abc import Callable, Iterator
from typing import Any

MAX_EDITS = 6
NAMES = (
    "../secret/secret.png",
    "/etc/passwd",
    "..",
    "",
    "a\0b",
    "CON",
    "x" * 300,
    "link/secret.png",
    "\ud800",
    "é" * 90,
)
NUMBERS = (0, -1, 1e308, -1e308, float("nan"), float("inf"), 2**31, 2**63, -(2**63), 10**30, 0.5, 1e-320, True)
OTHERS = (
    None,
    [],
    {},
    "",
    "0",
    [[]],
    {"counts": [1, 2], "size": [3, 4]},
    [1, 2, 3],
    [[1, 2], [3, 4], [5, 6]],
    {"": None},
)


def mutate(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """A damaged copy; structured formats are damaged in their values most of the time."""
    structured = STRUCTURED.get(suffix)
    if structured and rng.random() < 0.8:
        return structured(content, rng)
    return mutate_bytes(content, rng)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, moved, repeated or cut off."""
    data = bytearray(content)
    for _ in range(rng.randint(1, MAX_EDITS)):
        place = rng.randrange(len(data) + 1) if rng.random() < 0.5 else min(len(data), int(rng.expovariate(1 / 64)))
        length = min(len(data) - place, 1 << rng.randrange(10))
        match rng.randrange(7):
            case 0 if length:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place : place + length] = rng.randbytes(length)
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + length] * rng.randint(1, 3)
            case 4:
                number = rng.choice([0, 1, 0x7F, 0x80, 0xFF, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1])
                data[place : place + 8] = number.to_bytes(8, rng.choice(["little", "big"]))[: max(1, length)]
            case 5:
                del data[place:]
            case _:
                data[place:place] = rng.randbytes(rng.randint(1, 8))
    return bytes(data)


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    """One or more values replaced by others; now and then something that only looks like JSON."""
    tree = json.loads(content)
    for _ in range(rng.randint(1, 3)):
        tree = _replace_one(tree, rng)
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.5)
    match rng.randrange(20):
        case 0:
            text = text.replace("1", "9" * 5000, 1)
        case 1:
            text = "[" * 100_000 + text
        case 2:
            return b"\xef\xbb\xbf" + text.encode(errors="surrogatepass")
        case 3:
            return text.encode("utf-16", errors="surrogatepass")
    return text.encode(errors="surrogatepass")


def mutate_lines(content: bytes, rng: random.Random) -> bytes:
    """One line of JSON damaged, doubled or missing."""
    lines = content.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines.insert(place, lines[place])
        case 1:
            lines[place] = mutate_bytes(lines[place], rng)
        case _:
            lines[place] = mutate_json(lines[place], rng) + b"\n"
    return b"".join(lines)


def mutate_table(content: bytes, rng: random.Random) -> bytes:
    """One cell of a table, or one word of a text, replaced."""
    for separator in rng.sample([b",", b" ", b": ", b"\n"], 4):
        cells = content.split(separator)
        if len(cells) > 1:
            cells[rng.randrange(len(cells))] = _odd_text(rng).encode(errors="surrogatepass")
            return separator.join(cells)
    return mutate_bytes(content, rng)


def mutate_pickle(content: bytes, rng: random.Random) -> bytes:
    """A pickle of other values, or as `mutate_opcodes` damages it."""
    if rng.random() < 0.4:
        return pickle.dumps(_replace_one(pickle.loads(content), rng), rng.randrange(5))
    return mutate_opcodes(content, rng)


def mutate_opcodes(content: bytes, rng: random.Random) -> bytes:
    """A pickle with opcodes moved about, or another one that runs a command, or that is small and costs much."""
    match rng.randrange(3):
        case 0:
            operations = list(_operations(content))
            for _ in range(rng.randint(1, MAX_EDITS)):
                operations.insert(rng.randrange(len(operations)), rng.choice([*operations, *PIECES]))
            return b"".join(operations)
        case 1:
            return rng.choice(BOMBS)()
    return mutate_bytes(content, rng)


def _operations(content: bytes) -> Iterator[bytes]:
    places = [place for _, _, place in pickletools.genops(content)]
    yield from (content[start:stop] for start, stop in zip(places, [*places[1:], len(content)], strict=True))


def _replace_one(tree: Any, rng: random.Random) -> Any:
    """The tree with a random value in it replaced, renamed, doubled or taken away."""
    node, parents = tree, []
    while isinstance(node, dict | list) and node and (rng.random() < 0.85 or not parents):
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        parents.append((node, key))
        node = node[key]
    if not parents:
        return _odd_value(rng)
    parent, key = parents[-1]
    match rng.randrange(8):
        case 0 if isinstance(parent, dict):
            parent[_odd_text(rng)] = parent.pop(key)
        case 1:
            parent.pop(key)
        case 2 if isinstance(parent, list):
            parent.insert(key, copy.deepcopy(node))
        case 3 if isinstance(node, str):
            parent[key] = _odd_text(rng)
        case 4 if isinstance(node, int | float):
            parent[key] = rng.choice(NUMBERS)
        case _:
            parent[key] = _odd_value(rng)
    return tree


def _odd_value(rng: random.Random) -> Any:
    match rng.randrange(5):
        case 0:
            return rng.choice(NUMBERS)
        case 1:
            return _odd_text(rng)
        case 2:
            deep: Any = []
            for _ in range(rng.choice([3, 50, 400])):
                deep = [deep]
            return deep
    return copy.deepcopy(rng.choice(OTHERS))


def _odd_text(rng: random.Random) -> str:
    return rng.choice([*NAMES, str(rng.choice(NUMBERS)), "9" * 5000, "\x00", "?", "%s%n", "{}", "[/x]", "nan"])


def _call() -> bytes:
    """A pickle that runs a command."""
    return b"cposix\nsystem\n(S'touch ../ran'\ntR."


PIECES = (
    b"cposix\nsystem\n",
    b"(S'touch ../ran'\ntR",
    b"(",
    b"\x85",
    b"\x86",
    b"}",
    b"]",
    b"q\xff",
    b"s",
    b"R",
    b"0",
    b"2",
)
BOMBS: tuple[Callable[[], bytes], ...] = (
    _call,
    lambda: b"]" + b"\x85" * 300_000 + b"}h\x00s.",
    lambda: b")" + b"\x85" * 300_000 + b"q\x00}h\x00Ns.",
    lambda: b")" + b"2\x86" * 40 + b"q\x00}h\x00Ns.",
    lambda: b"Nr\xff\xff\xff\x7f.",
    lambda: b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    lambda: pickle.dumps({k * (2**61 - 1): 0 for k in range(20_000)}),
)
STRUCTURED: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": mutate_json,
    ".jsonl": mutate_lines,
    ".csv": mutate_table,
    ".txt": mutate_table,
    ".yaml": mutate_table,
    ".p": mutate_pickle,
}
