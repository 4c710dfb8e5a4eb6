"""The reader on true objects: RefCOCO's texts, photographs' annotations, drawn scenes.

python benchmarks/reader.py --realset DIR --split val --json      RefCOCO's texts; candidates are the referred boxes of
                                                                  the same image, without classes, pixels or image size
python benchmarks/reader.py --realset DIR --set annotations       photographs: all annotated objects with class, mask
                                                                  and colours; templates one/many/zero, human sentences
python benchmarks/reader.py --set drawn_scenes --tier hard        drawn scenes: all objects with their attributes
"""

import argparse
import gzip
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image
from pycocotools import mask as coco_masks

from refseg.datasets.drawn_scenes.dataset import COLOURS, MATERIALS, SHAPES, SIZES, DrawnScenes, Scene
from refseg.readers.colours import object_colours
from refseg.readers.execute import Answer, execute
from refseg.readers.objects import FoundObject, FoundObjects
from refseg.readers.parse import read
from refseg.readers.program import Query

Judged = tuple[str, str, bool, Answer]
"""Kind, sentence, whether it is right, answer."""


def refcoco(realset: Path, split: str, dataset: str = "refcoco") -> Iterator[Judged]:
    """Reads each sentence and compares the most probable box; images with one candidate are left out."""
    with gzip.open(realset / "text" / "refcoco_eval_expressions.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if (row["dataset"], row["split"]) == (dataset, split)]
    boxes: dict[int, dict[int, list[float]]] = defaultdict(dict)
    for row in rows:
        boxes[row["image_id"]][row["ann_id"]] = row["bbox"]
    scenes = {image: bare_boxes(list(of_image.values())) for image, of_image in boxes.items() if len(of_image) > 1}
    for row in rows:
        if row["image_id"] in scenes:
            answer = execute(read(row["sent"]), scenes[row["image_id"]])
            right = answer.best is not None and list(boxes[row["image_id"]])[answer.best] == row["ann_id"]
            yield kind_of(answer.query), row["sent"], right, answer


def bare_boxes(boxes: list[list[float]]) -> FoundObjects:
    """Returns objects without classes; COCO's usual sizes stand in for the image's, which the file does not have."""
    corners = [(x, y, x + w, y + h) for x, y, w, h in boxes]
    rightmost, lowest = max(box[2] for box in corners), max(box[3] for box in corners)
    size_hw = 640 if lowest > 480 else 480, 640 if rightmost > 480 or lowest <= 480 else 480
    return FoundObjects(tuple(FoundObject(box_xyxy=box) for box in corners), size_hw)


def kind_of(query: Query) -> str:
    """Returns the kind of sentence under which its mistakes are counted."""
    if query.orders:
        return "order"
    if query.exclusions:
        return "exclusion"
    if query.relations:
        return "relation: " + (query.relations[0].verb and "holding, riding" or query.relations[0].kind)
    if query.places:
        sides = {side for place in query.places for side in place.sides}
        return "place: " + ("several" if len(sides) > 1 else next(iter(sides), "clock"))
    if query.superlatives or query.sizes:
        return "size, nearness"
    if query.noun is None or not query.noun.classes:
        return "noun outside of the lists"
    who = "person" if query.noun.classes == ("person",) else "thing"
    return f"{who}: " + ("colour" if query.colours else "look, clothes, action" if query.others else "bare noun")


def annotations(realset: Path, split: str) -> Iterator[Judged]:
    """Photographs: the right set for templates, the right object for human sentences; all annotated objects given."""
    instances = json.loads((realset / "instances.json").read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in instances["categories"]}
    images = {image["id"]: image for image in instances["images"]}
    of_image = defaultdict(list)
    for entry in instances["annotations"]:
        if not entry["iscrowd"]:
            of_image[entry["image_id"]].append(entry)
    references = json.loads((realset / "grefs(real).json").read_text(encoding="utf-8"))
    wanted = [reference for reference in references if reference["split"] == split]
    for image_id in dict.fromkeys(reference["image_id"] for reference in wanted):
        photograph = images[image_id]
        with Image.open(realset / "images" / photograph["file_name"]) as file:
            pixels = np.asarray(file.convert("RGB"))
        entries = of_image[image_id]
        found = FoundObjects(
            tuple(annotated(entry, names[entry["category_id"]], pixels) for entry in entries),
            pixels.shape[:2],
            frozenset(names.values()),
        )
        for reference in wanted:
            if reference["image_id"] != image_id:
                continue
            true = {number for number in reference["ann_id"] if number >= 0}
            for sentence in reference["sentences"]:
                answer = execute(read(sentence["sent"]), found)
                chosen = {entries[k]["id"] for k in answer.chosen}
                if reference["origin"] == "human":
                    best = {entries[answer.best]["id"]} if answer.best is not None else set()
                    yield "human", sentence["sent"], best == true, answer
                else:
                    yield f"template, {reference['kind']}", sentence["sent"], chosen == true, answer


def annotated(entry: dict, name: str, pixels: np.ndarray) -> FoundObject:
    """Returns an annotated object with its class, mask and colours."""
    x, y, w, h = entry["bbox"]
    box = x, y, x + w, y + h
    height, width = pixels.shape[:2]
    mask = coco_masks.decode(coco_masks.frPyObjects(entry["segmentation"], height, width)).any(-1)
    return FoundObject(box_xyxy=box, mask=mask, classes={name: 1.0}, colours=object_colours(pixels, box, mask))


def drawn_scenes(tier: str, scenes: int, split: str) -> Iterator[Judged]:
    """Drawn scenes: the right set, for each type of expression."""
    for scene in DrawnScenes(split, count=scenes, tier=tier):
        found = drawn_objects(scene)
        for expression in scene.expressions:
            answer = execute(read(expression.text), found)
            right = tuple(k + 1 for k in answer.chosen) == tuple(expression.targets)
            yield expression.type if expression.targets else "no target", expression.text, right, answer


def drawn_objects(scene: Scene) -> FoundObjects:
    """Returns the true objects of a drawn scene, with all their attributes."""
    objects = []
    for k, thing in enumerate(scene.layout.objects):
        mask = scene.id_map == k + 1
        rows, columns = mask.nonzero()
        shape, *values = thing.attributes
        words = {
            name: float(name == names[value])
            for names, value in zip((COLOURS, SIZES, MATERIALS), values, strict=True)
            for name in names
        }
        objects.append(
            FoundObject(
                box_xyxy=(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1),
                mask=mask,
                classes={SHAPES[shape]: 1.0},
                words=words,
                layer=k,
                centre_xy=(thing.x + 0.5, thing.y + 0.5),
                size=thing.radius,
            )
        )
    return FoundObjects(tuple(objects), scene.id_map.shape, frozenset(SHAPES))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--realset", type=Path, help="folder with text/ and, for --set annotations, photographs")
    arguments.add_argument("--set", default="refcoco", choices=("refcoco", "annotations", "drawn_scenes"))
    arguments.add_argument("--split", help="val, testA, testB of refcoco; train, val, test of the others")
    arguments.add_argument("--tier", default="base", help="of drawn scenes: easy, base, hard")
    arguments.add_argument("--scenes", type=int, default=200, help="number of drawn scenes")
    arguments.add_argument("--json", action="store_true", help="print only the last line")
    arguments.add_argument("--wrong", type=int, default=0, help="print so many wrong sentences with their readings")
    arguments.add_argument("--only", default="", help="count only kinds that begin so")
    given = arguments.parse_args()
    if given.set != "drawn_scenes" and given.realset is None:
        arguments.error("--realset DIR is missing: the folder with text/refcoco_eval_expressions.jsonl.gz")
    if given.set == "refcoco":
        judged = list(refcoco(given.realset, given.split or "val"))
    elif given.set == "annotations":
        judged = list(annotations(given.realset, given.split or "test"))
    else:
        judged = list(drawn_scenes(given.tier, given.scenes, given.split or "val"))
    judged = [row for row in judged if row[0].startswith(given.only)]
    if not judged:
        arguments.error("there is no such expression; val, testA and testB are splits of refcoco, test of the others")
    if not given.json:
        print_table(judged, given.wrong)
    right = sum(row[2] for row in judged)
    print(json.dumps({"right_box": round(100 * right / len(judged), 2), "expressions": len(judged)}))


def print_table(judged: list[Judged], wrong: int) -> None:
    """Prints right and wrong answers by kind, the time to parse, and some wrong ones."""
    counts, rights = Counter(row[0] for row in judged), Counter(row[0] for row in judged if row[2])
    print(f"{'kind':32} {'expressions':>11} {'right, %':>9} {'wrong':>6}")
    for kind, count in sorted(counts.items(), key=lambda pair: rights[pair[0]] - pair[1]):
        print(f"{kind:32} {count:11} {100 * rights[kind] / count:9.1f} {count - rights[kind]:6}")
    sentences = [sentence for _, sentence, _, _ in judged]
    begin = perf_counter()
    for sentence in sentences:
        read(f"{sentence} ")  # another string: nothing remembered
    print(f"parse: {1000 * (perf_counter() - begin) / len(sentences):.3f} ms a sentence")
    mistakes = [row for row in judged if not row[2]]
    for kind, sentence, _, answer in random.Random(0).sample(mistakes, min(wrong, len(mistakes))):
        print(f"{kind:24} {sentence!r:48} {answer.query}  -> {answer.outcome} {answer.chosen}")


if __name__ == "__main__":
    main()
