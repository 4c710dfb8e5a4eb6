"""GloVe's word vectors from its text files of one word a line; only the requested words are kept.

Source     J. Pennington et al. "GloVe: Global Vectors for Word Representation". EMNLP 2014.
           https://nlp.stanford.edu/projects/glove/
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.files.atomic import all_or_nothing, remove_leftovers
from refseg.files.cache import cache_folder
from refseg.files.tensor_files import read_safetensors, safetensors_metadata

MAX_LINE = 2**16  # bytes


def check_glove(file: Path, width: int) -> None:
    """Checks the first line of a file.

    Raises:
        MissingFile, InvalidInput: if there is none, or it does not begin with a word and so many numbers.
    """
    if not file.is_file():
        raise MissingFile(
            f"{file} is missing; give a text file of word vectors, such as glove.840B.300d.txt, unpacked from the zip "
            "of https://nlp.stanford.edu/projects/glove"
        )
    try:
        with file.open("rb") as lines:
            first = lines.readline(MAX_LINE)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read ({error.strerror})") from error
    if first.startswith(b"PK"):
        raise InvalidInput(f"{file} is a zip archive; unpack it and give the text file in it")
    name, _ = _entry(first, width, file, 1)
    if b" " in name:
        raise InvalidInput(_malformed(first, width, file, 1))


def fill_vectors(vectors: nn.Embedding, file: Path, id_of_word: Mapping[str, int]) -> int:
    """Copies the vectors of a file to its words, and returns their number; other words keep theirs.

    Raises:
        MissingFile, InvalidInput: if the file cannot be used, or has none of the words.
    """
    found = read_glove(file, id_of_word, vectors.embedding_dim)
    if not found:
        raise InvalidInput(
            f"{file} has none of the {counted(len(id_of_word), 'word')} of the network; give another file"
        )
    with torch.no_grad():
        for word, vector in found.items():
            vectors.weight[id_of_word[word]] = vector.to(vectors.weight)
    return len(found)


def read_glove(file: Path, words: Collection[str], width: int) -> dict[str, Tensor]:
    """Reads the vectors (width,) of the words that the file has, and caches them.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or a line of it that is needed is malformed.
    """
    check_glove(file, width)
    cached = cache_folder() / "glove" / f"{_digest(file, words, width)}.safetensors"
    remove_leftovers(cached.parent)
    try:
        names, rows = json.loads(safetensors_metadata(cached, "")["words"]), read_safetensors(cached, "")["vectors"]
        if rows.shape != (len(names), width):
            raise ValueError("as many vectors as words")
    except (MissingFile, KeyError, TypeError, ValueError):  # missing or damaged: read again
        found = _scan(file, words, width)
        names = list(found)
        rows = torch.from_numpy(np.stack(list(found.values())) if found else np.empty((0, width), np.float32))
        try:
            with all_or_nothing(cached.parent) as folder:
                save_file({"vectors": rows}, folder / cached.name, metadata={"words": json.dumps(names)})
        except UnwritableOutput:
            pass  # it will be read again
    return dict(zip(names, rows, strict=True))


def _scan(file: Path, words: Collection[str], width: int) -> dict[str, NDArray[np.float32]]:
    wanted = {word.encode(): word for word in words}
    found: dict[str, NDArray[np.float32]] = {}
    with file.open("rb") as lines:
        for number, line in enumerate(iter(partial(lines.readline, MAX_LINE), b""), start=1):
            if line.partition(b" ")[0] not in wanted:
                continue
            name, vector = _entry(line, width, file, number)
            if name in wanted:  # a word may have spaces: ". . ." begins like "."
                found.setdefault(wanted[name], vector)
    return found


def _entry(line: bytes, width: int, file: Path, number: int) -> tuple[bytes, NDArray[np.float32]]:
    """Parses a line to its word and vector.

    Raises:
        InvalidInput: if it is no word and so many numbers.
    """
    name, *numbers = line.rstrip().rsplit(b" ", width)
    try:
        vector = np.array(numbers, dtype=np.float32)
    except ValueError:
        vector = np.empty(0, np.float32)
    if not name or len(vector) != width or not np.isfinite(vector).all():
        raise InvalidInput(_malformed(line, width, file, number))
    return name, vector


def _malformed(line: bytes, width: int, file: Path, number: int) -> str:
    start, has = line[:20].decode(errors="replace"), len(line.split()) - 1
    return (
        f"{file}, line {number}: not a word and {width} numbers ({has} follow the first of {start!r}); give a text "
        f"file of word vectors with {width} numbers each, or a network whose word vectors have as many"
    )


def _digest(file: Path, words: Collection[str], width: int) -> str:
    """Returns a digest of all that decides the result, the file by its path, size and time."""
    stat = file.stat()
    key = [str(file.resolve()), stat.st_size, stat.st_mtime_ns, width, sorted(words)]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
