"""Many expressions about one image: asked together, so that the image is encoded once, and one by one.

Networks whose image side does not depend on words; random weights, words of random length, the word encoder included.
Together and one by one are timed in turns, and their probabilities are compared.
"""

import argparse
import time

import torch

from refseg import networks
from refseg.inference.chunks import fuse_in_parts
from refseg.inference.predict import evaluation_mode
from refseg.networks.network import Network
from refseg.text.byte_pairs import BytePairs
from timing import print_table

PRESETS = ("eavl_clip_resnet101", "cris_resnet50", "vlt_darknet53")
SHORTEST = 4


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--presets", nargs="+", default=PRESETS)
    arguments.add_argument("--expressions", nargs="+", type=int, default=[1, 4, 16, 64])
    arguments.add_argument("--size", type=int, default=480)
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    for preset in given.presets:
        torch.manual_seed(0)
        network = networks.build(preset, networks.preset(preset), len(BytePairs()))
        image = torch.randn(1, 3, given.size, given.size)
        lines = []
        with evaluation_mode(network):
            together(network, image, *questions(network, 1))  # not counted
            for count in given.expressions:
                lines.append(measure(network, image, *questions(network, count)))
        head = ["expressions", "together, s", "one by one, s", "times as fast", "largest difference of probabilities"]
        title = f"{preset}, {given.size} x {given.size} pixels, {given.threads} threads"
        print_table(title, head, lines)


def questions(network: Network, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and word mask of so many expressions, as long as the network reads or shorter."""
    length: int = network.config.max_words  # type: ignore[attr-defined]
    lengths = torch.randint(SHORTEST, length + 1, (count, 1))
    word_mask = torch.arange(length) < lengths
    return torch.randint(1, len(BytePairs()), (count, length)) * word_mask, word_mask


def measure(network: Network, image: torch.Tensor, tokens: torch.Tensor, word_mask: torch.Tensor) -> list[str]:
    """A line of the table."""
    begin = time.perf_counter()
    at_once = together(network, image, tokens, word_mask)
    middle = time.perf_counter()
    singly = [together(network, image, *one) for one in zip(tokens.split(1), word_mask.split(1), strict=True)]
    end = time.perf_counter()
    apart = torch.cat(singly)
    worst = (at_once.sigmoid() - apart.sigmoid()).abs().max().item()
    ratio = (end - middle) / (middle - begin)
    return [str(len(tokens)), f"{middle - begin:.2f}", f"{end - middle:.2f}", f"{ratio:.2f}", f"{worst:.1e}"]


def together(network: Network, image: torch.Tensor, tokens: torch.Tensor, word_mask: torch.Tensor) -> torch.Tensor:
    """Logits of all expressions about the image."""
    about = torch.zeros(len(tokens), dtype=torch.int64)
    words = network.encode_words(tokens, word_mask)
    return fuse_in_parts(network, network.encode_image(image), words, word_mask, about, image.shape[-2:]).logits


if __name__ == "__main__":
    main()
