"""Ablations of Selector, our own network: no paper has figures of them."""

from refseg.studies.study import Claim, Column, Row, Study

COLUMNS = (
    *(Column(title=f"test {name}", metric=name, split="test") for name in ("oIoU", "mIoU", "N-acc", "T-acc")),
    Column(title="hard mIoU", metric="mIoU", split="hard"),
    Column(title="held_out mIoU", metric="mIoU", split="held_out"),
)
NO_FIGURES = (None,) * len(COLUMNS)

STUDIES = (
    Study(
        name="selector_chooser",
        paper="selector",
        table="ablations of the chooser",
        recipe="selector_chooser",
        columns=COLUMNS,
        notes=(
            "The finder is that of the bundled weights, which learnt together with row 1's network; it is not trained.",
            "The first 200 scenes of each split.",
        ),
        rows=(
            Row(label="1: full", figures=NO_FIGURES),
            Row(
                label="2: words only in their sentence",
                settings=("config.word_match=false", "config.word_dropout=0"),
                figures=NO_FIGURES,
            ),
            Row(label="3: without word dropout", settings=("config.word_dropout=0",), figures=NO_FIGURES),
            Row(label="4: without programs", settings=("config.program_weight=0",), figures=NO_FIGURES),
            Row(label="5: no agreement of attributes", settings=("config.agreement=false",), figures=NO_FIGURES),
            Row(label="6: no features of pairs", settings=("config.relations=objects",), figures=NO_FIGURES),
            Row(label="7: no attention among objects", settings=("config.relations=none",), figures=NO_FIGURES),
        ),
        claims=tuple(
            Claim(above=above, below=(below,), about=about, metric="mIoU")
            for above, below, about in (
                (3, 2, "words matched on their own"),
                (1, 3, "word dropout"),
                (1, 4, "programs as supervision"),
                (1, 5, "agreement of attributes"),
                (1, 6, "features of pairs"),
                (1, 7, "attention among objects"),
            )
        ),
    ),
)
