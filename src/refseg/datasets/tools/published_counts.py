"""Published sizes of splits, for `refseg data check`.

Counted in the files themselves, or stated by a loader's own documentation or code; what only papers state is apart.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Count(NamedTuple):
    """Size of a split; None where it is not certain.

    Attributes:
        images: with at least one expression.
        refs: regions, or groups of them, that one or more expressions name; papers say "objects".
        expressions: all sentences.
    """

    images: int | None = None
    refs: int | None = None
    expressions: int | None = None


PUBLISHED: dict[tuple[str, str], dict[str, Count]] = {  # (data set, split_by or "") -> split -> its size
    ("refcoco", "unc"): {
        "train": Count(16_994, 42_404, 120_624),
        "val": Count(1_500, 3_811, 10_834),
        "testA": Count(750, 1_975, 5_657),
        "testB": Count(750, 1_810, 5_095),
    },
    ("refcoco", "google"): {
        "train": Count(19_213, 40_000),
        "val": Count(4_559, 5_000),
        "test": Count(4_527, 5_000),
    },
    ("refcoco+", "unc"): {
        "train": Count(16_992, 42_278, 120_191),
        "val": Count(1_500, 3_805, 10_758),
        "testA": Count(750, 1_975, 5_726),
        "testB": Count(750, 1_798, 4_889),
    },
    ("refcocog", "umd"): {
        "train": Count(21_899, 42_226, 80_512),
        "val": Count(1_300, 2_573, 4_896),
        "test": Count(2_600, 5_023, 9_602),
    },
    ("refcocog", "google"): {"train": Count(24_698, 44_822), "val": Count(4_650, 5_000)},
    ("refclef", "berkeley"): {"train": Count(), "val": Count(), "test": Count()},
    ("refclef", "unc"): {
        "train": Count(),
        "val": Count(2_000),
        "testA": Count(485),
        "testB": Count(490),
        "testC": Count(465),
    },
    ("referit", ""): {"trainval": Count(9_995, 49_515, 59_976), "test": Count(9_994, 49_730, 60_105)},
    ("grefcoco", "unc"): {"train": Count(), "val": Count(), "testA": Count(), "testB": Count()},
    ("refzom", "final"): {"train": Count(), "test": Count()},
    ("phrasecut", ""): {
        "train": Count(71_746, None, 310_816),
        "val": Count(2_971, None, 20_316),
        "test": Count(2_545, None, 14_354),
        "miniv": Count(100, None, 821),
    },
    ("refcoco_m", ""): {"val": Count(1_190, 2_080, 5_598)},
    ("arefcoco", ""): {"train": Count(18_496, 41_417, 110_818), "test": Count(2_213, 4_112, 7_050)},
    ("reasonseg", ""): {"train": Count(239), "val": Count(200), "test": Count(779)},
}


class PaperCounts(NamedTuple):
    """Sizes of a data set that its paper states, by `kinds.count_kinds`.

    Attributes:
        paper: which states them.
        splits: number of images and of annotated objects by split.
        kinds: number by kind, of all splits together.
    """

    paper: str
    splits: Mapping[str, tuple[int, int]]
    kinds: Mapping[str, int]


OF_PAPERS = {  # (data set, split_by or "") -> what its paper states
    ("refzom", "final"): PaperCounts(
        paper="DMMI (ICCV 2023)",
        splits={"train": (43_749, 58_356), "test": (11_329, 16_586)},
        kinds={"objects": 74_942, "one-to-one": 42_421, "one-to-many": 41_842, "one-to-zero": 11_937},
    ),
}
ALWAYS_REFER = frozenset(
    {"refcoco", "refcoco+", "refcocog", "refclef", "referit", "phrasecut", "visual_genome", "a2d_sentences"}
    | {"jhmdb_sentences", "ref_davis", "refcoco_m", "arefcoco", "reasonseg", "ref_l4", "long_rvos"}
)
"""Sets whose expressions all refer to something."""
SOME_REFER_TO_NOTHING = frozenset(
    {"grefcoco", "refzom", "rrefcoco", "rrefcoco+", "rrefcocog", "fprefcoco", "fprefcoco+", "fprefcocog"}
)
"""Sets that are made to have expressions that refer to nothing, too."""
SHARE_IMAGES = frozenset({("refcoco", "google"), ("refcocog", "google")})
"""Sets that divide refs among their splits, not images."""
