"""Graphs that OpenVINO runs."""

from typing import Any

from refseg.optional import importing
from refseg.runtimes import EXTRA
from refseg.runtimes.graph import Arrays, Graph, threads

with importing("running weights that were exported to OpenVINO", EXTRA):
    import openvino


class OpenVinoGraph(Graph):
    """A graph of an .xml file with its .bin, on the CPU."""

    model: Any

    def open(self) -> None:
        """Loads the files; the precision is set in any case, since the plug-in takes bfloat16 by itself."""
        precision = "f32" if self.precision == "int8" else self.precision  # int8 is what the graph itself says
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads():
            settings["INFERENCE_NUM_THREADS"] = threads()
        self.model = openvino.Core().compile_model(str(self.path), "CPU", settings)

    def input_names(self) -> list[str]:
        """Returns the names of the inputs."""
        return [one.get_any_name() for one in self.model.inputs]

    def run(self, inputs: Arrays) -> Arrays:
        """Computes all outputs by name, with a request of its own, so that threads do not share one."""
        found = self.model.create_infer_request().infer(inputs, share_outputs=False)
        return {one.get_any_name(): found[one] for one in self.model.outputs}
