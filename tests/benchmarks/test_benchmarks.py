"""Every file in benchmarks/ runs once at a tiny size, so that none of them rots."""

import gzip
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))
PARTS = {"timing", "ranks", "gpu_pieces", "gpu_tables"}  # of the others
QUICK = {  # with their arguments; in this process
    "cmpc_relations": "--sides 4 --width 8 --words 3 --repeats 1 --threads 1",
    "drawn_scenes": "--scenes 2",
    "evaluator": "--images 1 --expressions 2",
    "finder": "--realset {photographs} --objects 2",
    "latency": "--case cmirnet_small fp32 1 --size 64 --repeats 1",
    "photograph_reader": "--realset {photographs} --write {out}",
    "reader": "--set drawn_scenes --tier hard --scenes 2",
    "recipe_costs": "--recipes vlt_refcoco",
    "selector_latency": "--repeats 1 --threads 1",
    "sentences": "--steps 1",
    "worker_memory": "",
}
SLOW = {  # in processes of their own, which import torch
    "drawn_clips": "--clips 8",
    "encode_once": "--presets cris_small --expressions 1 3 --size 64 --threads 1",
    "input_pipeline": "{refer} --images 8 --workers 0",
    "dataset_index": "--tiny --folder {out}",
    "equal_curves": "--steps 1 --scenes 16",
    "first_steps": "{refer} --recipes dmmi_refcoco --count 2 --steps 2 --set data.validation=train "
    "--set data.preprocessing.side=64 --set config={config}",
    "gpu": "--tiny --out {out} --only rates parity forward_dmmi step_cmirnet train",
    "kill_and_resume": "--kills 1 --processes 1 --data scenes",
    "kill_study": "eavl_table4 --rows 1 --set stages.learn.steps=1 --kills 1",
    "manifests": "--tiny",
    "runtimes": "--weights cris_small --to onnx --repeats 1",
    "segment_command": "--repeats 1",
    "service": "--tiny --parts throughput term",
    "video_memory": "--minutes 0.1 --every 12",
}
SMALLER = {
    "photograph_reader": {"ROUNDS": 1},
    "selector_latency": {"MANY": 2},
    "sentences": {"SCENES": 24, "HELD_BACK": 8, "AT_ONCE": 2, "READ": ("[CLS]", "attention")},
    "worker_memory": {"IMAGES": 20, "SENTENCES": 5, "AT_ONCE": 10, "WORKERS": 1},
}


@pytest.fixture
def smaller(monkeypatch):
    """Imports a benchmark with its smaller constants; all together is given back at the end."""
    threads = torch.get_num_threads()

    def load(name):
        module = importlib.import_module(name)
        for constant, value in SMALLER.get(name, {}).items():
            monkeypatch.setattr(module, constant, value)
        return module

    yield load
    torch.set_num_threads(threads)


@pytest.fixture
def places(smaller, tmp_path):
    """What arguments name, made when they do."""

    def fill(arguments):
        known = {"out": tmp_path / "out"}
        if "{refer}" in arguments:
            known["refer"] = tmp_path / "refer"
            known["refer"].mkdir()
            smaller("worker_memory").generate(known["refer"])
        if "{photographs}" in arguments:
            known["photographs"] = photographs(tmp_path / "photographs")
        if "{config}" in arguments:
            known["config"] = json.dumps(smaller("kill_and_resume").CONFIG).replace(" ", "")
        return arguments.format(**known).split()

    return fill


@pytest.fixture
def coco80(monkeypatch):
    """The finder with a small network of random weights."""
    from refseg.finders.coco80 import Coco80
    from refseg.finders.yolov4_tiny import YoloV4Tiny

    def load(cls, file=None, **settings):
        return cls(YoloV4Tiny(80, width=2).eval(), **settings)

    monkeypatch.setattr(Coco80, "load", classmethod(load))


def photographs(folder):
    """A folder with annotations of COCO and sentences about them, of templates and of people."""
    from refseg.finders.coco80 import COCO_CLASSES

    (folder / "images").mkdir(parents=True)
    (folder / "text").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(noise).resize((160, 120), Image.Resampling.BILINEAR).save(folder / "images" / "1.png")
    image = {"id": 1, "file_name": "1.png", "height": 120, "width": 160, "coco_url": "http://images/val2017/1.png"}
    dog = COCO_CLASSES.index("dog") + 1
    boxes = {7: [10, 20, 60, 50], 8: [90, 20, 60, 50]}
    things = [
        {
            "id": number,
            "image_id": 1,
            "category_id": dog,
            "iscrowd": 0,
            "area": w * h,
            "bbox": [x, y, w, h],
            "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
        }
        for number, (x, y, w, h) in boxes.items()
    ]
    categories = [{"id": k, "name": name} for k, name in enumerate(COCO_CLASSES, start=1)]
    instances = {"images": [image], "annotations": things, "categories": categories, "info": {}}
    (folder / "instances.json").write_text(json.dumps(instances))
    said = {"raw": "the dog on the left", "sent": "the dog on the left"}
    refs = [
        {"image_id": 1, "ann_id": 7, "origin": origin, "sentences": [{**said, "sent_id": k}]}
        for k, origin in enumerate(("human", "template"))
    ]
    (folder / "refs(real).json").write_text(json.dumps(refs))
    general = [{**ref, "ann_id": [7], "split": "test", "kind": "one"} for ref in refs]
    (folder / "grefs(real).json").write_text(json.dumps(general))
    with gzip.open(folder / "text" / "refcoco_eval_expressions.jsonl.gz", "wt") as file:
        for number, box in boxes.items():
            row = {"dataset": "refcoco", "split": "val", "image_id": 1, "ann_id": number, "bbox": box, **said}
            file.write(json.dumps(row) + "\n")
    return folder


@pytest.mark.parametrize("name", QUICK)
def test_it_runs_and_prints_figures(name, smaller, places, coco80, monkeypatch, capsys):
    module, arguments = smaller(name), places(QUICK[name])
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    module.main()
    assert any(letter.isdigit() for letter in capsys.readouterr().out)


@pytest.mark.parametrize("of", ["refcoco", "annotations"])
def test_the_reader_reads_what_is_written_of_photographs(of, smaller, places, monkeypatch, capsys):
    arguments = places("--realset {photographs} --json")
    monkeypatch.setattr(sys, "argv", ["reader", *arguments, "--set", of])
    smaller("reader").main()
    counted = json.loads(capsys.readouterr().out)
    assert counted == {"right_box": {"refcoco": 50.0, "annotations": 100.0}[of], "expressions": 2}


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_it_runs_in_processes_of_its_own(name, places, tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, BENCHMARKS / f"{name}.py", *places(SLOW[name])]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert any(letter.isdigit() for letter in finished.stdout)


def test_none_is_left_out():
    assert {file.stem for file in BENCHMARKS.glob("*.py")} == PARTS | set(QUICK) | set(SLOW)


def test_two_studies_are_compared_but_for_rounding(smaller):
    first_difference = smaller("kill_study").first_difference
    one = {"a": [{"iou": 0.5, "found": True}], "b": None}
    assert first_difference(one, {"a": [{"iou": 0.5 + 1e-8, "found": True}], "b": None}) == ""
    for other, told in (
        ({"a": [{"iou": 0.51, "found": True}], "b": None}, "a: 0: iou: 0.5 and 0.51"),
        ({"a": [{"iou": 0.5, "found": False}], "b": None}, "a: 0: found: True and False"),
        ({"a": [], "b": None}, "a: 0: in one of them only"),
        ({"a": one["a"]}, "b: in one of them only"),
        ({"a": one["a"], "b": 0.0}, "b: None and 0.0"),
    ):
        assert first_difference(one, other) == told
