"""Graph: one function of a network, from arrays to arrays, as a runtime computes it."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.errors import InvalidInput, MissingFile, first_line

Arrays = dict[str, NDArray[Any]]
MOST_RECORDED = 2**30  # bytes of inputs of a graph


class Graph(ABC):
    """A graph of a file; may be called by many threads, and after a fork.

    Attributes:
        path: its file.
        precision: of the arithmetic.
        recorded: inputs of the calls so far, as far as they fit into `MOST_RECORDED`; None if they are not kept.
    """

    recorded: list[Arrays] | None = None

    def __init__(self, path: Path, precision: str = "f32"):
        if not path.is_file():
            raise MissingFile(f"{path} is missing; copy the folder again, or export it again with: refseg export")
        self.path, self.precision = path, precision
        self._lock = threading.Lock()
        self._process = -1
        self._loaded()

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Computes all outputs by name; inputs that the graph does not have are left out.

        Raises:
            InvalidInput: if the runtime refuses the inputs.
        """
        self._loaded()
        try:
            given = {name: np.asarray(inputs[name], order="C") for name in self.input_names()}
            if self.recorded is not None and _size(self.recorded) + _size([given]) <= MOST_RECORDED:
                self.recorded.append({name: value.copy() for name, value in given.items()})
            return self.run(given)
        except KeyError as error:
            raise InvalidInput(
                f"{self.path} asks for {error}, which its network does not give; export again"
            ) from error
        except Exception as error:  # each runtime has its own
            raise InvalidInput(f"{self.path} cannot be run ({first_reason(error)}); export it again") from error

    def _loaded(self) -> None:
        """Loads the graph, once in each process: the threads of a runtime do not outlive a fork."""
        if self._process == os.getpid():
            return
        with self._lock:
            if self._process != os.getpid():
                try:
                    self.open()
                except Exception as error:
                    reason = first_reason(error)
                    raise InvalidInput(
                        f"{self.path} cannot be loaded ({reason}); copy the folder again, or export it again"
                    ) from error
                self._process = os.getpid()

    @abstractmethod
    def open(self) -> None:
        """Loads the file."""

    @abstractmethod
    def input_names(self) -> list[str]:
        """Returns the names of the inputs."""

    @abstractmethod
    def run(self, inputs: Arrays) -> Arrays:
        """Computes all outputs by name."""


def _size(calls: list[Arrays]) -> int:
    """Returns the number of bytes of the inputs of calls."""
    return sum(value.nbytes for inputs in calls for value in inputs.values())


def threads() -> int:
    """Returns the number of threads that the environment asks for, OMP_NUM_THREADS as of torch; 0 if it does not."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdecimal() else 0


def first_reason(error: BaseException) -> str:
    r"""Returns the first line of an error's message that gives a reason; OpenVINO's begin with places in its code.

    >>> first_reason(RuntimeError("Exception from src/core.cpp:132:\nCheck 'ok' failed at src/pass.cpp:96:\nno memory"))
    'no memory'
    """
    reasons = (line for line in str(error).splitlines() if not line.startswith(("Exception from ", "Check ")))
    return next(filter(str.strip, reasons), first_line(error))[:300]
