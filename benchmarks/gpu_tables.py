"""The tables of `gpu.py` as Markdown, from the figures of its pieces; what was not run says so."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from timing import markdown

NOT_RUN = "not run"
BATCHES, PRECISIONS = (1, 16, 32), ("fp32", "bf16")
Figures = Mapping[str, Any]


def tables(found: Mapping[str, Figures], pieces: Sequence[tuple[str, str, tuple[str, str]]]) -> str:
    """Returns all tables.

    Args:
        found: figures by piece.
        pieces: name, function, and the names of what is measured, full-size and tiny, of each piece.
    """
    rates = found["rates"]
    tiny = any(figures.get("tiny") for figures in found.values())

    def of(function: str) -> list[tuple[str, Figures]]:
        return [(about[tiny], found[name]) for name, kind, about in pieces if kind == function]

    sizes = sorted(
        {int(case.split()[1]) for _, one in of("forward") for case in one["cases"] if case[:4] in PRECISIONS}
    )
    batches = sizes or BATCHES
    parts = [
        f"{rates.get('hardware', NOT_RUN)}{', tiny sizes: these figures say nothing' if tiny else ''}\n",
        "### Rates of one large operation, TFLOP/s\n",
        markdown(["", *PRECISIONS], rows_of_rates(rates)),
        "### Float32 against the goldens\n",
        markdown(["golden", "worst error", "pixels of the mask that differ"], rows_of_parity(found["parity"])),
        "### Forward passes: image and expression a pair, words included\n",
        markdown(
            [
                "network",
                "precision",
                "G multiply-adds",
                *(f"pairs/s, batch {size}" for size in batches),
                f"peak GiB, {batches[-1]}",
                f"% of matrix rate, {batches[-1]}",
            ],
            rows_of_forward(of("forward"), rates, batches),
        ),
        "### Compiled (`torch.compile`), bf16 unless it says fp32\n",
        markdown(["network", "case", "pairs/s", "times as fast", "s to compile"], rows_of_compiled(of, batches)),
        "### Many expressions about one image, bf16: ms together, and times as fast as one by one\n",
        markdown(["network", "expressions", "in parts", "all at once", "times as fast"], rows_of_expressions(of)),
        "### A step of training, bf16\n",
        markdown(
            ["recipe", "images", "loop, images/s", "plain, images/s", "compiled, images/s", "peak GiB", "s to compile"],
            rows_of_steps(of),
        ),
        "### Trainings\n",
        markdown(["", "state", "seconds", "so far"], rows_of_trainings(found)),
        "### Pieces\n",
        markdown(["piece", "state", "seconds", "error"], rows_of_pieces(found)),
    ]
    return "\n".join(parts)


def cell(figures: Figures | None, value: Callable[[Figures], str]) -> str:
    """Returns a figure, the error in its place, or that it was not run."""
    if figures is None:
        return NOT_RUN
    return str(figures["error"]).partition("\n")[0][:60] if "error" in figures else value(figures)


def rows_of_rates(rates: Figures) -> Iterable[list[str]]:
    cases = rates.get("cases", {})
    for kind in ("matrix product", "convolution"):
        yield [kind, *(cell(cases.get(f"{p} {kind}"), lambda f: f"{f['tflops']:.3g}") for p in PRECISIONS)]


def rows_of_parity(parity: Figures) -> Iterable[list[str]]:
    for name, case in parity.get("cases", {}).items() or [(NOT_RUN, None)]:
        pixels = cell(case, lambda f: f"{f['different']} of {f['pixels']}" if "pixels" in f else "")
        yield [f"`{name}`", cell(case, lambda f: f"{f['worst']:.1e} (allowed {f['allowed']:.0e})"), pixels]


def rows_of_forward(
    networks: Iterable[tuple[str, Figures]], rates: Figures, batches: Sequence[int]
) -> Iterable[list[str]]:
    for name, figures in networks:
        for precision in PRECISIONS:
            cases = [figures["cases"].get(f"{precision} {size}") for size in batches]
            rate = rates.get("cases", {}).get(f"{precision} matrix product", {}).get("tflops")
            flop = figures["cases"].get("count", {}).get("flop")

            def share(f: Figures, rate: float | None = rate, flop: float | None = flop) -> str:
                if not rate or not flop:
                    return NOT_RUN
                return f"{100 * flop * f['batch'] / f['seconds'] / 1e12 / rate:.0f}"

            yield [
                f"`{name}`",
                precision,
                f"{flop / 2e9:.0f}" if flop else NOT_RUN,
                *(cell(case, lambda f: f"{f['batch'] / f['seconds']:.3g}") for case in cases),
                cell(cases[-1], gibibytes),
                cell(cases[-1], share),
            ]


def rows_of_compiled(of: Callable[[str], list[tuple[str, Figures]]], batches: Sequence[int]) -> Iterable[list[str]]:
    eager = {name: figures["cases"] for name, figures in of("forward")}
    for name, figures in of("compiled"):
        for case, found in figures["cases"].items() or [(f"bf16 {batches[-1]}", None)]:
            before = eager.get(name, {}).get(case, {}).get("seconds")
            yield [
                f"`{name}`",
                case,
                cell(found, lambda f: f"{f['batch'] / f['seconds']:.3g}"),
                cell(found, lambda f, before=before: f"{before / f['seconds']:.2f}" if before else NOT_RUN),
                cell(found, lambda f: f"{f['first_seconds']:.0f}"),
            ]


def rows_of_expressions(of: Callable[[str], list[tuple[str, Figures]]]) -> Iterable[list[str]]:
    for name, figures in of("forward"):
        cases = figures["cases"]
        alone = cases.get("expressions 1", {}).get("seconds")
        counts = [case.split()[1] for case in cases if case.startswith("expressions ")]
        for count in counts or [NOT_RUN]:
            together, at_once = cases.get(f"expressions {count}"), cases.get(f"at once {count}")
            times = cell(
                together, lambda f, n=count, one=alone: f"{int(n) * one / f['seconds']:.1f}" if one else NOT_RUN
            )
            yield [f"`{name}`", count, cell(together, milliseconds), cell(at_once, milliseconds), times]


def rows_of_steps(of: Callable[[str], list[tuple[str, Figures]]]) -> Iterable[list[str]]:
    compiled = {name: figures["cases"] for name, figures in of("step_compiled")}
    for name, figures in of("step"):
        sizes = {case.split()[1]: None for case in [*figures["cases"], *compiled.get(name, {})]}
        for size in sizes or [NOT_RUN]:
            ours, plain = (figures["cases"].get(f"{kind} {size}") for kind in ("loop", "plain"))
            fast = compiled.get(name, {}).get(f"compiled {size}")
            each = [cell(f, lambda f: f"{f['batch'] / f['seconds']:.3g}") for f in (ours, plain, fast)]
            compiling = cell(fast, lambda f: f"{f['first_seconds']:.0f}")
            yield [f"`{name}`", size, *each, cell(ours, gibibytes), compiling]


def rows_of_trainings(found: Mapping[str, Figures]) -> Iterable[list[str]]:
    for name in ("study", "train"):
        one = found[name]
        yield [name, one.get("state", NOT_RUN), str(one.get("seconds", "")), str(one.get("so_far", ""))]


def rows_of_pieces(found: Mapping[str, Figures]) -> Iterable[list[str]]:
    for name, one in found.items():
        yield [name, one.get("state", NOT_RUN), str(one.get("seconds", "")), str(one.get("error", ""))[:100]]


def gibibytes(figures: Figures) -> str:
    """Returns the peak memory of the device; none is known of a CPU."""
    return f"{figures['peak_gib']:.1f}" if figures.get("peak_gib") else ""


def milliseconds(figures: Figures) -> str:
    return f"{1000 * figures['seconds']:.3g}"
