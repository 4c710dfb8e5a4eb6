"""CMPC's relation-aware reasoning: through the words, as it is here, and with the paper's N x N adjacency written out.

Time of one level without gradients, and the most memory that is taken at once beside weights and inputs.
"""

import argparse
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from refseg.networks.cmpc import TYPES, EncodedExpression, RelationReasoning, l2_normalize
from timing import medians, print_table


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sides", nargs="+", type=int, default=[40, 60])
    arguments.add_argument("--width", type=int, default=1000)
    arguments.add_argument("--words", type=int, default=20)
    arguments.add_argument("--layers", type=int, default=1)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    reason = RelationReasoning(given.width, given.width, given.layers).eval()
    lines = []
    for side in given.sides:
        x = l2_normalize(torch.randn(1, side, side, given.width))
        expression = random_expression(given.words, given.width)
        ways: dict[str, Callable[[], torch.Tensor]] = {
            "words": lambda x=x, expression=expression: reason(x, expression),
            "written out": lambda x=x, expression=expression: written_out(reason, x, expression),
        }
        with torch.no_grad():
            worst = (ways["words"]() - ways["written out"]()).abs().max().item()
            seconds = medians(ways, given.repeats)
            peaks = {name: peak_bytes(way) for name, way in ways.items()}
        for name in ways:
            lines.append(
                [f"{side} x {side}", name, f"{seconds[name]:.3f}", f"{peaks[name] / 2**20:.0f}", f"{worst:.1e}"]
            )
    head = ["pixels", "adjacency", "s", "memory, MiB", "largest difference"]
    print_table(f"relation-aware reasoning, width {given.width}, {given.words} words", head, lines)


def random_expression(words: int, width: int) -> EncodedExpression:
    """One expression of so many words, of random types."""
    spoken = l2_normalize(torch.randn(1, words, width))
    types = dict(zip(TYPES, torch.rand(1, words, len(TYPES)).softmax(-1).unbind(-1), strict=True))
    sentence = spoken[:, 0]
    return EncodedExpression(spoken, torch.ones(1, words, dtype=torch.bool), types, sentence, sentence, sentence)


def written_out(reason: RelationReasoning, x: torch.Tensor, expression: EncodedExpression) -> torch.Tensor:
    """What `RelationReasoning` computes, with the adjacency as a matrix (1, N, N)."""
    vertices = x.flatten(1, 2)
    to_words, to_vertices = reason.edges(vertices, expression, (x.shape[1], x.shape[2]))
    adjacency = to_words @ to_vertices.mT
    for layer in reason.layers:
        vertices = layer(vertices, adjacency @ vertices)
    return l2_normalize(vertices).unflatten(1, x.shape[1:3])


def peak_bytes(run: Callable[[], object]) -> int:
    """The most memory that is taken at once while this runs, beside what was taken before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    changes = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    taken = peak = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        taken += event.nbytes()
        peak = max(peak, taken)
    return peak


if __name__ == "__main__":
    main()
