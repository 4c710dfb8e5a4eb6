"""Small data sets in the genuine formats of the field."""

import io
import json
import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 20, 30


@pytest.fixture(scope="session")
def realset() -> Path:
    """319 real photographs in the field's formats, where they are at hand."""
    beside = Path(__file__).parents[3] / "shared" / "realset"
    folder = Path(os.environ.get("REFSEG_REALSET", beside))
    if not (folder / "instances.json").is_file():
        pytest.skip(f"no realset at {folder}; REFSEG_REALSET says where it is")
    return folder


@pytest.fixture
def files(tmp_path, monkeypatch) -> SimpleNamespace:
    """Writers of small files below `root`; images are 30 x 20 pixels."""
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    root.mkdir()

    def write_json(name: str, content: Any) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    def write_pickle(name: str, content: Any, python2: bool = False) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(python2_pickle(content) if python2 else pickle.dumps(content, protocol=2))
        return path

    def photograph(name: str, mode: str = "RGB") -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        Image.fromarray(pixels).convert(mode).save(path)
        return path

    def labels(name: str, values: Any) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.asarray(values, np.uint8), "P")
        image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
        image.save(path)
        return path

    def write_bytes(name: str, content: bytes) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def move_out(name: str) -> None:
        """Moves a file or folder out of the data set and leaves a link to where it is."""
        path, outside = root / name, tmp_path / "outside" / name
        outside.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(path.rename(outside))

    return SimpleNamespace(
        root=root,
        json=write_json,
        pickle=write_pickle,
        bytes=write_bytes,
        move_out=move_out,
        photograph=photograph,
        labels=labels,
        square=square,
        coco=coco,
        ref=ref,
    )


def square(left: float, top: float, side: float = 4) -> list[float]:
    """A polygon that covers exactly these pixels."""
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def coco(images: dict[Any, str], annotations: dict[Any, Any]) -> dict[str, Any]:
    """Content of instances.json; annotations are id -> (image id, segmentation[, iscrowd])."""
    return {
        "info": {},
        "licenses": [],
        "categories": [{"id": 1, "name": "cup", "supercategory": "kitchen"}],
        "images": [{"id": id, "file_name": name, "height": HEIGHT, "width": WIDTH} for id, name in images.items()],
        "annotations": [
            {
                "id": id,
                "image_id": image,
                "category_id": 1,
                "segmentation": segmentation,
                "iscrowd": int(bool(crowd)),
                "area": 16.0,
                "bbox": [2.5, 3.0, 4.0, 5.0],
            }
            for id, (image, segmentation, *crowd) in annotations.items()
        ],
    }


def ref(number: int, image: Any, target: Any, *sentences: str, split: str = "train", **more: Any) -> dict[str, Any]:
    """A ref as refs(...).p has it; the ids of its sentences are 10 times its own and on."""
    return {
        "ref_id": number,
        "ann_id": target,
        "image_id": image,
        "category_id": 1,
        "split": split,
        "file_name": f"COCO_train2014_000000000001_{number}.jpg",
        "sent_ids": [number * 10 + k for k in range(len(sentences))],
        "sentences": [
            {"sent_id": number * 10 + k, "raw": text, "sent": text.lower().strip(" ."), "tokens": text.lower().split()}
            for k, text in enumerate(sentences)
        ],
    } | more


def python2_pickle(content: Any) -> bytes:
    """As Python 2 writes it with protocol 2: texts are strings of bytes."""
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes_of(self, text: str) -> None:
        content = text.encode("latin1")
        self.write(b"T" + len(content).to_bytes(4, "little") + content)
        self.memoize(text)

    dispatch[str] = save_bytes_of
