"""An exported folder whose graphs are written by hand: quick to make, and for any size of images."""

import json

import pytest


@pytest.fixture(scope="session")
def handmade(tmp_path_factory):
    """A folder whose mask is where an image is bright, whatever is said; it exists where any pixel is bright."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto

    def tensor(name, of, *shape):
        return helper.make_tensor_value_info(name, of, shape)

    def save(name, nodes, inputs, outputs, constants=()):
        values = [onnx.numpy_helper.from_array(value, key) for key, value in dict(constants).items()]
        graph = helper.make_graph(
            [helper.make_node(*node[:3], **node[3]) for node in nodes], name, inputs, outputs, values
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.save(model, folder / f"{name}.onnx")

    import numpy as np

    folder = tmp_path_factory.mktemp("handmade")
    image = tensor("image", kind.FLOAT, "b", 3, "h", "w")
    brightness = tensor("features", kind.FLOAT, "b", 1, "h", "w")
    save(
        "image",
        [("ReduceMean", ["image", "axis"], ["features"], {"keepdims": 1})],
        [image],
        [brightness],
        {"axis": np.array([1])},
    )
    words = tensor("words", kind.FLOAT, "m", "l", 1)
    save(
        "words",
        [
            ("Cast", ["tokens"], ["numbers"], {"to": kind.FLOAT}),
            ("Unsqueeze", ["numbers", "axis"], ["words"], {}),
        ],
        [tensor("tokens", kind.INT64, "m", "l")],
        [words],
        {"axis": np.array([2])},
    )
    save(
        "fuse",
        [
            ("Gather", ["features", "image_of_expression"], ["logits"], {"axis": 0}),
            ("ReduceMax", ["logits", "axes"], ["exists"], {"keepdims": 0}),
        ],
        [brightness, tensor("image_of_expression", kind.INT64, "m")],
        [tensor("logits", kind.FLOAT, "m", 1, "h", "w"), tensor("exists", kind.FLOAT, "m")],
        {"axes": np.array([1, 2, 3])},
    )
    config = {
        "format": 1,
        "network": {"name": "selector", "config": {}},
        "tokenizer": {"name": "vocabulary", "words": ["bright", "the", "thing"], "max_words": 5},
        "preprocessing": {"side": 64},
        "calibration": {},
        "knows": "light",
        "runtime": {"name": "onnx", "familiarity": None, "computed": ["logits", "exists"]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder
