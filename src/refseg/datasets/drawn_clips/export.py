"""Export of drawn clips in the layout of Refer-YouTube-VOS.

meta_expressions/SPLIT/meta_expressions.json   names of frames; expressions with obj_id: "3", or a list (several, none)
SPLIT/JPEGImages/CLIP/FRAME.jpg                the frames
SPLIT/Annotations/CLIP/FRAME.png               labels of objects, with a palette
SPLIT/meta.json                                the objects: their shapes, and in which frames they are

Split val is called valid there.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from refseg.datasets.drawn_clips.dataset import DrawnClip, DrawnClips
from refseg.datasets.drawn_scenes.dataset import SHAPES
from refseg.datasets.drawn_scenes.objects import RGB, SHAPE

QUALITY = 95
NAMES = {"val": "valid"}


def export(clips: DrawnClips, folder: Path, progress: Callable[[], None] = lambda: None) -> None:
    """Writes all clips into an empty folder; `progress` is called after each."""
    split = NAMES.get(clips.split, clips.split)
    expressions: dict[str, Any] = {}
    objects: dict[str, Any] = {}
    for clip in clips:
        names = [clip.frame_name(t) for t in range(len(clip))]
        _write_frames(clip, names, folder / split)
        expressions[clip.clip_id] = {
            "expressions": {
                str(number): {"exp": expression.text, "obj_id": _ids(expression.targets), "kind": expression.kind}
                for number, expression in enumerate(clip.expressions)
            },
            "frames": names,
        }
        shapes = [SHAPES[values[SHAPE]] for values in clip.attributes]
        objects[clip.clip_id] = {
            "objects": {str(k): {"category": shape, "frames": names} for k, shape in enumerate(shapes, start=1)}
        }
        progress()
    meta = folder / "meta_expressions" / split
    meta.mkdir(parents=True)
    (meta / "meta_expressions.json").write_text(json.dumps({"videos": expressions}))
    (folder / split / "meta.json").write_text(json.dumps({"videos": objects}))


def _write_frames(clip: DrawnClip, names: list[str], folder: Path) -> None:
    frames, labels = (folder / name / clip.clip_id for name in ("JPEGImages", "Annotations"))
    for place in (frames, labels):
        place.mkdir(parents=True)
    for t, name in enumerate(names):
        Image.fromarray(clip.frame(t)).save(frames / f"{name}.jpg", quality=QUALITY)
        image = Image.fromarray(clip.labels(t), "P")
        image.putpalette(np.concatenate([np.zeros((1, 3), np.uint8), RGB.astype(np.uint8)]).tobytes())
        image.save(labels / f"{name}.png")


def _ids(targets: tuple[int, ...]) -> str | list[str]:
    """Returns the id of one object, or a list of ids of several or none, as in Refer-YouTube-VOS."""
    ids = list(map(str, targets))
    return ids[0] if len(ids) == 1 else ids
