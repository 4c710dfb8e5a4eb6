"""Names of CLIP's weights, with which CRIS and others are initialised and which their releases keep."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from refseg.conversion.official_layout import TensorSlice
from refseg.errors import InvalidInput, MissingFile
from refseg.files.tensor_files import read_tensors
from refseg.networks.network import Network

ADDED = "pool.shortcut."  # CRIS's shortcut around CLIP's pooling
BLOCKS = "word_encoder.clip.text_model.encoder.layers"
# Prefix of our key -> CLIP's prefix; the first match counts
PLACES = (
    (r"image_encoder\.net\.stem\.conv(\d)\.conv", r"visual.conv\1"),
    (r"image_encoder\.net\.stem\.conv(\d)\.bn", r"visual.bn\1"),
    (r"pool\.positions", r"visual.attnpool.positional_embedding"),
    (r"pool\.(q|k|v)(?:uery|ey|alue)", r"visual.attnpool.\1_proj"),
    (r"pool\.project", r"visual.attnpool.c_proj"),
    (r"pool\.shortcut", r"visual.attnpool.connect"),
    (r"word_encoder\.clip\.text_model\.embeddings\.token_embedding", r"token_embedding"),
    (r"word_encoder\.clip\.text_model\.embeddings\.position_embedding\.weight", r"positional_embedding"),
    (r"word_encoder\.clip\.text_model\.final_layer_norm", r"ln_final"),
    (rf"{BLOCKS}\.(\d+)\.layer_norm(\d)", r"transformer.resblocks.\1.ln_\2"),
    (rf"{BLOCKS}\.(\d+)\.self_attn\.out_proj", r"transformer.resblocks.\1.attn.out_proj"),
    (rf"{BLOCKS}\.(\d+)\.mlp\.fc1", r"transformer.resblocks.\1.mlp.c_fc"),
    (rf"{BLOCKS}\.(\d+)\.mlp\.fc2", r"transformer.resblocks.\1.mlp.c_proj"),
)
BOTTLENECK = re.compile(r"image_encoder\.net\.stages\.(\d)\.(\d+)\.conv(\d)_\w+\.(conv|bn)")
SHORTCUT = re.compile(r"image_encoder\.net\.stages\.(\d)\.(\d+)\.shortcut\.conv\.(conv|bn)")
ATTENTION = re.compile(rf"{BLOCKS}\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)")
PROJECTION = "word_encoder.clip.text_projection.weight"


def clip_name(key: str) -> str | TensorSlice:
    """Returns CLIP's name of a tensor of our encoders and our pooling; `connect` is CRIS's addition.

    >>> clip_name("image_encoder.net.stages.2.0.conv2_kxk.bn.weight")
    'visual.layer3.0.bn2.weight'
    >>> clip_name("word_encoder.clip.text_model.encoder.layers.7.self_attn.k_proj.bias")
    TensorSlice(name='transformer.resblocks.7.attn.in_proj_bias', part=1, of=3, transposed=False)

    Raises:
        InvalidInput: if CLIP has no such tensor.
    """
    if key == PROJECTION:
        return TensorSlice("text_projection", transposed=True)
    if m := ATTENTION.fullmatch(key):
        return TensorSlice(f"transformer.resblocks.{m[1]}.attn.in_proj_{m[3]}", "qkv".index(m[2]), 3)
    if m := BOTTLENECK.match(key):
        return f"visual.layer{int(m[1]) + 1}.{m[2]}.{m[4]}{m[3]}{key[m.end() :]}"
    if m := SHORTCUT.match(key):
        return f"visual.layer{int(m[1]) + 1}.{m[2]}.downsample.{int(m[3] == 'bn')}{key[m.end() :]}"
    for ours, theirs in PLACES:
        if re.match(ours, key):
            return re.sub(ours, theirs, key, count=1)
    raise InvalidInput(f"{key} has no name in CLIP's layout")


def read_clip(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a CLIP: OpenAI's file (RN50.pt), a state dict of torch.save, or a `.safetensors` file.

    Code in OpenAI's archive is not run.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or it is none of these.
    """
    if not path.is_file():
        raise MissingFile(
            f"{path} is missing; give the file of a CLIP, for example OpenAI's RN50.pt, whose link stands in "
            "clip/clip.py of https://github.com/openai/CLIP"
        )
    return read_tensors(path, "give the file of a CLIP, for example OpenAI's RN50.pt")


def from_clip(network: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts CLIP's tensors to our state dict, float32, without CRIS's addition to the pooling.

    Args:
        network: one with a `ClipResNet`, an `AttentionPool` named "pool", or `ClipWords`.
        tensors: from `read_clip`.

    Raises:
        InvalidInput: if the network has no such parts, or the CLIP does not fit.
    """
    state, own = {}, network.state_dict()
    parts = _parts(own)
    for key, ours in own.items():
        if not key.startswith(parts) or key.startswith(ADDED) or key.endswith("num_batches_tracked"):
            continue
        name = clip_name(key)
        piece = name if isinstance(name, TensorSlice) else TensorSlice(name)
        if piece.name not in tensors:
            raise InvalidInput(f"this CLIP does not fit: it lacks {piece.name}")
        theirs = tensors[piece.name].mT if piece.transposed else tensors[piece.name]
        value = theirs.chunk(piece.of)[piece.part]
        if value.shape != ours.shape:
            shapes = " in place of ".join("x".join(map(str, shape)) for shape in (value.shape, ours.shape))
            raise InvalidInput(f"this CLIP does not fit: {piece.name} is {shapes}")
        state[key] = value.float()
    if not state:
        raise InvalidInput(
            "the network has no part of a CLIP; give it the image encoder clip_resnet50 or clip_resnet101"
        )
    return state


def _parts(own: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Returns the prefixes of the network's parts that CLIP has."""
    parts = {
        "image_encoder.net.stem.": "image_encoder.",
        "pool.positions": "pool.",
        "word_encoder.clip.": "word_encoder.",
    }
    return tuple(part for start, part in parts.items() if any(key.startswith(start) for key in own))
