"""One forward pass of each full-size preset: seconds, peak memory, speed beside what the processor does at best.

Each case runs in a process of its own, with random weights, one image, text features given (the word encoder left out),
so that time and memory are the network's own. Memory is the process's largest resident size, Python and torch included.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from refseg import networks
from refseg.inference.predict import evaluation_mode
from refseg.inspection.peak_memory import peak_memory
from refseg.text.word_pieces import WordPieces
from timing import print_table

PRESETS = ("cmirnet_swin_base", "cmirnet_resnet50", "dmmi_swin_base", "dmmi_resnet101")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--presets", nargs="+", default=PRESETS)
    arguments.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    arguments.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    arguments.add_argument("--size", type=int, default=480)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--case", nargs=3, help=argparse.SUPPRESS)  # in the case's own process
    given = arguments.parse_args()
    if given.case:
        preset, precision, threads = given.case
        print(json.dumps(measure(preset, precision, int(threads), given.size, given.repeats)))
        return
    for threads in given.threads:
        torch.set_num_threads(threads)
        best = [[name, *(f"{speed:.0f}" for speed in speeds)] for name, speeds in processor().items()]
        print_table("What the processor does at best, GFLOP/s", ["", *PRECISIONS], best)
        lines = []
        for preset in given.presets:
            for precision in given.precisions:
                case = [preset, precision, str(threads)]
                command = [sys.executable, __file__, "--size", str(given.size), "--repeats", str(given.repeats)]
                finished = subprocess.run([*command, "--case", *case], check=True, capture_output=True, text=True)
                found = json.loads(finished.stdout)
                speed = 2 * found["macs"] / found["seconds"] / 1e9
                equal = f"{100 * found['equal']:.3f}" if precision != "fp32" else ""
                lines.append(
                    [preset, precision, f"{found['seconds']:.2f}", f"{speed:.0f}", f"{found['mib'] / 1024:.2f}", equal]
                )
        head = ["preset", "precision", "seconds", "GFLOP/s", "peak GiB", "% of mask as fp32"]
        print_table(f"{given.size} x {given.size} pixels, batch 1, median of {given.repeats}", head, lines)


def measure(preset: str, precision: str, threads: int, size: int, repeats: int) -> dict[str, float]:
    """Seconds, peak memory, multiply-adds of a forward pass; share of the mask that is as in float32."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = networks.preset(preset)
    with torch.device("meta"):
        counted = networks.build(preset, config, len(WordPieces()))
    macs = multiply_adds(counted, size)
    with torch.device("meta"):  # the word encoder is never filled
        network = networks.build(preset, config, len(WordPieces()))
    width = network.word_encoder.channels
    network.word_encoder = GivenWords(width, network.word_encoder.sentence_channels)
    fill(network)
    image, words = torch.randn(1, 3, size, size), torch.randn(1, config.max_words, width)
    word_mask = torch.arange(config.max_words)[None] < 11

    def run(dtype: torch.dtype) -> torch.Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            features = network.encode_image(image)
            return network.fuse(features, words, word_mask, torch.zeros(1, dtype=torch.int64)).logits

    with evaluation_mode(network):
        run(PRECISIONS[precision])
        seconds = []
        for _ in range(repeats):
            begin = time.perf_counter()
            logits = run(PRECISIONS[precision])
            seconds.append(time.perf_counter() - begin)
        mib = peak_memory() / 2**20
        equal = 1.0
        if precision != "fp32":
            reference = run(torch.float32)
            middle = reference.median()  # of random weights: their own threshold would call everything one class
            equal = ((logits > middle) == (reference > middle)).float().mean().item()
    return {"seconds": statistics.median(seconds), "mib": mib, "macs": macs, "equal": equal}


class GivenWords(nn.Module):
    """Stands in for a word encoder, without its weights and its work: words are given, and so is the sentence."""

    def __init__(self, channels: int, sentence_channels: int):
        super().__init__()
        self.channels, self.given = channels, torch.randn(1, sentence_channels)

    def sentence(self, words: torch.Tensor, word_mask: torch.Tensor) -> torch.Tensor:
        """Returns the given sentence (M, S) for words (M, L, D)."""
        return self.given.expand(len(words), -1)


def fill(network: nn.Module) -> None:
    """Memory and first weights for a network that was built without."""
    network.to_empty(device="cpu")
    with torch.no_grad():
        for module in network.modules():
            for name, tensor in module.named_parameters(recurse=False):
                if tensor.ndim > 1:
                    tensor.normal_(std=(tensor.numel() / len(tensor)) ** -0.5)
                else:  # no zeros: what is almost nothing is slow to compute with
                    tensor.normal_(mean=1.0 if name == "weight" else 0.0, std=0.02)
            if hasattr(module, "reset_buffers") or hasattr(module, "init_non_persistent_buffers"):
                getattr(module, "reset_buffers", getattr(module, "init_non_persistent_buffers", None))()
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()


def multiply_adds(network: nn.Module, size: int) -> int:
    """Of everything but the word encoder, as torch counts floating-point operations."""
    from torch.utils.flop_counter import FlopCounterMode

    length, width = network.config.max_words, network.word_encoder.channels
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
        features = network.encode_image(torch.empty(1, 3, size, size))
        words, word_mask = torch.empty(1, length, width), torch.ones(1, length, dtype=torch.bool)
        network.fuse(features, words, word_mask, torch.zeros(1, dtype=torch.int64))
    return counter.get_total_flops() // 2


def processor() -> dict[str, list[float]]:
    """GFLOP/s of a large matrix product and of a 3 x 3 convolution, for each precision."""
    speeds: dict[str, list[float]] = {"matrix product, 2048": [], "convolution 3 x 3, 256 channels, 60 x 60": []}
    with torch.inference_mode():
        for dtype in PRECISIONS.values():
            a = torch.randn(2048, 2048, dtype=dtype)
            x, w = torch.randn(1, 256, 60, 60, dtype=dtype), torch.randn(256, 256, 3, 3, dtype=dtype)
            cases: list[tuple[Callable[[], object], int]] = [
                (lambda a=a: a @ a, 2 * 2048**3),
                (lambda x=x, w=w: F.conv2d(x, w, padding=1), 2 * 60 * 60 * 256 * 256 * 9),
            ]
            for name, (run, flops) in zip(speeds, cases, strict=True):
                run()
                begin = time.perf_counter()
                for _ in range(5):
                    run()
                speeds[name].append(5 * flops / (time.perf_counter() - begin) / 1e9)
    return speeds


if __name__ == "__main__":
    main()
