"""Small `.safetensors` files as arrays, without torch; `tensor_files` reads those of networks."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from refseg.errors import InvalidInput, MissingFile, first_line

MOST_BYTES = 2**28


def read_arrays(path: Path, prefix: str = "") -> dict[str, NDArray[Any]]:
    """Reads the arrays of a file whose names start with the prefix.

    Raises:
        MissingFile, InvalidInput: if there is no such file, it is too large or damaged, or has numbers that are not
            finite.
    """
    try:
        if not path.is_file():
            raise MissingFile(f"{path} is missing; copy the folder again")
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInput(f"{path} has more than {MOST_BYTES >> 20} MiB; copy the folder again")
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{path} cannot be read ({first_line(error)}); copy the folder again") from error
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise InvalidInput(f"{path} has numbers that are not finite; copy the folder again")
    return arrays
