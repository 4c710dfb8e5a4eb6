"""COCO's results file of segmentation, from answers: a list of {image_id, category_id, segmentation, score}.

Format     https://cocodataset.org/#format-results; what `pycocotools.coco.COCO.loadRes` reads.
Departs    Each entry also names its image and expression, which readers of the format pass over. There is no bbox:
           where there is one, pycocotools takes the area of the box for that of the mask.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from refseg.datasets.storage.reading import parse_coco_id
from refseg.files.atomic import write_atomically

IMAGE_ID, CATEGORY_ID = "image_id", "category_id"


def write_coco_results(answers: Iterable[Mapping[str, Any]], file: Path) -> str:
    """Writes an entry for each object that was found, or for each mask where the network knows no objects.

    Its score is the probability that the expression refers to anything.

    The id of an image is column `image_id` of the table where all rows have it, else the number in its name where all
    are named as COCO names them (000000000025.jpg), else its number by order, from 1. The category is column
    `category_id`, else the number of the expression by order, from 1.

    Args:
        answers: as of `answers.jsonl`; they are read twice.
        file: for the list; it is replaced.

    Returns:
        a line that says where the ids are from.
    """
    images, by_name = dict[str, int](), dict[int, str]()
    expressions = dict[str, int]()
    given, categorised, named = True, True, True
    for answer in answers:
        source = answer.get("source", answer["image"])
        images.setdefault(source, len(images) + 1)
        expressions.setdefault(answer["expression"], len(expressions) + 1)
        given, categorised = given and _has(answer, IMAGE_ID), categorised and _has(answer, CATEGORY_ID)
        number = parse_coco_id(answer["image"])
        named = named and number >= 0 and by_name.setdefault(number, source) == source

    def entries() -> Iterator[dict[str, Any]]:
        for answer in answers:
            if not answer.get("found"):
                continue
            image, category = images[answer.get("source", answer["image"])], expressions[answer["expression"]]
            image = parse_coco_id(answer["image"]) if named else image
            for one in answer["instances"] or [answer]:
                yield {
                    IMAGE_ID: _number(answer[IMAGE_ID]) if given else image,
                    CATEGORY_ID: _number(answer[CATEGORY_ID]) if categorised else category,
                    "segmentation": one["rle"],
                    "score": answer["exists"],
                    "image": answer["image"],
                    "expression": answer["expression"],
                }

    with write_atomically(file) as partial, partial.open("w", encoding="utf-8") as output:
        output.write("[")
        for number, entry in enumerate(entries()):
            output.write((",\n" if number else "\n") + json.dumps(entry, allow_nan=False))
        output.write("\n]\n")
    from_where = "column image_id" if given else "the numbers in file names" if named else "the order of the images"
    categories = "column category_id" if categorised else "the order of the expressions"
    return f"{file}: image_id is {from_where}, category_id is {categories}"


def _has(answer: Mapping[str, Any], column: str) -> bool:
    return answer.get(column) not in (None, "")


def _number(value: Any) -> Any:
    """A whole number if it is one; else as it is, for annotations whose ids are texts."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return value
