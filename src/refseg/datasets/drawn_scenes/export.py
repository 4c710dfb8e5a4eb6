"""Export of drawn scenes as images, masks and JSON in the formats of COCO and gRefCOCO.

images/ID.png               the scene
masks/ID_SENTENCE.png       black and white, what the expression refers to
instances.json              COCO: images, annotations (one an object, RLE masks), categories (the shapes)
grefs(drawn).json           RefCOCO's refs as gRefCOCO extends them: `ann_id` is a list, [-1] for no target
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from refseg.datasets.drawn_scenes.dataset import COLOURS, MATERIALS, SHAPES, SIZES, VERSION, DrawnScenes, Scene
from refseg.text.vocabulary import split_words


def export(scenes: DrawnScenes, folder: Path, progress: Callable[[], None] = lambda: None) -> None:
    """Writes all scenes into an empty folder; `progress` is called after each."""
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    refs: list[dict[str, Any]] = []
    sentence_id = 0
    for number, scene in enumerate(scenes):
        name = f"{scene.image_id}.png"
        Image.fromarray(scene.image).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "height": scenes.side, "width": scenes.side})
        first = len(annotations)
        annotations.extend(_annotations(scene, number, first))
        for index, expression in enumerate(scene.expressions):
            Image.fromarray(scene.mask(index)).save(folder / "masks" / f"{scene.image_id}_{sentence_id}.png")
            ids = [first + k for k in expression.targets] or [-1]
            words = split_words(expression.text)
            refs.append(
                {
                    "ref_id": len(refs),
                    "image_id": number,
                    "file_name": name,
                    "split": scenes.split,
                    "ann_id": ids,
                    "category_id": [annotations[i - 1]["category_id"] if i > 0 else -1 for i in ids],
                    "sent_ids": [sentence_id],
                    "sentences": [
                        {"sent_id": sentence_id, "sent": expression.text, "raw": expression.text, "tokens": words}
                    ],
                    "no_target": not expression.targets,
                    "type": expression.type,
                    "kind": expression.kind,
                    "program": str(scene.programs[index]),
                }
            )
            sentence_id += 1
        progress()
    categories = [{"id": i, "name": name, "supercategory": "shape"} for i, name in enumerate(SHAPES, start=1)]
    info = {"description": f"drawn scenes, generator version {VERSION}, split {scenes.split}, tier {scenes.tier}"}
    whole = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(whole))
    (folder / "grefs(drawn).json").write_text(json.dumps(refs))


def _annotations(scene: Scene, image: int, first: int) -> list[dict[str, Any]]:
    """Returns a COCO annotation for each object; ids count from first + 1."""
    found = []
    for k, (shape, colour, size, material) in enumerate(scene.attributes.tolist(), start=1):
        rle = coco.encode(np.asfortranarray(scene.id_map == k, np.uint8))
        area, box = int(coco.area(rle)), coco.toBbox(rle).tolist()
        found.append(
            {
                "id": first + k,
                "image_id": image,
                "category_id": shape + 1,
                "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                "area": area,
                "bbox": box,
                "iscrowd": 0,
                "attributes": {"colour": COLOURS[colour], "size": SIZES[size], "material": MATERIALS[material]},
            }
        )
    return found
