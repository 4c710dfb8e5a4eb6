"""Reviewed annotations of RefCOCO, RefCOCO+ and RefCOCOg: which expressions are right, by the authors of Ref-L4.

NAME_SPLIT_reviewed.json   images: id, original_id (of COCO's image), caption; annotations: image_id (an id of images),
                           original_id (of COCO's annotation), caption_quality, which is 0 where the expression is wrong

Source     https://huggingface.co/datasets/JierunChen/Ref-L4, refcocos_annotation_reviewed.
Licence    CC BY-NC 4.0.
Splits     expressions, and how many of them are wrong: refcoco 21,586 and 3,054, refcoco+ 21,373 and 5,201 (val, testA,
           testB of unc), refcocog 14,498 and 675 (val, test of umd).
"""

from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refseg.counting import counted
from refseg.datasets.storage.ids import normalize_id
from refseg.datasets.storage.index import Index
from refseg.datasets.storage.reading import error_context, read_plain
from refseg.errors import InvalidInput, MissingFile

Reviews = dict[tuple[str, str, str], deque[bool]]
"""By image, annotation and sentence, whether the expressions are right, in the order of the file."""


def find_kept(folder: Path, name: str, index: Index, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns those of the expressions that the review calls right.

    Args:
        folder: of the reviewed annotations.
        name: of the data set.
        index: its index.
        numbers: of expressions.

    Raises:
        MissingFile: if a split is not reviewed.
        InvalidInput: if a file is not as its format says, or has not each of the expressions.
    """
    files: dict[str, Reviews] = {}
    kept, strangers = [], []
    for number in numbers.tolist():
        split = index.word("split", number)
        if split not in files:
            files[split] = _read(folder / f"{name}_{split}_reviewed.json")
        image = index.text("image_id", int(index["expression_image"][number]))
        for target in index.targets(number):
            found = files[split].get((image, index.text("object_id", target), index.text("expression_sent", number)))
            if not found:
                strangers.append(index.text("expression_id", number))
            elif found.popleft():
                kept.append(number)
    if strangers:
        raise InvalidInput(
            f"{folder} has no review of {counted(len(strangers), 'expression', len(numbers))} of {name}, for example "
            f"{strangers[0]}; it is of the divisions unc and umd"
        )
    return np.array(kept, np.int64)


def _read(path: Path) -> Reviews:
    if not path.is_file():
        raise MissingFile(
            f"{path} is missing; reviewed are val and the tests, and docs/datasets.md#ref_l4 says where to get it"
        )
    content = read_plain(path)
    reviews: Reviews = {}
    with error_context(str(path)):
        images = {normalize_id(image["id"]): image for image in content["images"]}
        for annotation in content["annotations"]:
            image = images[normalize_id(annotation["image_id"])]
            right = float(annotation["caption_quality"]) > 0
            key = normalize_id(image["original_id"]), normalize_id(annotation["original_id"]), str(image["caption"])
            reviews.setdefault(key, deque()).append(right)
    return reviews
