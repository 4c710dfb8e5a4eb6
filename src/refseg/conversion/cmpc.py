"""Names of CMPC's variables in the official TensorFlow checkpoints, exported as one .npz file: images and videos.

Layout     Convolutions are (height, width, in, out), ours (out, in, height, width); our linear layers are 1 x 1
           convolutions. Five heads are five layers. Sources of TGFE are numbered in ascending order.
Unused     The optimiser's state: it is not read.
Trunk      The image encoder. Only its layers' names, Caffe's, are known; statistics are called mean and variance, with
           or without "moving_". Its first convolution takes blue, green, red, ours red, green, blue.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from refseg.checkpoints.official_release import MARKS
from refseg.conversion.official_file import OfficialCheckpoint
from refseg.conversion.official_layout import OfficialLayout
from refseg.conversion.source_file import check_file
from refseg.errors import InvalidInput, option
from refseg.files.tensor_files import read_npz
from refseg.networks.cmpc import CMPC, LEVELS
from refseg.preprocessing.transform import ClipSampling, Preprocessing
from refseg.text.tokenizer import Tokenizer

PRESET_OF_WORD_TYPES = {4: "cmpc_release", 5: "cmpc_video_release"}
ROUNDS = 2
ENTRY = "variables"
TRUNK_MEAN = 122.67891434, 116.66876762, 104.00698793  # red, green, blue

SCOPE = "text_objseg/"
EMBEDDING = "Variable"
(PARSED,) = MARKS["cmpc"].names
WHICH_FILE = "give the .npz of all variables that docs/published_weights.md exports"
OPTIMISER = re.compile(r"(^|/)(Adam|Momentum|RMSProp|ExponentialMovingAverage|beta[12]_power|global_step)(_\d+)?$")
TRUNK = re.compile(r"(?:^|/)((?:bn_)?conv1/\w+|(?:res|bn)[2-5][a-z]\d*_branch[12][a-c]?/\w+)$")

LSTM, CONV_LSTM = "RNN/multi_rnn_cell/cell_0/basic_lstm_cell/", "rnn/conv_lstm_cell/"
WORD_ENCODER = {"vectors.weight": EMBEDDING, "weight": f"{LSTM}kernel", "bias": f"{LSTM}bias"}
NORMS = {part: f"LayerNorm_{number}" if number else "LayerNorm" for number, part in enumerate("jifoc")}
LEAVES = {"weight": "DW", "bias": "biases"}
NORM_LEAVES = {"weight": "gamma", "bias": "beta"}
STATISTICS = {"running_mean": "mean", "running_var": "variance"}
LAYERS = {  # our name of a level's layer -> the official one, before the level's name
    "perceive.visual": "vis_trans",
    "perceive.language": "lang_trans",
    "reason.vertex": "spa_graph_trans2",
    "reason.word": "words_trans",
    "reason.layers.0.message_norm": "gconv_feat_ln_spa_graph",
    "reason.layers.0.update": "gconv_update_spa_graph",
    "reason.layers.0.norm": "gconv_update_ln_spa_graph",
    "act.pixel": "tg_vtrans",
    "act.action": "tg_ltrans",
    "act.graph.query": "tg_query",
    "act.graph.key": "tg_key",
    "act.graph.layer.message_norm": "gconv_feat_ln_temp_graph",
    "act.graph.layer.update": "gconv_update_temp_graph",
    "act.graph.layer.norm": "gconv_update_ln_temp_graph",
    "act.place": "mm_trans",
    "act.context": "ctx_trans",
    "join.layer": "fusion",
}
TGFE = {
    "key": "spa_graph_key",
    "query": "lang_query",
    "summary": "gv_lang",
    "gates": "lang_feat",
    "values": "trans_feat",
}
BOTTLENECK = re.compile(r"layer(\d)\.(\d+)\.(?:(conv|bn)(\d)|downsample\.(\d))\.(\w+)")


class CMPCLayout(OfficialLayout[CMPC]):
    """Names of CMPC's variables in the authors' checkpoints, exported to .npz."""

    networks = "cmpc", "cmpc_video"
    entry = ENTRY
    bert_prefixes = ()
    clips = {"cmpc_video_release": ClipSampling(offsets=(-8, -4, 0, 4, 7))}  # 0, 4, 8, 12 and 15 of 16 frames
    image_size = 320
    image_note = "put into {side} x {side} with their shape kept, less the mean of the authors' trunk"

    @override
    def read(self, path: Path) -> OfficialCheckpoint:
        """Reads variables with PyTorch's order of axes; nothing is unpickled."""
        check_file(path, WHICH_FILE)
        tensors: dict[str, Tensor] = {}
        others: Counter[str] = Counter()
        for full, array in read_npz(path, lambda name: short_name(name) is not None, WHICH_FILE):
            name = short_name(full)
            if name is None or array is None:
                others[re.sub(r"_\d+$", "", full.rpartition("/")[2])] += 1
                continue
            if f"{ENTRY}.{name}" in tensors:
                raise InvalidInput(f"{path} holds {name} twice; export one checkpoint")
            tensors[f"{ENTRY}.{name}"] = from_tensorflow(name, array)
        return OfficialCheckpoint(path, tensors, {}, tuple(f"{name} ({count})" for name, count in others.items()))

    @override
    def write(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        named = {name.removeprefix(f"{ENTRY}."): tensor.detach().cpu() for name, tensor in tensors.items()}
        arrays = {
            (name if TRUNK.search(name) else SCOPE + name): to_tensorflow(name, tensor)
            for name, tensor in named.items()
        }
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @override
    def preset_of(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        if PARSED not in shapes:
            raise InvalidInput(f"these are no weights of CMPC: {PARSED} is missing; {WHICH_FILE}")
        types = shapes[PARSED][0]
        if types not in PRESET_OF_WORD_TYPES:
            raise InvalidInput(f"this CMPC has {types} types of words; the authors released one with 4 and one with 5")
        rounds = len({name for name in shapes if re.fullmatch(r"gv_lang_c5(_\d)?gv_f1/DW", name)})
        if rounds != ROUNDS:
            raise InvalidInput(f"this CMPC has {rounds} rounds of TGFE; the authors released one with {ROUNDS}")
        return PRESET_OF_WORD_TYPES[types]

    @override
    def vocabulary_size(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        shape = shapes.get(f"{ENTRY}.{EMBEDDING}")
        if not shape:
            raise InvalidInput(f"the word vectors {SCOPE}{EMBEDDING} are missing; {WHICH_FILE}")
        return shape[0]

    @override
    def tokenizer(self, max_words: int) -> Tokenizer:
        """Raises InvalidInput, since the release has no list of words."""
        raise InvalidInput(
            "an export holds no words; give the authors' list of them, one a line, as "
            f"{option('vocabulary', 'vocabulary.txt')}"
        )

    @override
    def preprocessing(self, side: int) -> Preprocessing:
        return Preprocessing(
            resize="letterbox_rounded",
            side=side,
            mean=TRUNK_MEAN,
            std=1.0,
            multiple_of=8,
            longest_side=max(side, 512),
            padding="black",
        )

    @override
    def official_names(self, network: CMPC) -> dict[str, str | tuple[str, ...]]:
        return {key: official_name(key, network.config.heads) for key in network.state_dict()}

    @override
    def official_shapes(self, network: CMPC) -> dict[str, tuple[int, ...]]:
        """Covers linear layers that are convolutions in the release."""
        shapes: dict[str, tuple[int, ...]] = {}
        for key, value in network.state_dict().items():
            linear = value.ndim == 2 and not key.startswith("word_encoder.")
            if linear:
                names = official_names_of(key, network)
                shapes[key] = (value.shape[0] // len(names), value.shape[1], 1, 1)
        return shapes


def short_name(full: str) -> str | None:
    """Returns a variable's name without its scope; None if it is no weight of the network.

    >>> short_name("text_objseg/c5_lateral/DW:0")
    'c5_lateral/DW'
    >>> short_name("deeplab/res4b1_branch2a/DW")
    'res4b1_branch2a/DW'
    >>> short_name("text_objseg/text_objseg/c5_lateral/DW/Adam_1") is None
    True
    """
    name = full.removesuffix(":0")
    if OPTIMISER.search(name):
        return None
    if trunk := TRUNK.search(name):
        return trunk[1].replace("/moving_", "/")
    return name.removeprefix(SCOPE) if name.startswith(SCOPE) else None


def from_tensorflow(name: str, value: np.ndarray) -> Tensor:
    """Converts a variable to PyTorch's order of axes.

    Raises:
        InvalidInput: if it holds no floating-point numbers.
    """
    if value.dtype.kind != "f" or value.dtype.itemsize > 8:
        raise InvalidInput(f"{name} holds {value.dtype}, not floating-point numbers")
    tensor = torch.from_numpy(value.astype(value.dtype.newbyteorder("="), copy=False))
    if value.ndim == 4:
        tensor = tensor.permute(3, 2, 0, 1)
        return (tensor.flip(1) if name == "conv1/DW" else tensor).contiguous()
    return tensor.mT.contiguous() if name.endswith("/kernel") else tensor


def to_tensorflow(name: str, tensor: Tensor) -> np.ndarray:
    """Inverts `from_tensorflow`."""
    if tensor.ndim == 4:
        tensor = (tensor.flip(1) if name == "conv1/DW" else tensor).permute(2, 3, 1, 0)
    return np.ascontiguousarray((tensor.mT if tensor.ndim == 2 and name.endswith("/kernel") else tensor).numpy())


def official_name(key: str, heads: int = 5) -> str | tuple[str, ...]:
    """Returns the official name of one of our keys, several that are stacked, or none for counters of batches.

    >>> official_name("exchange.1.levels.c4.gates.c5.weight")
    'lang_feat_c4_2_f2/DW'
    >>> official_name("image_encoder.net.layer3.1.bn2.running_var")
    'bn4b1_branch2b/variance'

    Raises:
        InvalidInput: if the authors' code has no such layer.
    """
    first, _, rest = key.partition(".")
    layer, _, leaf = rest.rpartition(".")
    match first:
        case "word_encoder" if rest in WORD_ENCODER:
            return WORD_ENCODER[rest]
        case "image_encoder":
            return _trunk(rest.removeprefix("net."))
        case "parser":
            return f"words_parse_{ {'layers.0': 1, 'layers.2': 2}[layer] }/{LEAVES[leaf]}"
        case "levels":
            level, _, place = layer.partition(".")
            if place == "lateral":
                return f"{level}_lateral/{LEAVES[leaf]}"
            if place in LAYERS:
                name = f"{LAYERS[place]}_{level}"
                if place.startswith("perceive."):
                    return tuple(f"{name}_head{head}/{LEAVES[leaf]}" for head in range(1, heads + 1))
                return f"{name}/{(NORM_LEAVES if place.endswith('norm') else LEAVES)[leaf]}"
        case "exchange":
            number, _, level, part, *source = layer.split(".")
            place = f"{TGFE[part]}_{level}" + (f"_{int(number) + 1}" if number != "0" else "")
            if source:
                others = [name for name in LEVELS if name != level]
                return f"{place}_f{others.index(source[0]) + 1}/{LEAVES[leaf]}"
            return f"{place}gv_f1/{LEAVES[leaf]}"
        case "conv_lstm":
            kind, _, part = layer.partition(".")
            if kind == "norms":
                return f"{CONV_LSTM}{NORMS[part]}/{NORM_LEAVES[leaf]}"
            return f"{CONV_LSTM}{'kernel' if layer == 'gates' else f'W_c{leaf}'}"
        case "level_scores":
            return f"score_{layer}/{LEAVES[leaf]}"
        case "score":
            return f"score/{LEAVES[rest]}"
    raise InvalidInput(f"{key} has no name in the authors' layout")


def _trunk(key: str) -> str | tuple[str, ...]:
    if key.endswith("num_batches_tracked"):
        return ()
    layer, _, leaf = key.rpartition(".")
    if m := BOTTLENECK.fullmatch(key):
        stage, block, kind, number, shortcut, leaf = m.groups()
        norm = kind == "bn" or shortcut == "1"
        place = f"{int(stage) + 1}{block_name(int(stage), int(block))}_branch"
        place += "1" if shortcut else f"2{'abc'[int(number) - 1]}"
    else:
        norm, place = layer == "bn1", {"conv1": "conv1", "bn1": "_conv1"}[layer]
    if not norm:
        return f"{'' if place == 'conv1' else 'res'}{place}/DW"
    return f"bn{place}/{(NORM_LEAVES | STATISTICS)[leaf]}"


def block_name(stage: int, block: int) -> str:
    """Returns Caffe's name of a block: a, b, c in the first and last stage, a, b1, b2, ... in the others.

    >>> [block_name(1, 2), block_name(3, 22)]
    ['c', 'b22']
    """
    if stage in (1, 4) or block == 0:
        return "abc"[block]
    return f"b{block}"


def official_names_of(key: str, network: CMPC) -> tuple[str, ...]:
    """Returns the official names of one of our keys as a tuple."""
    names = official_name(key, network.config.heads)
    return (names,) if isinstance(names, str) else names
