"""I3D's weights of Kinetics (RGB), with which CMPC for videos is initialised.

Names      The common PyTorch port (rgb_imagenet.pt of pytorch-i3d) is one state dict:
           Conv3d_1a_7x7, Conv3d_2b_1x1, Conv3d_2c_3x3 and Mixed_{3b,3c,4b,...,4f,5b,5c}.{b0,b1a,b1b,b2a,b2b,b3b}, each
           with conv3d.weight and bn.{weight,bias,running_mean,running_var}; logits.conv3d.{weight,bias} is a
           classifier. Images have values from -1 to 1.
Scale      DeepMind's TensorFlow weights have no scale of norms, and neither has our network. The port's, bn.weight,
           is folded into the convolution and the mean, which is the same function.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from refseg.conversion.fit_report import Report, misfits, sides
from refseg.conversion.source_file import check_file
from refseg.encoders.i3d import I3D
from refseg.errors import InvalidInput
from refseg.files.tensor_files import read_tensors

CLASSIFIER = "logits."
LEAVES = {
    "conv.weight": "conv3d.weight",
    "shift": "bn.bias",
    "norm.running_mean": "bn.running_mean",
    "norm.running_var": "bn.running_var",
}
SCALE = "bn.weight"
COUNTER = "num_batches_tracked"
WHICH_FILE = "give the state dict of an I3D for RGB, for example rgb_imagenet.pt"


def i3d_name(key: str) -> str:
    """Returns the port's name of a tensor of our encoder.

    >>> i3d_name("net.Mixed_4f.b1a.conv.weight"), i3d_name("net.Conv3d_1a_7x7.shift")
    ('Mixed_4f.b1a.conv3d.weight', 'Conv3d_1a_7x7.bn.bias')
    """
    leaf = next(leaf for leaf in LEAVES if key.endswith(f".{leaf}"))
    return key.removeprefix("net.").removesuffix(leaf) + LEAVES[leaf]


def read_i3d(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a file of the port; code in it is never run.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or it holds something else.
    """
    check_file(path, WHICH_FILE)
    return read_tensors(path, WHICH_FILE)


def from_i3d(encoder: I3D, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts the port's tensors to the encoder's state dict, without counters of batches.

    Args:
        encoder: gives names and shapes.
        tensors: from `read_i3d`.

    Raises:
        InvalidInput: if tensors are missing, unknown, or of another shape.
    """
    own = {key: value for key, value in encoder.state_dict().items() if not key.endswith(COUNTER)}
    names = {key: i3d_name(key) for key in own}
    shapes = {name: own[key].shape for key, name in names.items()}
    shapes |= {f"{_layer(name)}.{SCALE}": shape for name, shape in shapes.items() if name.endswith("bn.bias")}
    theirs = {name for name in tensors if not name.startswith(CLASSIFIER) and not name.endswith(COUNTER)}
    report = Report(
        preset="i3d",
        taken={key: (name,) for key, name in names.items()},
        missing=tuple(name for name in shapes if name not in theirs),
        unexpected=tuple(sorted(theirs - shapes.keys())),
        misshapen=tuple(
            f"{name}: {sides(tensors[name].shape)} in place of {sides(shape)}"
            for name, shape in shapes.items()
            if name in theirs and tensors[name].shape != shape
        ),
    )
    if not report.fits:
        raise InvalidInput(f"this is no I3D for RGB: {misfits(report)}; {WHICH_FILE}")
    state = {}
    for key, name in names.items():
        value = tensors[name].float()
        if key.endswith(("conv.weight", "running_mean")):
            value = value * tensors[f"{_layer(name)}.{SCALE}"].float().view(-1, *[1] * (value.ndim - 1))
        state[key] = value
    return state


def _layer(name: str) -> str:
    return name.rsplit(".", 2)[0]
