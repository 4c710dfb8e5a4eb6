"""The reader on photographs that its finder has not seen: right boxes, time, and a data set for `refseg evaluate`.

python benchmarks/photograph_reader.py --realset DIR --write SENTENCES
refseg evaluate reader jsonl --root SENTENCES --images DIR/images --split one

DIR holds COCO photographs with sentences: `instances.json` and `refs(real).json`, whose fields are those of RefCOCO.
Sentences from templates are about the photographs of val2017 alone (split "one"), those of people about all ("human").
--sheet out/sentences.jpg draws twenty sentences of people: how each was read, the mask, and the true box.
"""

import argparse
import json
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from refseg.compositions.found import FoundImage
from refseg.finders import load_finder
from refseg.inference.segmenter import Segmenter, load
from refseg.masks.pictures import Line, captioned
from refseg.preprocessing.images import read_image
from refseg.readers.execute import execute
from refseg.readers.parse import read

ASKED = (
    *("the man", "the left person", "the person on the right", "people", "the largest person", "the chair", "the dog"),
    *("the second person from the left", "the window", "the person in red", "the smallest person", "the cup"),
    *("the person in the middle", "the bottle on the right", "two people", "the person next to the chair"),
    *("the tallest person", "the person at the bottom", "the person in the top left corner", "everyone"),
)
ROUNDS = 10
DRAWN, ACROSS, TILE = 20, 5, 360  # sentences of the sheet, pictures in a row, pixels of their width


def sentences(realset: Path) -> list[dict[str, Any]]:
    """Returns the lines of a `jsonl` data set."""
    instances = json.loads((realset / "instances.json").read_text())
    images = {image["id"]: image for image in instances["images"]}
    things = {thing["id"]: thing for thing in instances["annotations"]}
    rows = []
    for ref in json.loads((realset / "refs(real).json").read_text()):
        image, thing = images[ref["image_id"]], things[ref["ann_id"]]
        split = "human" if ref["origin"] == "human" else "one"
        if split == "one" and "val2017" not in image["coco_url"]:
            continue
        x, y, width, height = thing["bbox"]
        same = {"image": image["file_name"], "mask": thing["segmentation"], "boxes": [[x, y, x + width, y + height]]}
        rows += [{**same, "expression": one["raw"], "split": split, "id": one["sent_id"]} for one in ref["sentences"]]
    return rows


def right_boxes(rows: list[dict[str, Any]], images: Path) -> dict[str, float]:
    """Returns by split the share of sentences with one answer, of an IoU of 0.5 or more with the true box."""
    finder, found, right = load_finder("coco80"), dict[str, FoundImage](), dict[str, list[bool]]()
    for row in rows:
        if row["image"] not in found:
            found[row["image"]] = FoundImage(finder, read_image(images / row["image"]))
        objects = found[row["image"]].objects
        chosen = execute(read(row["expression"]), objects).chosen
        boxes = [objects.objects[k].box_xyxy for k in chosen]
        right.setdefault(row["split"], []).append(len(boxes) == 1 and iou(boxes[0], row["boxes"][0]) >= 0.5)
    return {split: float(np.mean(values)) for split, values in right.items()}


def iou(a: Any, b: Any) -> float:
    """Returns the IoU of two boxes."""
    across, down = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return across * down / (areas - across * down)


def twenty_to_one(segmenter: Segmenter, image: Path) -> tuple[float, float]:
    """Returns processor seconds of one and of twenty sentences about a photograph, medians."""
    pixels, seconds = read_image(image), list[tuple[float, float]]()
    for _ in range(ROUNDS):
        begin = process_time()
        segmenter(pixels, ASKED[:1])
        middle = process_time()
        segmenter(pixels, ASKED)
        seconds.append((middle - begin, process_time() - middle))
    one, twenty = np.median(seconds, axis=0)
    return float(one), float(twenty)


def draw_sheet(segmenter: Segmenter, rows: list[dict[str, Any]], images: Path, file: Path) -> None:
    """Draws sentences with their answers: a mask and its box, green if right and red if not; the true box in white."""
    tiles = []
    for row in rows:
        result = segmenter(read_image(images / row["image"]), row["expression"])
        assert result.reading is not None
        boxes, true = [result.reading.found.objects[k].box_xyxy for k in result.reading.answer.chosen], row["boxes"][0]
        right = len(boxes) == 1 and iou(boxes[0], true) >= 0.5
        colour = (20, 140, 60) if right else (190, 20, 40)
        picture = result.overlay(colours=[colour])
        draw, width = ImageDraw.Draw(picture), max(2, picture.width // 160)
        for box in boxes:
            draw.rectangle(box, outline=colour, width=width)
        draw.rectangle(true, outline=(255, 255, 255), width=max(1, width // 2))
        picture = picture.resize((TILE, round(TILE * picture.height / picture.width)))
        lines = [Line(f"“{row['expression']}”"), Line(f"read as: {result.reading.program}")]
        lines.append(Line(f"{'right' if right else 'wrong'}: {result.verdict}", colour))
        tiles.append(captioned(picture, lines))
        print("right" if right else "wrong", row["image"], row["expression"], "->", result.reading.program, sep=" | ")
    columns = [tiles[k::ACROSS] for k in range(ACROSS)]
    tallest = max(sum(tile.height for tile in column) for column in columns)
    sheet = Image.new("RGB", (ACROSS * TILE, tallest), (255, 255, 255))
    for k, column in enumerate(columns):
        y = 0
        for tile in column:
            sheet.paste(tile, (k * TILE, y))
            y += tile.height
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file, quality=88)
    print(f"{file}: {sheet.width} x {sheet.height} pixels")


def main() -> None:
    """Prints all figures."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--realset", type=Path, required=True)
    arguments.add_argument("--write", type=Path)
    arguments.add_argument("--sheet", type=Path, help="a picture to draw, and nothing is measured")
    given = arguments.parse_args()
    rows, images = sentences(given.realset), given.realset / "images"
    if given.sheet:
        human = [row for row in rows if row["split"] == "human"]
        draw_sheet(load("reader"), human[:: max(1, len(human) // DRAWN)][:DRAWN], images, given.sheet)
        return
    if given.write:
        given.write.mkdir(parents=True, exist_ok=True)
        (given.write / "sentences.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, share in right_boxes(rows, images).items():
        print(f"{split}: right box {share:.2%} of {sum(row['split'] == split for row in rows)}")
    busiest = max((row["image"] for row in rows if row["split"] == "human"), key=[row["image"] for row in rows].count)
    one, twenty = twenty_to_one(load("reader"), images / busiest)
    print(f"{busiest}: one sentence {one:.3f} s, twenty {twenty:.3f} s, ratio {twenty / one:.2f}")


if __name__ == "__main__":
    main()
