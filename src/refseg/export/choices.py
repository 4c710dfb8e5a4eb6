"""Choices of an export, checked without torch."""

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from refseg.checkpoints.config_file import brings_weights, open_config
from refseg.errors import InvalidInput, choose_one, for_caller, option, shown
from refseg.preprocessing.geometry import Size
from refseg.runtimes import EXTRA, RUNTIMES
from refseg.runtimes.entry import Precision

NEEDS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino")}
MOST_SIDE = 4096
NO_NNCF = "int8 needs nncf, which comes with no extra; install it with: pip install nncf"


def check_choices(to: str, precision: str, size_hw: Size | None = None, calibrated: bool = False) -> None:
    """Checks the choices of an export without torch, and that what it needs is installed.

    Raises:
        InvalidInput: if not.
    """
    if to not in RUNTIMES:
        raise InvalidInput(f"nothing exports to {shown(to)}; {choose_one(to, RUNTIMES)}")
    if precision not in get_args(Precision):
        raise InvalidInput(f"unknown precision {shown(precision)}; {choose_one(precision, get_args(Precision))}")
    if precision != "f32" and to == "onnx":
        raise InvalidInput(
            f"ONNX Runtime computes in f32 on a CPU, not in {precision}; leave out {option('precision', precision)}, "
            "or export to openvino"
        )
    if precision == "int8" and not calibrated:
        samples = for_caller("--calibration drawn_scenes", 'calibration=load_dataset("drawn_scenes", split="val")')
        raise InvalidInput(f"int8 needs images that tell the ranges of its numbers; give for example {samples}")
    if calibrated and precision != "int8":
        raise InvalidInput(
            f"calibration is of int8 alone; add {option('precision', 'int8')}, or leave out "
            f"{for_caller('--calibration', 'calibration')}"
        )
    if size_hw is not None and not all(16 <= side <= MOST_SIDE for side in size_hw):
        raise InvalidInput(f"images of {size_hw[0]} x {size_hw[1]} are not exported; give sides of 16 to {MOST_SIDE}")
    for module in NEEDS[to]:
        if find_spec(module) is None:
            raise InvalidInput(
                f"exporting to {RUNTIMES[to][1]} needs {module}; install it with: pip install 'refseg[{EXTRA}]'"
            )
    if precision == "int8" and find_spec("nncf") is None:
        raise InvalidInput(NO_NNCF)


def import_nncf() -> Any:
    """Imports NNCF, without its reports of use to its makers; raises InvalidInput if it is not installed."""
    os.environ.setdefault("NNCF_CI", "1")
    try:
        return import_module("nncf")
    except ModuleNotFoundError as error:
        raise InvalidInput(NO_NNCF) from error


def check_exportable(weights: str | Path) -> None:
    """Checks that weights are of a network, and not exported yet; its files are not looked at.

    Raises:
        MissingFile, InvalidInput: if not.
    """
    _, config = open_config(weights)
    if brings_weights(config.network.name):
        raise InvalidInput(f"{weights} is made of models of others, and is not exported; give trained weights")
    if config.runtime is not None:
        raise InvalidInput(f"{weights} is exported already; give the weights that it was exported from")
