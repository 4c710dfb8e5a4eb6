"""What `coco80` finds in photographs, and how good masks from boxes are, on a folder of photographs with objects.

The folder holds `instances.json` in COCO's format and `images/`. Only photographs of val2017 count, by `coco_url`: the
weights were trained on the others. OpenCV's GrabCut is compared if OpenCV is installed.
"""

import argparse
import contextlib
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from refseg.finders import load_finder
from refseg.finders.box_masks import MASKERS, ellipse_mask
from refseg.hardware import describe_hardware, versions
from refseg.preprocessing.images import read_image
from timing import print_table

SIZES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, float("inf"))}  # areas, as in COCO
LOWEST = 0.001  # scores that count for average precision


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--realset", type=Path, required=True, help="the folder")
    arguments.add_argument("--file", type=Path, help="the weights; by default those of `refseg weights get coco80`")
    arguments.add_argument("--score", type=float, default=0.3, help="lowest score for recall and precision")
    arguments.add_argument("--objects", type=int, default=150, help="medium and large objects whose masks are drawn")
    given = arguments.parse_args()
    torch.set_num_threads(1)

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(given.realset / "instances.json"))
    photographs = [one for one in truth.dataset["images"] if "/val2017/" in one["coco_url"]]
    images = {one["id"]: read_image(given.realset / "images" / one["file_name"]) for one in photographs}
    found = measure_finder(truth, images, given.file, given.score)
    print_table(
        f"coco80 on {len(images)} photographs of val2017, {found['objects']:,} objects",
        ["figure", "measured"],
        [[name, f"{value:.3f}"] for name, value in found.items() if name != "objects"],
    )
    masks = measure_masks(truth, images, given.objects)
    rows = [[name, f"{100 * one['miou']:.1f}", f"{one['seconds']:.4f}"] for name, one in masks.items()]
    print_table(f"Masks from {given.objects} true boxes", ["masker", "mIoU", "CPU seconds"], rows)
    hardware = {"hardware": describe_hardware(), "versions": versions()}
    print(json.dumps({"finder": found, "masks": masks, "photographs": len(images), **hardware}))


def measure_finder(truth: COCO, images: dict[int, Any], file: Path | None, score: float) -> dict[str, float]:
    finder = load_finder("coco80", file=file)
    ids = {category["name"]: category["id"] for category in truth.dataset["categories"]}
    entries, seconds, cpu_seconds = [], [], []
    for image_id, image in images.items():
        begin, cpu_begin = time.perf_counter(), time.process_time()
        finder.find(image)
        seconds.append(time.perf_counter() - begin)
        cpu_seconds.append(time.process_time() - cpu_begin)
        for one in finder.find(image, threshold=LOWEST):
            x0, y0, x1, y1 = one.box_xyxy
            box = [x0, y0, x1 - x0, y1 - y0]
            entries.append({"image_id": image_id, "category_id": ids[one.class_name], "bbox": box, "score": one.score})
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(entries), "bbox")
        evaluation.params.imgIds = list(images)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    average = dict(zip(("AP", "AP50"), map(float, evaluation.stats), strict=False))
    timed = {"seconds": float(np.median(seconds)), "cpu_seconds": float(np.median(cpu_seconds))}
    return average | recalls(truth, list(images), [one for one in entries if one["score"] >= score]) | timed


def recalls(truth: COCO, image_ids: list[int], entries: list[dict[str, Any]]) -> dict[str, float]:
    """Share of objects found by size, of all but crowds, and precision, at IoU 0.5 and the right class."""
    objects: dict[str, int] = dict.fromkeys(SIZES, 0)
    hits: dict[str, int] = dict.fromkeys(SIZES, 0)
    right = wrong = 0
    for image_id in image_ids:
        wanted = truth.loadAnns(truth.getAnnIds(imgIds=image_id))
        free = {one["id"] for one in wanted if not one["iscrowd"]}
        size = {one["id"]: next(n for n, (_, end) in SIZES.items() if one["area"] < end) for one in wanted}
        for identity in free:
            objects[size[identity]] += 1
        given = sorted((one for one in entries if one["image_id"] == image_id), key=lambda one: -one["score"])
        for one in given:
            same = [other for other in wanted if other["category_id"] == one["category_id"]]
            crowds = [other["iscrowd"] for other in same]
            overlaps = coco_mask.iou([one["bbox"]], [other["bbox"] for other in same], crowds)[0] if same else []
            near = sorted(zip(overlaps, same, strict=True), key=lambda pair: -pair[0])
            close = [other for overlap, other in near if overlap >= 0.5]
            if match := next((other["id"] for other in close if other["id"] in free), None):
                free.remove(match)
                hits[size[match]] += 1
                right += 1
            elif not any(other["iscrowd"] for other in close):
                wrong += 1
    by_size = {f"recall_{name}": hits[name] / max(objects[name], 1) for name in SIZES}
    return by_size | {"precision": right / max(right + wrong, 1), "objects": sum(objects.values())}


def measure_masks(truth: COCO, images: dict[int, Any], count: int) -> dict[str, dict[str, float]]:
    some = [one for one in truth.loadAnns(truth.getAnnIds(imgIds=list(images), iscrowd=False)) if one["area"] >= 32**2]
    chosen = [some[i] for i in np.random.default_rng(0).permutation(len(some))[:count]]
    results = {}
    for name, masker in {**MASKERS, **dict(opencv())}.items():
        overlaps, begin, spent = [], 0.0, 0.0
        for one in chosen:
            x, y, width, height = one["bbox"]
            image, true = images[one["image_id"]], truth.annToMask(one).astype(bool)
            begin = time.process_time()
            mask = masker(image, (x, y, x + width, y + height))
            spent += time.process_time() - begin
            overlaps.append((mask & true).sum() / (mask | true).sum())
        results[name] = {"miou": float(np.mean(overlaps)), "seconds": spent / len(chosen)}
    return results


def opencv() -> Iterator[tuple[str, Any]]:
    """GrabCut of OpenCV: box enlarged by 30 %, at most 192 pixels, 3 rounds, the ellipse where it finds too little."""
    try:
        import cv2
    except ModuleNotFoundError:
        return
    cv2.setNumThreads(1)

    def draw(image: Any, box: tuple[float, float, float, float]) -> Any:
        cv2.setRNGSeed(0)
        (height, width), (x0, y0, x1, y1) = image.shape[:2], box
        across, down = 0.15 * (x1 - x0), 0.15 * (y1 - y0)
        left, top = max(0, int(x0 - across)), max(0, int(y0 - down))
        right, bottom = min(width, int(np.ceil(x1 + across))), min(height, int(np.ceil(y1 + down)))
        scale = min(1.0, 192 / max(right - left, bottom - top))
        size = max(2, round((right - left) * scale)), max(2, round((bottom - top) * scale))
        crop = cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
        inside = ellipse_mask(image, box)[top:bottom, left:right]
        labels = np.zeros(crop.shape[:2], np.uint8)
        start = max(0, round((x0 - left) * scale)), max(0, round((y0 - top) * scale))
        labels[start[1] : round((y1 - top) * scale), start[0] : round((x1 - left) * scale)] = cv2.GC_PR_FGD
        mask = np.zeros((height, width), bool)
        try:
            cv2.grabCut(crop, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
        except cv2.error:  # nothing is outside of the box
            labels[:] = 0
        near = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
        share = cv2.resize(near.astype(np.float32), (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        mask[top:bottom, left:right] = share > 0.5
        if mask.sum() < 0.2 * inside.sum():
            mask[top:bottom, left:right] = inside
        return mask

    yield "opencv's grabcut", draw


if __name__ == "__main__":
    main()
