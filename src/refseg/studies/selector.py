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
        network="selector",
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
    Study(
        name="selector_motion",
        network="selector_video",
        table="ablations of motion",
        recipe="selector_video",
        columns=COLUMNS[:4],
        notes=("The finder is that of the bundled weights for images; it is not trained.",),
        rows=(
            Row(label="1: full", figures=NO_FIGURES[:4]),
            Row(label="2: by places and sizes alone", settings=("config.appearance=0",), figures=NO_FIGURES[:4]),
            Row(
                label="3: neighbouring frames alone",
                settings=("config.frames=3", "data.preprocessing.clip.offsets=[-1,0,1]"),
                figures=NO_FIGURES[:4],
            ),
            Row(label="4: what objects do is not taught", settings=("config.motion_weight=0",), figures=NO_FIGURES[:4]),
        ),
        claims=tuple(
            Claim(above=1, below=(below,), about=about, metric="mIoU")
            for below, about in (
                (2, "how objects are turned"),
                (3, "frames further away"),
                (4, "motions as supervision"),
            )
        ),
    ),
)
