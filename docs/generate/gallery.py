"""Draws the gallery: docs/gallery.md and its pictures, from the bundled weights and those that are named.

    python docs/generate/gallery.py lavt=runs/lavt_small/weights cmirnet=runs/cmirnet_small/weights

Attention of the networks that are named is drawn anew; pictures of others stay as they are.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot
from PIL import Image

import refseg
from networks import NAMES, title
from refseg.evaluation.rows import Row, read_rows
from refseg.inspection.attention import explain, explain_frame, figure
from refseg.inspection.reading import reading_picture
from refseg.masks.pictures import Line, captioned

PLACE = Path(__file__).parent.parent / "gallery"
WIDTH = 1000  # of a picture, in pixels
SENTENCE = "the purple pentagon above the red square"
CLIP_SENTENCE = "the white disk that moves down"
SECTIONS = (
    (
        "What a network attends to",
        "attention_",
        "`refseg explain`, the same scene and sentence for each network (CMPC for videos: a clip); small presets.",
    ),
    ("How a sentence is read", "reading", "The reader's program, and what each step scored for each candidate."),
    (
        "Kinds of error",
        "error_",
        "An answer of the bundled network of each kind, of those to split hard; nearly all are right.",
    ),
    ("Types of expressions", "type_", "Drawn scenes; all but what the sentence means is darkened."),
)
TYPES = ("attribute", "location", "relation", "ordinal", "plural", "negation")


def keep(name: str, picture: Image.Image) -> None:
    """Writes a picture of the gallery."""
    picture = picture.convert("RGB")
    picture.thumbnail((WIDTH, 4 * WIDTH))
    PLACE.mkdir(exist_ok=True)
    picture.save(PLACE / f"{name}.jpg", quality=82)
    print(f"docs/gallery/{name}.jpg", flush=True)


def attention(name: str, weights: str) -> None:
    """Draws what a network attends to."""
    segmenter = refseg.load(weights)
    if segmenter.network.frames > 1:
        clip = refseg.load_dataset("drawn_clips", split="test")[8]
        explanation = explain_frame(segmenter, [clip.frame(t) for t in range(len(clip))], CLIP_SENTENCE)
    else:
        explanation = explain(segmenter, refseg.load_dataset("drawn_scenes", split="test")[0].image, SENTENCE)
    drawn = figure(explanation)
    with tempfile.TemporaryDirectory() as folder:
        drawn.savefig(f"{folder}/it.png", dpi=100)
        keep(f"attention_{name}", Image.open(f"{folder}/it.png"))
    pyplot.close(drawn)


def reading() -> None:
    """Draws the steps of the reader."""
    scene = refseg.load_dataset("drawn_scenes", split="test")[0]
    keep("reading", reading_picture(refseg.load("reader", finder="selector")(scene.image, SENTENCE)))


def errors() -> None:
    """Draws an answer of each kind of error on hard scenes."""
    scenes = refseg.load_dataset("drawn_scenes", split="hard")
    with tempfile.TemporaryDirectory() as folder:
        refseg.evaluate("selector", "drawn_scenes", split="hard", out=f"{folder}/hard")
        rows = read_rows(Path(folder) / "hard")
    first = {row.error: row for row in reversed(rows)}
    for old in PLACE.glob("error_*.jpg"):  # of kinds that may not occur any more
        old.unlink()
    segmenter = refseg.load()

    def picture(row: Row) -> Image.Image:
        return segmenter(scenes[int(row.image_id.rpartition("-")[2])].image, row.expression).picture()

    for kind, row in sorted(first.items()):
        keep(f"error_{kind.replace(' ', '_')}", picture(row))


def types() -> None:
    """Draws a sentence of each type, with all but its referents darkened."""
    scenes = refseg.load_dataset("drawn_scenes", split="val", count=2 + len(TYPES))
    for number, kind in enumerate(TYPES, start=2):
        sample = scenes[number]
        index = next(i for i, one in enumerate(sample.expressions) if one.type == kind and one.targets)
        pixels = np.where(sample.mask(index)[..., None], sample.image, sample.image // 4)
        large = Image.fromarray(pixels.repeat(3, 0).repeat(3, 1))
        keep(f"type_{kind}", captioned(large, [Line(sample.expressions[index].text)]))


def page() -> str:
    """Returns the page, with the pictures that are there."""
    parts = ["# Gallery\n", "Made by `python docs/generate/gallery.py` from answers of this project's own weights.\n"]
    for heading, pattern, about in SECTIONS:
        parts.append(f"## {heading}\n\n{about}\n")
        for file in sorted(PLACE.glob(f"{pattern}*.jpg")):
            said = file.stem.removeprefix(pattern).replace("_", " ").strip()
            name = title(file.stem.removeprefix(pattern)) if pattern == "attention_" else said
            parts.append(
                f"{f'**{name}**' if name else ''}\n\n![{heading}: {name or 'an answer'}](gallery/{file.name})\n"
            )
    return "\n".join(parts)


def main() -> None:
    """Draws all pictures, then the page."""
    given = dict(one.split("=", 1) for one in sys.argv[1:])
    if wrong := [name for name in given if name not in NAMES]:
        sys.exit(f"{wrong[0]} is no network; give NAME=WEIGHTS with a name of {', '.join(NAMES)}")
    known = {"selector": "selector", "selector_video": "selector_video", "cmpc_video": "releases/cmpc_video_small"}
    for name, weights in (known | given).items():
        attention(name, weights)
    reading()
    errors()
    types()
    (PLACE.parent / "gallery.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
