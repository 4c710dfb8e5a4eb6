"""Writes a traced graph as a file of ONNX or OpenVINO."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from refseg.errors import InvalidInput, first_line
from refseg.export.trace import Trace
from refseg.optional import importing
from refseg.runtimes import EXTRA
from refseg.runtimes.entry import Runtime

MOST_BYTES = 2**31 - 2**20  # of an ONNX file that holds its weights
NETWORK = "network."  # before the names of weights in a graph, whose module has the network as an attribute


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


def write_onnx_beside(trace: Trace, folder: Path, weights: str) -> None:
    """Writes a graph that reads its weights from a .safetensors file of the folder, and casts half precision."""
    with importing("exporting", EXTRA):
        import onnx

    with _quiet():
        model = _onnx_program(replace(trace, simplify=False)).model_proto  # simplified it would have weights of its own
    kinds = {"F16": onnx.TensorProto.FLOAT16, "F32": onnx.TensorProto.FLOAT}
    casts, stored = [], _places(folder / weights)
    for tensor in model.graph.initializer:
        kind, place = stored.get(tensor.name.removeprefix(NETWORK), ("", {}))
        if kind not in kinds:
            continue
        if kind == "F16":
            name, tensor.name = tensor.name, tensor.name.removeprefix(NETWORK)
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
        tensor.data_type, tensor.data_location = kinds[kind], onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        for key, value in {"location": weights, **place}.items():
            tensor.external_data.add(key=key, value=str(value))
    nodes = [*casts, *model.graph.node]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    (folder / f"{trace.name}.onnx").write_bytes(_simplified(model).SerializeToString())


def _simplified(model: Any) -> Any:
    """Returns a model as ONNX Runtime simplifies it for any processor, which halves the time to load it.

    Weights that are stored elsewhere are inputs meanwhile, so that they stay as they are.
    """
    import onnx
    import onnxruntime

    elsewhere = onnx.TensorProto.EXTERNAL
    stored = [tensor for tensor in model.graph.initializer if tensor.data_location == elsewhere]
    constants = [tensor for tensor in model.graph.initializer if tensor.data_location != elsewhere]
    inputs = list(model.graph.input)
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(constants)
    model.graph.input.extend(onnx.helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in stored)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with TemporaryDirectory() as made:
        options.optimized_model_filepath = str(Path(made) / "simplified.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        simplified = onnx.load(options.optimized_model_filepath)
    graph = simplified.graph
    for part in (simplified, graph, *graph.node, *graph.input, *graph.output):  # where each came from
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("input")
    graph.ClearField("value_info")
    graph.input.extend(inputs)
    graph.initializer.extend(stored)
    standard = [one for one in simplified.opset_import if not one.domain]  # nothing of others is in it
    simplified.ClearField("opset_import")
    simplified.opset_import.extend(standard)
    return simplified


def _places(path: Path) -> dict[str, tuple[str, dict[str, int]]]:
    """Returns type, and offset and length in bytes, of each tensor of a .safetensors file by name."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {
        name: (one["dtype"], {"offset": 8 + size + start, "length": end - start})
        for name, one in header.items()
        for start, end in [one["data_offsets"]]
    }


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
