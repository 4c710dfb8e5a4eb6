"""Graphs that ONNX Runtime runs."""

from typing import Any

from refseg.optional import importing
from refseg.runtimes import FAST
from refseg.runtimes.graph import Arrays, Graph, threads

with importing("running weights that were exported to ONNX", FAST):
    import onnxruntime

_ERRORS_ONLY = 3


class OnnxGraph(Graph):
    """A graph of an .onnx file, on the CPU."""

    session: Any

    def open(self) -> None:
        """Loads the file."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads()
        self.session = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def input_names(self) -> list[str]:
        """Returns the names of the inputs."""
        return [one.name for one in self.session.get_inputs()]

    def run(self, inputs: Arrays) -> Arrays:
        """Computes all outputs by name."""
        names = [one.name for one in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, inputs), strict=True))
