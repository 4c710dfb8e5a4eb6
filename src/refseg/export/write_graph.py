"""Writes a traced graph as a file of ONNX or OpenVINO."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from refseg.errors import InvalidInput, first_line
from refseg.export.trace import Trace
from refseg.optional import importing
from refseg.runtimes import EXTRA
from refseg.runtimes.entry import Runtime

MOST_BYTES = 2**31 - 2**20  # of an ONNX file that holds its weights


def write_graph(trace: Trace, folder: Path, runtime: Runtime) -> None:
    """Writes the file or files of a graph to a folder."""
    try:
        with _quiet():
            WRITERS[runtime](trace, folder)
    except (InvalidInput, OSError, MemoryError):
        raise
    except Exception as error:  # of many kinds
        raise InvalidInput(f"the {trace.name} graph cannot be written for {runtime} ({first_line(error)})") from error


def _write_onnx(trace: Trace, folder: Path) -> None:
    """Writes one file, weights included."""
    _onnx_program(trace).save(str(folder / f"{trace.name}.onnx"), external_data=False)


def _write_openvino(trace: Trace, folder: Path) -> None:
    with importing("exporting to OpenVINO", EXTRA):
        import openvino

    _onnx_program(trace).save(str(folder / "between.onnx"), external_data=False)
    model = openvino.Core().read_model(str(folder / "between.onnx"))  # unlike convert_model it reports to nobody
    openvino.save_model(model, str(folder / f"{trace.name}.xml"), compress_to_fp16=False)
    del model
    (folder / "between.onnx").unlink()


WRITERS: dict[str, Callable[[Trace, Path], None]] = {"onnx": _write_onnx, "openvino": _write_openvino}


def _onnx_program(trace: Trace) -> Any:
    with importing("exporting", EXTRA):
        import onnxscript

    size = sum(value.numel() * value.element_size() for value in trace.program.state_dict.values())
    if size > MOST_BYTES:
        raise InvalidInput(f"the {trace.name} graph has {size / 2**30:.1f} GiB of weights, ONNX files hold 2 at most")
    op: Any = onnxscript.opset18

    def sort_stable(x: Any, stable: Any = None, dim: int = -1, descending: bool = False) -> Any:
        """Returns `aten.sort.stable`: of equal values, TopK gives the first ones first."""
        length = op.Gather(op.Shape(x), op.Constant(value_ints=[dim]))
        return op.TopK(x, length, axis=dim, largest=int(descending), sorted=1)

    found: Any = torch.onnx.export(
        trace.program,
        (),
        input_names=list(trace.inputs),
        output_names=list(trace.outputs),
        custom_translation_table={torch.ops.aten.sort.stable: sort_stable},
        optimize=trace.simplify,
        dynamo=True,
        verbose=False,
    )
    values, read = found.model.graph, trace.read
    values.inputs[:] = [value for value in values.inputs if value.name in read]
    values.outputs[:] = [value for value in values.outputs if value.name in trace.kept]
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what the exporters tell of themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
