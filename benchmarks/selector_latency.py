"""Latency of Selector itself: an image, a further expression, and 64 expressions together or one call each."""

import argparse
from functools import partial

import torch

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.inference.predict import evaluation_mode
from timing import medians, print_table

MANY = 64


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--weights", default="selector")
    arguments.add_argument("--repeats", type=int, default=7)
    arguments.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    given = arguments.parse_args()
    checkpoint = load_checkpoint(given.weights)
    scenes = DrawnScenes("test", count=4)
    expressions = [expression.text for scene in scenes for expression in scene.expressions][:MANY]
    pixels = checkpoint.preprocessing(scenes[0].image)[0][None]
    asked = partial(ask, checkpoint, pixels)
    for threads in given.threads:
        torch.set_num_threads(threads)
        cases = {
            "the image alone": partial(checkpoint.network.encode_image, pixels),
            "image and 1 expression": partial(asked, expressions[:1]),
            "image and 8 expressions": partial(asked, expressions[:8]),
            f"image and {MANY} expressions, together": partial(asked, expressions),
            f"image and {MANY} expressions, one call each": lambda: [asked([text]) for text in expressions],
        }
        with evaluation_mode(checkpoint.network):
            seconds = medians(cases, given.repeats)
        alone, one, _, together, apart = seconds.values()
        lines = [[name, f"{1000 * value:.1f}", f"{value / alone:.2f}"] for name, value in seconds.items()]
        further = (together - one) / (MANY - 1)
        lines.append(["a further expression", f"{1000 * further:.2f}", f"{further / alone:.3f}"])
        title = f"Selector, {pixels.shape[-2]} x {pixels.shape[-1]} pixels, median of {given.repeats}"
        print_table(title, ["", "ms", "x image alone"], lines)
        print(f"{MANY} expressions together are {apart / together:.1f} times as fast as one call each\n")


def ask(checkpoint: Checkpoint, pixels: torch.Tensor, expressions: list[str]) -> None:
    network = checkpoint.network
    tokens, word_mask = checkpoint.tokenizer(expressions)
    about = torch.zeros(len(expressions), dtype=torch.int64)
    network.fuse(network.encode_image(pixels), network.encode_words(tokens, word_mask), word_mask, about)


if __name__ == "__main__":
    main()
