"""Weights of encoders from timm's registry, BERT on the hub and YOLOv3's DarkNet-53.

Each reader returns a state dict under our names that may be incomplete; `training.initial_weights` checks it.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from refseg.encoders.darknet import DarkNet
from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.files.tensor_files import read_tensors

TIMM = "timm/"
UNUSED_IN_TIMM = "fc.", "head.", "norm."  # the classifier, and a norm that the published networks do not have
BERT_HEADS = "pooler.", "cls."
HUB = "https://huggingface.co/{}/resolve/main/model.safetensors"
DARKNET = "https://github.com/pjreddie/darknet/wiki or https://pjreddie.com/media/files/yolov3.weights"


def timm_weights(net: nn.Module, source: str) -> dict[str, Tensor]:
    """Loads weights of timm's registry, without the classifier.

    Args:
        net: a network of timm.
        source: "timm/NAME" loads it from the hub, "timm/NAME:FILE" reads a file that was downloaded from there, or in
            the layout of the weights' authors.

    Raises:
        MissingFile, InvalidInput: if there are no such weights, or they cannot be read.
    """
    from timm.models import get_pretrained_cfg, load_state_dict_from_hf
    from timm.models.swin_transformer import SwinTransformer, checkpoint_filter_fn

    name, _, file = source.removeprefix(TIMM).partition(":")
    try:
        registered = get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise InvalidInput(f"timm has no weights {name!r}{_near(name)}") from error
    assert registered is not None
    if file:
        tensors = read_tensors(Path(file), "give a file of weights of this network")
    else:
        try:
            tensors = load_state_dict_from_hf(registered.hf_hub_id, weights_only=True)
        except Exception as error:  # of whichever HTTP library the hub's client uses
            raise MissingFile(
                f"{name} cannot be downloaded ({first_line(error)}); download {HUB.format(registered.hf_hub_id)} by "
                f"hand as model.safetensors and set this to {TIMM}{name}:model.safetensors"
            ) from error
    if isinstance(net, SwinTransformer):
        tensors = checkpoint_filter_fn(tensors, net)
    return {key: value for key, value in tensors.items() if not key.startswith(UNUSED_IN_TIMM)}


def bert_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a BERT in Hugging Face's layout, alone or in another model, to ours.

    >>> list(bert_names({"bert.embeddings.LayerNorm.gamma": torch.zeros(2), "cls.predictions.bias": torch.zeros(2)}))
    ['bert.embeddings.LayerNorm.weight']
    """
    names = {}
    for key, value in tensors.items():
        name = key.removeprefix("bert.")
        if not name.startswith(BERT_HEADS) and not name.endswith("position_ids"):
            for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
                name = name.replace(old, new)
            names[f"bert.{name}"] = value
    return names


def darknet_weights(encoder: DarkNet, file: Path) -> dict[str, Tensor]:
    """Reads the first convolutions of a file in DarkNet's layout, such as yolov3.weights.

    The file has a header and, for each convolution, biases, scales, means and variances of its batch norm, then its
    kernels.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or it is too short.
    """
    if not file.is_file():
        raise MissingFile(f"{file} is missing; download yolov3.weights by hand ({DARKNET})")
    with file.open("rb") as stream:
        major, minor, _ = np.fromfile(stream, "<i4", 3) if file.stat().st_size > 20 else (0, 0, 0)
        stream.seek(20 if major * 10 + minor >= 2 else 16)
        values = torch.from_numpy(np.fromfile(stream, "<f4"))
    state, place = encoder.state_dict(), 0
    for name in [name for name, tensor in state.items() if tensor.ndim == 4]:
        norm = f"{name.removesuffix('0.weight')}1."
        for key in (*(norm + part for part in ("bias", "weight", "running_mean", "running_var")), name):
            count = state[key].numel()
            if place + count > len(values):
                raise InvalidInput(f"{file} is too short: it ends before {key}; give yolov3.weights")
            state[key] = values[place : place + count].view(state[key].shape)
            place += count
    return state


def _near(name: str) -> str:
    from timm import list_models

    near = get_close_matches(name, list_models(pretrained=True), n=3)
    return f"; near to it: {', '.join(near)}" if near else ""
