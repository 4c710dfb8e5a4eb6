"""How many objects expressions name alone or together, and how many images have expressions about nothing.

DMMI describes Ref-ZOM so; `refseg data check` compares.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from refseg.counting import counted
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.tools.findings import Finding, make_finding
from refseg.datasets.tools.published_counts import OF_PAPERS, PaperCounts

THINGS = {"one-to-zero": "image"}  # that are counted, where it is not objects


def count_kinds(dataset: IndexedDataset, split: str) -> dict[str, int]:
    """Counts different annotated objects that the expressions of a split name, by how many they name at once.

    Returns:
        "objects" in all; "one-to-one" and "one-to-many" objects, of which some are both; "one-to-zero" images.
    """
    index = dataset.index
    named = np.diff(index["expression_targets"])  # objects of each expression
    inside = np.zeros(len(named), bool)
    inside[dataset.expressions_of(split)] = True

    def objects(expressions: NDArray[np.bool_]) -> int:
        return len(np.unique(index["targets"][np.repeat(expressions, named)]))

    return {
        "objects": objects(inside),
        "one-to-one": objects(inside & (named == 1)),
        "one-to-many": objects(inside & (named > 1)),
        "one-to-zero": len(np.unique(index["expression_image"][inside & (named == 0)])),
    }


def describes_kinds(dataset: IndexedDataset) -> bool:
    """Whether the paper of a data set describes it by the kinds of `count_kinds`."""
    return (dataset.name, dataset.split_by) in OF_PAPERS


def check_kinds(dataset: IndexedDataset) -> Iterator[Finding]:
    """Compares images and objects with those that the data set's paper states; nothing where there are none."""
    known = OF_PAPERS.get((dataset.name, dataset.split_by))
    if known is not None:
        what = f"not as {known.paper} says, which may count otherwise than here"
        advice = "take the file again from its source if it is much less"
        yield make_finding("counts of the paper", list(_differences(dataset, known)), what, advice, "note", examples=9)


def _differences(dataset: IndexedDataset, known: PaperCounts) -> Iterator[str]:
    index = dataset.index
    for split, (images, objects) in known.splits.items():
        have = len(np.unique(index["expression_image"][dataset.expressions_of(split)]))
        if have != images:
            yield f"split {split} has {counted(have, 'image')}, the paper {images:,}"
        if (have := count_kinds(dataset, split)["objects"]) != objects:
            yield f"expressions of split {split} name {counted(have, 'object')}, in the paper {objects:,}"
    found = count_kinds(dataset, "all")
    for kind, number in known.kinds.items():
        if found[kind] != number:
            yield f"{kind}: {counted(found[kind], THINGS.get(kind, 'object'))}, in the paper {number:,}"
