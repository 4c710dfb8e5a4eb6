"""Deterministic weights and inputs for the parity goldens.

The goldens in this folder record what a reference network computes, without
storing its weights.  Every weight and every input is a pure function of a
*name* and a *shape*, defined here.  Anyone who fills their own network with the
same values (through their own name mapping) must get the same outputs.

Contract
--------
1.  Stream.  ``seed = first 8 bytes of sha256(utf-8 name), little endian``.
    Element ``i`` (C order, from 0) of the stream is SplitMix64 at counter
    ``seed + (i + 1) * 0x9E3779B97F4A7C15`` (all arithmetic modulo 2**64), of
    which the upper 24 bits give ``u_i = (z >> 40) / 2**24`` in [0, 1).
    Everything is integer arithmetic plus exact powers of two, so the stream is
    bit-identical on every platform and does not depend on a NumPy version.
2.  Unit noise.  ``n_i = (u_i - 0.5) * SQRT12`` in float64: mean 0, variance 1.
3.  Weights (function ``tensor``), where ``leaf`` is the last dotted part of the
    name.  The first matching rule applies; results are rounded to float32:

    =====================================  ===================================
    leaf / shape                           value
    =====================================  ===================================
    running_mean                           0.1 * n
    running_var                            0.5 + u
    num_batches_tracked                    integer 0
    other integer or boolean tensors       None (structural: keep as built)
    relative_position_bias_table           0.5 * n
    leaf ends in "bias" (any shape)        0.05 * n
    1-d, name ends in "bn3.weight"         0.25 * (1 + 0.1 * n)
    1-d, leaf is "weight"                  1 + 0.1 * n
    1-d, anything else                     n
    4-d                                    sqrt(2 / fan_in) * n
    2-d, 3-d, 5-d                          sqrt(1 / fan_in) * n
    =====================================  ===================================

    ``fan_in`` is the product of all dimensions but the first.  ``bn3`` is the
    last normalisation of a ResNet bottleneck; damping it keeps activations of
    a deep random network in range.  0-d float tensors follow "1-d, anything
    else".  An entry of a JSON file may carry ``scale``: the float64 value is
    multiplied by it before rounding (used to keep softmaxes out of saturation).
4.  Inputs: ``noise`` (unit noise), ``image`` (multi-scale blocky pattern with
    unit variance, so that deep features vary over space), ``tokens`` (word-piece
    ids with [CLS]=101, [SEP]=102, padding 0, and the 0/1 mask), ``labels``
    (blocky integer mask).
5.  Reductions: ``sample`` picks at most ``count`` elements of a flattened
    tensor at indices ``(k * numel) // count``; ``summary`` adds mean and std.

Names are the names in the reference checkpoints with the prefix of the part of
the checkpoint they belong to: ``model.<key>`` or ``bert_model.<key>`` for whole
networks, ``<module>.<key>`` for the single-module goldens.  Names that alias one
tensor share the values of the first of them (``alias_of`` in the JSON files).
Only NumPy is needed.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

SQRT12 = math.sqrt(12.0)
_STEP = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_CHUNK = 1 << 20


def uniform(name: str, shape) -> np.ndarray:
    """Float64 uniform values in [0, 1), exact multiples of 2**-24."""
    shape = tuple(int(s) for s in shape)
    count = math.prod(shape)
    seed = int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "little")
    out = np.empty(count, dtype=np.float64)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        base = np.uint64((seed + (start + 1) * _STEP) & _MASK)
        z = base + np.arange(stop - start, dtype=np.uint64) * np.uint64(_STEP)
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        out[start:stop] = (z >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return out.reshape(shape)


def noise(name: str, shape) -> np.ndarray:
    """Float64 unit-variance noise."""
    return (uniform(name, shape) - 0.5) * SQRT12


def tensor(name: str, shape, dtype: str = "float32", scale: float = 1.0):
    """Weight or buffer called ``name``; None means "keep what the module built"."""
    shape = tuple(int(s) for s in shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, dtype=np.int64)
    if not dtype.startswith("float"):
        return None
    if leaf == "running_mean":
        value = 0.1 * noise(name, shape)
    elif leaf == "running_var":
        value = 0.5 + uniform(name, shape)
    elif leaf == "relative_position_bias_table":
        value = 0.5 * noise(name, shape)
    elif leaf.endswith("bias"):
        value = 0.05 * noise(name, shape)
    elif len(shape) <= 1:
        if leaf == "weight":
            value = 1.0 + 0.1 * noise(name, shape)
            if name.endswith("bn3.weight"):
                value = 0.25 * value
        else:
            value = noise(name, shape)
    else:
        gain = 2.0 if len(shape) == 4 else 1.0
        value = math.sqrt(gain / math.prod(shape[1:])) * noise(name, shape)
    return np.asarray(scale * value).astype(np.float32)


def _blocks(name: str, lead, height: int, width: int, grid: int) -> np.ndarray:
    coarse = noise(name, (*lead, grid, grid))
    rows = np.arange(height) * grid // height
    cols = np.arange(width) * grid // width
    return coarse[..., rows, :][..., cols]


def image(name: str, batch: int, height: int, width: int) -> np.ndarray:
    """(batch, 3, height, width) float32: average of 4, 15, 60-cell grids and pixel noise."""
    lead = (batch, 3)
    total = _blocks(name + "/4", lead, height, width, 4)
    total = total + _blocks(name + "/15", lead, height, width, 15)
    total = total + _blocks(name + "/60", lead, height, width, 60)
    total = total + noise(name + "/px", (*lead, height, width))
    return (0.5 * total).astype(np.float32)


def tokens(name: str, lengths, max_tokens: int = 20):
    """Word-piece ids and mask, both (len(lengths), max_tokens) int64.

    Row b is 101, lengths[b] - 2 ids from [1000, 30522), 102, then zeros.
    """
    lengths = [int(n) for n in lengths]
    u = uniform(name, (len(lengths), max_tokens))
    ids = 1000 + np.floor(u * (30522 - 1000)).astype(np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
        ids[row, 0] = 101
        ids[row, length - 1] = 102
    return ids * mask, mask


def labels(name: str, batch: int, height: int, width: int) -> np.ndarray:
    """(batch, height, width) int64 mask of 0 and 1 on a 6-cell grid."""
    return (_blocks(name, (batch,), height, width, 6) > 0).astype(np.int64)


def sample(values, count: int = 4096) -> np.ndarray:
    """At most ``count`` elements of ``values`` in C order, evenly spread."""
    flat = np.asarray(values).reshape(-1)
    if flat.size <= count:
        return flat.copy()
    index = (np.arange(count, dtype=np.int64) * flat.size) // count
    return flat[index]


def summary(values) -> np.ndarray:
    """[mean, standard deviation] in float64."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    return np.array([flat.mean(), flat.std()])


def fill(entries, prefix: str = ""):
    """Values for JSON ``entries`` (name, shape, dtype, scale, alias_of), as {name: array}.

    Structural entries (None) are left out.
    """
    values = {}
    for entry in entries:
        if entry.get("alias_of"):
            values[entry["name"]] = values[entry["alias_of"]]
            continue
        value = tensor(prefix + entry["name"], entry["shape"], entry["dtype"], entry.get("scale", 1.0))
        if value is not None:
            values[entry["name"]] = value
    return values
