"""What is fuzzed: small sound inputs of every format that the package reads, and how each is used."""

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from refseg import datasets, networks
from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.datasets.drawn_clips.export import export as export_clips
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.drawn_scenes.export import export as export_scenes

SIDE = 24
_RATE = Fraction(1, 10)
FIRST = 3
"""Samples, clips, frames and expressions that are looked at."""


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        make: writes a sound one into an empty folder.
        use: reads it; gets the folder and one for what is written.
        files: patterns of the files that are damaged.
        weight: how often it is chosen.
    """

    make: Callable[[Path], None]
    use: Callable[[Path, Path], Any]
    files: tuple[str, ...]
    weight: int = 2


def photograph(path: Path, side: int = SIDE, **settings: Any) -> None:
    """Writes a small picture in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(path, **settings)


def mask(path: Path) -> None:
    """Writes a mask of one square."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[4:12, 6:14] = 255
    Image.fromarray(values).save(path)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())


def look_at(name: str, **settings: Any) -> Callable[[Path, Path], None]:
    """What reads a data set: its first samples or clips, with pixels, sentences and masks."""

    def use(folder: Path, out: Path) -> None:
        some = datasets.build(name, root=folder, **settings)
        for k in range(min(FIRST, len(some))):
            clip = some[k]
            for i, expression in enumerate(clip.expressions[:FIRST]):
                assert isinstance(expression.text, str)
                if datasets.class_of(name).of_clips:
                    for t in clip.annotated_frames(i)[:FIRST]:
                        assert clip.frame(t).ndim == 3 and clip.mask(i, t).ndim == 2
                else:
                    assert clip.mask(i).shape == clip.image.shape[:2] == clip.size_hw

    return use


def _images(folder: Path) -> None:
    for ending in ("png", "jpg", "gif", "webp", "bmp", "tif", "ppm", "avif"):
        photograph(folder / f"a.{ending}")
    Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)).save(folder / "sixteen.png")
    exif = Image.Exif()
    exif[0x112] = 6
    photograph(folder / "turned.jpg", exif=exif)
    Image.new("P", (SIDE, SIDE), 1).save(folder / "palette.png", transparency=0)


def _read_images(folder: Path, out: Path) -> None:
    from refseg.preprocessing.images import read_image

    for file in _files(folder):
        read_image(file)


def _read_masks(folder: Path, out: Path) -> None:
    from refseg.datasets.storage.annotation_masks import read_mask

    for file in _files(folder):
        read_mask(file)


def _segment(folder: Path, out: Path) -> None:
    from refseg.video.reading import is_video, read_frames

    for file in _files(folder):
        if is_video(file):
            for frame in read_frames(file):
                assert frame.pixels.ndim == 3


def _videos(folder: Path) -> None:
    from refseg.video.writer import video_writer

    frames = np.random.default_rng(0).integers(0, 255, (4, 32, 48, 3), np.uint8)
    with video_writer(folder / "a.mp4", (32, 48), _RATE) as write:
        for t, pixels in enumerate(frames):
            write(t * _RATE, pixels)
    first, *others = [Image.fromarray(pixels) for pixels in frames]
    for ending in ("gif", "png", "webp"):
        first.save(folder / f"moving.{ending}", save_all=True, append_images=others, duration=40)


def _refer(folder: Path) -> None:
    export_scenes(DrawnScenes("train", 2), folder)


def _refs_pickle(folder: Path) -> None:
    _refer(folder)
    refs = json.loads((folder / "grefs(drawn).json").read_text())
    (folder / "grefs(drawn).json").unlink()
    (folder / "grefs(drawn).p").write_bytes(pickle.dumps(refs[:12], 2))


def _jsonl(folder: Path) -> None:
    photograph(folder / "a.png")
    mask(folder / "m.png")
    run_lengths = {"counts": [10, 20, SIDE * SIDE - 30], "size": [SIDE, SIDE]}
    lines = [
        {"image": "a.png", "expression": "the box", "mask": "m.png", "split": "val"},
        {"image": "a.png", "expression": "both", "mask": [[1, 1, 9, 1, 9, 9], [12, 12, 20, 12, 20, 20, 12, 20]]},
        {"image": "a.png", "expression": "the run", "mask": run_lengths, "boxes": [[1, 2, 9, 9]], "id": "7"},
        {"image": "a.png", "expression": "a cat", "mask": []},
    ]
    (folder / "d.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _shards(folder: Path) -> None:
    from refseg.datasets.shards import write_shards

    source = folder / "source"
    source.mkdir()
    _refer(source)
    write_shards(datasets.build("refer", split="all", root=source), "scenes", folder, 10**6)
    shutil.rmtree(source)


def _indexed(folder: Path) -> None:
    _refer(folder)
    datasets.build("refer", split="all", root=folder)


def _referit(folder: Path) -> None:
    write_json(folder / "referit_query_trainval.json", {"40_10": ["sky"], "40_9": ["ground", "the ground"]})
    write_json(folder / "referit_query_test.json", {"40_9": ["man"]})
    photograph(folder / "images/40.jpg")
    mask(folder / "mask/40_10.png")
    _matlab(folder / "mask/40_9.mat", segimg_t=np.ones((SIDE, SIDE), np.uint8))


def _phrasecut(folder: Path) -> None:
    image = {"image_id": 1, "coco_id": 11, "width": SIDE, "height": SIDE, "split": "val"}
    write_json(folder / "image_data_split3000.json", [image])
    entry = {
        "task_id": "1__0",
        "image_id": 1,
        "ann_ids": [1],
        "instance_boxes": [[1, 2, 3, 4]],
        "Polygons": [[[[1, 1], [9, 1], [9, 9]]]],
        "phrase": "the cup",
        "phrase_structure": {"name": "cup", "attributes": [], "relation_ids": [], "type": "name"},
    }
    write_json(folder / "refer_val.json", [entry])
    photograph(folder / "images/1.jpg")


def _absent(folder: Path) -> None:
    image = {"id": 1, "file_name": "1.png", "height": SIDE, "width": SIDE}
    cup = {"id": 7, "image_id": 1, "segmentation": [[5, 5, 15, 5, 15, 15]], "bbox": [5, 5, 10, 10], "iscrowd": 0}
    write_json(folder / "instances.json", {"images": [image], "annotations": [cup], "categories": []})
    sentences = [{"sent_id": k, "sent": text, "exist": k == 0} for k, text in enumerate(("the cup", "the cat"))]
    ref = {"ref_id": 1, "ann_id": 7, "image_id": 1, "split": "val", "sentences": sentences}
    write_json(folder / "refs(unc).json", [ref])
    photograph(folder / "images/1.png")


def _arefcoco(folder: Path) -> None:
    for name, split_by in (("refcoco", "unc"), ("refcocog", "umd")):
        _absent(folder / name)
        refs = json.loads((folder / name / "refs(unc).json").read_text())
        (folder / name / "refs(unc).json").unlink()
        (folder / name / f"refs({split_by}).p").write_bytes(pickle.dumps(refs, 2))
    photograph(folder / "train2014/1.png")
    entry = {"entity_id": 3, "ref_id": 1, "split": "test", "descriptions": ["it", "he is taller"]}
    described = [entry | {"original_dataset": name} for name in ("refcoco", "refcocog")]
    write_json(folder / "arefcoco/arefcoco.json", {"annotations": described})


def _read_arefcoco(folder: Path, out: Path) -> None:
    look_at("arefcoco", split="test")(folder / "arefcoco", out)


def _muse(folder: Path) -> None:
    cup = {"segmentation": [[5, 5, 15, 5, 15, 15]], "bbox": [5, 5, 10, 10], "category_name": "cup"}
    lengths = cup | {"segmentation": {"counts": [10, 20, SIDE * SIDE - 30], "size": [SIDE, SIDE]}}
    image = {"file_name": "1.png", "height": SIDE, "width": SIDE, "ann_list": [cup], "questions": ["What for tea?"]}
    write_json(folder / "muse_val.json", [image | {"answers": [[cup, lengths]]}])
    photograph(folder / "train2014/1.png")


def _reasonseg(folder: Path) -> None:
    shapes = [
        {"label": label, "points": [[3, 3], [side, 3], [side, side]], "shape_type": "polygon"}
        for label, side in (("target", 12), ("ignore", 20), ("flag", 5))
    ]
    write_json(folder / "val/1.json", {"text": ["what holds tea"], "is_sentence": True, "shapes": shapes})
    photograph(folder / "val/1.jpg")


def _parquet(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    from refseg.masks.rle import encode_rle

    square = np.zeros((SIDE, SIDE), bool)
    square[3:9, 4:12] = True
    photograph(folder / "1.png")
    photo = {"bytes": (folder / "1.png").read_bytes(), "path": None}
    sample = {"id": 1, "sentences": ["the cup"], "bbox": [4.0, 3.0, 8.0, 6.0], "mask": encode_rle(square)}
    image = {"image": photo, "image_id": 1, "file_name": "COCO_train2014_000000000001.jpg", "samples": [sample]}
    box = {"id": 0, "caption": "it", "bbox": [1.0, 2.0, 3.0, 4.0], "bbox_id": "o_1", "image_id": "i", "split": "val"}
    row = box | {"file_name": "1.png", "height": SIDE, "width": SIDE}
    for name, rows in (("validation-0", [image]), ("ref-l4-val", [row])):
        parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{name}.parquet")


def _read_parquet(folder: Path, out: Path) -> None:
    for name in ("refcoco_m", "ref_l4"):
        look_at(name, split="val")(folder, out)


def _long_rvos(folder: Path) -> None:
    bird = {"exp": "the bird", "obj_id": 1, "type": "dynamic"}
    frames = ["00000", "00001"]
    videos = {"ab": {"expressions": {"0": bird}, "frames": frames}}
    write_json(folder / "valid/meta_expressions.json", {"videos": videos})
    for name in frames:
        photograph(folder / f"valid/JPEGImages/ab/{name}.jpg")
    mask(folder / "valid/Annotations/ab/1/00000.png")


def _clips(folder: Path) -> None:
    export_clips(DrawnClips("train", 1), folder)
    found = next(folder.rglob("meta_expressions.json"))
    assert found


def _mevis(folder: Path) -> None:
    run = {"counts": [10, 20, SIDE * SIDE - 30], "size": [SIDE, SIDE]}
    both = {"exp": "the birds", "obj_id": [0, 1], "anno_id": [70, 71]}
    videos = {"ab": {"expressions": {"0": both}, "frames": ["00000", "00001"]}}
    write_json(folder / "train/meta_expressions.json", {"videos": videos})
    write_json(folder / "train/mask_dict.json", {"70": [run, None], "71": [run, run]})
    for name in ("00000", "00001"):
        photograph(folder / f"train/JPEGImages/ab/{name}.jpg")


def _davis(folder: Path) -> None:
    texts = folder / "davis_text_annotations"
    texts.mkdir()
    for name in ("annot1", "annot1_full_video", "annot2", "annot2_full_video"):
        (texts / f"Davis17_{name}.txt").write_text('bear 1 "a brown bear"\nbear 2 "a rock"\n', encoding="latin1")
    sets = folder / "DAVIS/ImageSets/2017"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("bear\n")
    for name in ("00000", "00001"):
        photograph(folder / f"DAVIS/JPEGImages/480p/bear/{name}.jpg")
        labels = folder / f"DAVIS/Annotations_unsupervised/480p/bear/{name}.png"
        labels.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(SIDE, dtype=np.uint8)).save(labels)


def _a2d(folder: Path) -> None:
    import h5py

    (folder / "Release").mkdir()
    (folder / "Release/videoset.csv").write_text("a,0,0,0,0,320,240,5,0\n")
    masks = folder / "text_annotations/a2d_annotation_with_instances/a"
    masks.mkdir(parents=True)
    table = 'video_id,instance_id,query\na,0,"a dog, brown, runs"\na,3,the cat\n'
    (folder / "text_annotations/a2d_annotation.txt").write_text(table)
    for number in (1, 2):
        photograph(folder / f"Release/frames/a/{number:05d}.png")
        with h5py.File(masks / f"{number:05d}.h5", "w") as file:
            file["instance"] = np.array([0, 3])
            file["reMask"] = np.ones((2, SIDE, SIDE), np.uint8)
            file["reBBox"] = np.zeros((4, 2))


def _jhmdb(folder: Path) -> None:
    (folder / "jhmdb_annotation.txt").write_text('video_id,query\nab_catch,"man, in black"\n')
    place = "./jhmdb_sentences/Rename_Images/catch/ab_catch/00001.png"
    matlab = "./jhmdb_sentences/puppet_mask/catch/ab_catch/puppet_mask.mat"
    write_json(folder / "jhmdb_sentences_samples_metadata.json", [["ab_catch", place, matlab, 4, "q"]])
    for number in (1, 2):
        photograph(folder / f"Rename_Images/catch/ab_catch/{number:05d}.png")
    _matlab(folder / "puppet_mask/catch/ab_catch/puppet_mask.mat", part_mask=np.ones((SIDE, SIDE, 2), np.uint8))


def _matlab(path: Path, **arrays: Any) -> None:
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, arrays)


def _tables(folder: Path) -> None:
    image = {"id": 1, "file_name": "1.png", "height": SIDE, "width": SIDE}
    box = {"id": 1, "image_id": 1, "segmentation": [[5, 5, 15, 5, 15, 15]], "bbox": [5, 5, 10, 10], "iscrowd": 0}
    write_json(folder / "instances.json", {"images": [image], "annotations": [box], "categories": []})
    (folder / "t.csv").write_text('expression,annotation,split\n"the box, left",1,val\nthe other,1,train\n')


def _import(folder: Path, out: Path) -> None:
    from refseg.datasets.tools.import_coco import convert_coco

    (out / "o.jsonl").write_text(
        "\n".join(convert_coco(folder / "t.csv", folder / "instances.json").lines), encoding="utf-8"
    )


def _stored(folder: Path) -> None:
    from refseg.masks.rle import encode_rle

    square = np.zeros((SIDE, SIDE), bool)
    square[3:9, 4:12] = True
    lines = [json.dumps({"id": str(k), "exists": 0.5, **encode_rle(square)}) + "\n" for k in range(3)]
    (folder / "masks.jsonl").write_text("".join(lines))


def _read_stored(folder: Path, out: Path) -> None:
    from refseg.evaluation.stored_masks import compare_ids, open_masks, read_masks

    stored, ids = open_masks(folder / "masks.jsonl"), ["0", "1", "2"]
    compare_ids(stored, ids)
    assert len(read_masks(stored, ids, (SIDE, SIDE))) == 3


def _rows(folder: Path) -> None:
    from refseg import protocols
    from refseg.checkpoints.io import load_checkpoint
    from refseg.evaluation.answers import answer
    from refseg.evaluation.rows import rows_of

    scenes = list(DrawnScenes("val", count=1))
    rows = rows_of(answer(load_checkpoint("selector"), scenes, [protocols.build("standard")]))
    (folder / "expressions.jsonl").write_text("".join(json.dumps(row.to_dict()) + "\n" for row in rows[:5]))


def _compare(folder: Path, out: Path) -> None:
    from refseg import protocols
    from refseg.evaluation.comparison import compare, paired
    from refseg.evaluation.rows import read_rows

    rows = read_rows(folder / "expressions.jsonl")
    compare(*paired(rows, rows), protocols.build("standard"))


def _checkpoint(folder: Path) -> None:
    from refseg.checkpoints.calibration import Calibration
    from refseg.checkpoints.checkpoint import Checkpoint
    from refseg.checkpoints.io import load_checkpoint, save_checkpoint

    bundled = load_checkpoint("selector")
    network = networks.build(
        "selector",
        {"width": 16, "heads": 2, "blocks": 2, "stages": (8, 8, 8, 8), "coarse": 8, "fine": 8},
        len(bundled.tokenizer),
    )
    save_checkpoint(
        Checkpoint("selector", network, bundled.tokenizer, bundled.preprocessing, Calibration(), recipe=bundled.recipe),
        folder / "weights",
    )


def _load(folder: Path, out: Path) -> None:
    from refseg.checkpoints.io import load_checkpoint

    load_checkpoint(folder / "weights")


def _recipe(folder: Path) -> None:
    from refseg.recipes import find_recipe

    (folder / "recipe.yaml").write_text(find_recipe("selector").to_yaml())


def _read_recipe(folder: Path, out: Path) -> None:
    from refseg.recipes.recipe import Recipe

    Recipe.from_yaml(folder / "recipe.yaml")


def _release(folder: Path) -> None:
    weights = {f"layer.{k}.weight": torch.ones(2, 3) for k in range(5)}
    torch.save({"model": weights, "bert_model": weights, "epoch": 3, "args": {"lr": 1e-4}}, folder / "new.pth")
    torch.save({"model": weights, "bert_model": weights}, folder / "old.pth", _use_new_zipfile_serialization=False)
    np.savez(folder / "export.npz", **{"text_objseg/c5_lateral/DW:0": np.ones((1, 1, 2, 3), np.float32)})


def _read_release(folder: Path, out: Path) -> None:
    from refseg.conversion.official_layout import find_layout

    for name, conversion in (("new.pth", "lavt"), ("old.pth", "dmmi"), ("export.npz", "cmpc")):
        find_layout(conversion).read(folder / name)


def _clip(folder: Path) -> None:
    torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 3))).save(str(folder / "RN50.pt"))


def _read_clip(folder: Path, out: Path) -> None:
    from refseg.conversion.clip import read_clip

    read_clip(folder / "RN50.pt")


def repack(content: bytes, damage: Callable[[bytes], bytes]) -> bytes:
    """A ZIP archive with its pickle damaged, so that checksums of the archive do not hide it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, damage(part) if name.endswith("data.pkl") else part)
    return packed.getvalue()


TARGETS: dict[str, Target] = {
    "images": Target(_images, _read_images, ("*",), 4),
    "mask files": Target(lambda folder: mask(folder / "m.png"), _read_masks, ("m.png",), 1),
    "videos": Target(_videos, _segment, ("*",), 3),
    "refer": Target(_refer, look_at("refer", split="all"), ("*.json",), 6),
    "refs pickle": Target(_refs_pickle, look_at("refer", split="all"), ("*.p",), 4),
    "index": Target(_indexed, look_at("refer", split="all"), (".refseg/*.safetensors",), 2),
    "shards": Target(_shards, look_at("shards", split="all"), ("*.tar",), 2),
    "jsonl": Target(_jsonl, look_at("jsonl", split="all"), ("*.jsonl", "*.jsonl", "*.png"), 6),
    "referit": Target(_referit, look_at("referit", split="trainval"), ("*.json", "mask/*"), 2),
    "phrasecut": Target(_phrasecut, look_at("phrasecut", split="val"), ("*.json",), 2),
    "rrefcoco": Target(_absent, look_at("rrefcoco", split="val"), ("*.json",), 1),
    "arefcoco": Target(_arefcoco, _read_arefcoco, ("arefcoco/*.json", "*/*.p"), 2),
    "muse": Target(_muse, look_at("muse", split="val"), ("*.json",), 2),
    "reasonseg": Target(_reasonseg, look_at("reasonseg", split="val"), ("val/*.json",), 2),
    "parquet": Target(_parquet, _read_parquet, ("*.parquet",), 2),
    "long_rvos": Target(_long_rvos, look_at("long_rvos", split="valid"), ("**/*.json", "**/*.png"), 2),
    "refer_youtube_vos": Target(_clips, look_at("refer_youtube_vos", split="train"), ("**/*.json", "**/*.png"), 3),
    "mevis": Target(_mevis, look_at("mevis", split="train"), ("train/*.json",), 3),
    "ref_davis": Target(_davis, look_at("ref_davis", split="train"), ("**/*.txt", "**/*.png"), 2),
    "a2d_sentences": Target(_a2d, look_at("a2d_sentences", split="train"), ("**/*.csv", "**/*.txt", "**/*.h5"), 3),
    "jhmdb_sentences": Target(_jhmdb, look_at("jhmdb_sentences", split="test"), ("*.json", "*.txt", "**/*.mat"), 2),
    "import": Target(_tables, _import, ("*.csv", "*.json"), 3),
    "stored masks": Target(_stored, _read_stored, ("*.jsonl",), 2),
    "rows": Target(_rows, _compare, ("*.jsonl",), 2),
    "checkpoint": Target(_checkpoint, _load, ("weights/config.json", "weights/model.safetensors"), 3),
    "recipe": Target(_recipe, _read_recipe, ("recipe.yaml",), 2),
    "authors' files": Target(_release, _read_release, ("*.pth", "*.npz"), 4),
    "CLIP": Target(_clip, _read_clip, ("*.pt",), 3),
}
