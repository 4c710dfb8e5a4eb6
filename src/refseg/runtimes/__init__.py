"""Runtimes: the networks of exported checkpoints, run by ONNX Runtime or OpenVINO in the place of torch."""

RUNTIMES = {  # by the name that `refseg export --to` takes: the class that runs a graph, and what installs it
    "onnx": ("refseg.runtimes.onnx_runtime:OnnxGraph", "ONNX Runtime"),
    "openvino": ("refseg.runtimes.open_vino:OpenVinoGraph", "OpenVINO"),
}
EXTRA, FAST = "export", "fast"
"""Extras: what exporting needs, and what running ONNX files needs alone."""
