"""Open models as finders and maskers of the reader: tiny random ones, in a cache as the hub's client makes it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_hub import COMMIT
from PIL import Image

import refseg
from conftest import noise
from refseg.adapters import phrase_finders
from refseg.adapters.boxes import Boxes, Owlv2
from refseg.adapters.entries.parts import PARTS
from refseg.adapters.region_scorer import MAX_LOG_ODDS, RegionScorer
from refseg.cli import main
from refseg.errors import InvalidInput, MissingFile
from refseg.finders import load_finder
from refseg.finders.finder import Detection
from refseg.readers.objects import FoundObject

FROM = {"gdino": "gdino", "owlv2": "owlv2", "mask2former": "mask2former", "sam2": "sam2"}


@pytest.fixture
def cache(tmp_path, monkeypatch, folders, capsys):
    """Puts models into the cache of the hub, which is empty else."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "refseg"))

    def put(*names: str) -> None:
        for name in names:
            (model,) = PARTS[name].default_models
            storage = tmp_path / "hub" / f"models--{model.id.replace('/', '--')}"
            (storage / "snapshots").mkdir(parents=True)
            (storage / "snapshots" / COMMIT).symlink_to(folders[FROM[name]])
            (storage / "refs").mkdir()
            (storage / "refs" / "main").write_text(COMMIT)
        capsys.readouterr()  # the saving of models shows its progress

    return put


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(90, 120)).save("photo.png")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["refseg", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return run


@pytest.mark.parametrize("finder", ["gdino", "owlv2"])
def test_the_command_reads_sentences_with_a_detector_and_sam2(cache, command, finder):
    cache(finder, "sam2")
    settings = ["--weights", "reader", "--set", f"finder={finder}", "--set", "threshold=0.01"]
    sentences = ["the second mug from the left of the window", "the kangaroo"]
    code, out, err = command("segment", "photo.png", *sentences, *settings, "--format", "json")
    assert (code, err) == (0, "") and "not a thing that this finder knows" not in out
    about = json.loads(Path("photo.the-second-mug-from-the-left-of-the-window.json").read_text())
    reading = about["reading"]
    assert about["found"] and reading["finder"] == finder and reading["outcome"] == "found"
    assert {name for thing in reading["objects"] for name in thing["classes"]} == {"mug", "window"}
    assert all(0 <= a < b <= 120 for thing in reading["objects"] for a, b in [thing["box"][0::2]])
    kangaroo = json.loads(Path("photo.the-kangaroo.json").read_text())["reading"]
    assert {name for thing in kangaroo["objects"] for name in thing["classes"]} == {"kangaroo"}


def test_explain_draws_what_was_looked_for(cache, command):
    cache("owlv2", "sam2")
    code, out, _ = command(
        "explain", "photo.png", "the mug left of the lamp", "--set", "finder=owlv2", "--out", "x.png"
    )
    assert code == 0 and "objects found by owlv2" in out and "noun: mug" in out and Path("x.png").is_file()


def test_parts_that_are_not_here_are_told_before_anything_is_loaded(cache, command):
    arguments = ["segment", "photo.png", "the dog", "--weights", "reader", "--set", "finder=gdino"]
    code, out, err = command(*arguments)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "the weights 'gdino' (IDEA-Research/grounding-dino-tiny, 689 MB) are not on this machine" in err
    assert "refseg weights get gdino" in err and "own copy by its folder: finder=gdino=models/gdino" in err
    cache("gdino")
    code, _, err = command(*arguments)
    assert code == 2 and "refseg weights get sam2," in err and err.count("\n") == 1
    assert command(*arguments, "--set", "masker=box")[0] == 0
    code, _, err = command(*arguments, "--set", "masker=sam2=nowhere")
    assert code == 2 and "masker=sam2=models/sam2" in err
    code, _, err = command(*arguments, "--set", "masker=sam9")
    assert code == 2 and "choose one of: grabcut, ellipse, box, sam2," in err
    code, _, err = command("segment", "photo.png", "the dog", "--weights", "gdino")
    assert code == 2 and "gdino is a part of the reader" in err and "--weights reader --set finder=gdino" in err
    code, _, err = command("segment", "photo.png", "the dog", "--weights", "reader", "--set", "finder=selector=here")
    assert code == 2 and "selector takes no folder" in err


def test_parts_are_listed_and_got_by_name(hub, command, folders):
    hub.models["google/owlv2-base-patch16-ensemble"] = folders["owlv2"]
    code, out, _ = command("weights", "get", "owlv2")
    assert code == 0 and "--weights reader --set finder=owlv2" in out
    code, out, _ = command("weights", "list")
    assert "--weights reader --set masker=sam2;" in out and "google/owlv2-base-patch16-ensemble" in out
    rows = {row["name"]: row for row in json.loads(command("weights", "list", "--json")[1]) if row.get("usage")}
    assert rows["owlv2"]["here"] and not rows["gdino"]["here"] and rows["mask2former"]["kind"] == "part of the reader"


def test_own_folders_are_finders_and_maskers(folders):
    segmenter = refseg.load(
        "reader", finder=f"owlv2={folders['owlv2']}", masker=f"sam2={folders['sam2']}", threshold=0.01
    )
    assert segmenter(noise(90, 120), "the dog").found
    with pytest.raises(MissingFile, match="is no folder"):
        refseg.load("reader", finder="owlv2=nowhere")
    with pytest.raises(InvalidInput, match="holds a model of type 'sam2'"):
        refseg.load("reader", finder=f"owlv2={folders['sam2']}", masker="box")


def test_an_image_is_encoded_once_and_each_name_is_looked_for_once(folders, monkeypatch):
    encoded, asked = [], []
    encode, detect = Owlv2.encode_image, Owlv2.detect
    monkeypatch.setattr(Owlv2, "encode_image", lambda self, image: encoded.append(1) or encode(self, image))
    monkeypatch.setattr(
        Owlv2, "detect", lambda self, seen, names, images: asked.extend(names) or detect(self, seen, names, images)
    )
    segmenter = refseg.load("reader", finder=f"owlv2={folders['owlv2']}", masker="box", threshold=0.01)
    segmenter(noise(90, 120), ["the dogs", "the left dog", "the dog next to the lamp", "a lamp", "everyone", "dog"] * 3)
    assert len(encoded) == 1 and asked == ["dog", "lamp", "person"]


def test_sentences_alone_have_the_answers_that_they_have_among_others(folders):
    segmenter = refseg.load(
        "reader", finder=f"owlv2={folders['owlv2']}", masker=f"sam2={folders['sam2']}", threshold=0.01
    )
    images, asked = [noise(90, 120), noise(64, 64)], ["the dog left of the lamp", "the second cat from the left"]
    for image, results in zip(images, segmenter.batch(images, [asked, asked]), strict=True):
        for sentence, result in zip(asked, results, strict=True):
            alone = segmenter(image, sentence)
            assert result.to_dict() == alone.to_dict()


class Scripted(Owlv2):
    """Finds what a script says, wherever it is."""

    script: dict[str, list[tuple[list[float], float]]] = {}

    def detect(self, seen, phrases, image_of_phrase):
        rows = [self.script.get(phrase, []) for phrase in phrases]
        return [
            Boxes(torch.tensor([box for box, _ in row]).reshape(-1, 4), torch.tensor([score for _, score in row]))
            for row in rows
        ]


@pytest.fixture
def scripted(folders, monkeypatch):
    monkeypatch.setattr(phrase_finders, "Owlv2", Scripted)
    left, right = [0.0, 0.2, 0.2, 0.8], [0.6, 0.2, 0.8, 0.8]
    Scripted.script = {
        "person": [(left, 0.5), (right, 0.6)],
        "man": [([0.61, 0.2, 0.8, 0.8], 0.55), (left, 0.05)],
        "mug": [(right, 0.5), (left, 0.3)],
        "object": [(left, 0.2), (right, 0.2)],
    }
    return refseg.load("reader", finder=f"owlv2={folders['owlv2']}", masker="box")


@pytest.mark.parametrize(
    ("sentence", "lefts"),
    [
        ("the left mug", [0]),
        ("mugs", [0, 72]),
        ("everyone except the man", [0]),  # a man is found as a person too, in nearly the same box
        ("the man", [73]),
        ("far left", [0]),
        ("the unicorn", []),
        ("the mug next to the unicorn", []),
    ],
)
def test_a_sentence_is_answered_from_what_was_found_for_its_nouns(scripted, sentence, lefts):
    result = scripted(noise(100, 120), sentence)
    assert [round(box[0]) for box in result.boxes] == lefts
    assert result.decided_by == ("mask" if lefts else "existence threshold")
    assert not any("not a thing" in warning for warning in result.warnings)


def test_scores_of_detectors_mean_the_same_to_the_reader(scripted):
    finder = scripted.network.finder
    assert finder.threshold == 0.1 and finder.certainty(0.1) == pytest.approx(0.25)
    assert finder.certainty(0.5) == pytest.approx(0.75) and 0 < finder.certainty(0) < finder.certainty(1) < 1
    Scripted.script = {"mug": [([0.1, 0.1, 0.5, 0.5], 0.11)]}
    assert scripted(noise(100, 120), "the mug").found
    Scripted.script = {"mug": [([0.1, 0.1, 0.5, 0.5], 0.09)]}
    assert not scripted(noise(100, 120), "the mug").found


def test_mask2former_finds_known_classes_with_masks(folders):
    finder = load_finder(f"mask2former={folders['mask2former']}", threshold=0.0)
    assert finder.classes == ("person", "dog", "cat")
    image = noise(90, 120)
    found: list[Detection] = finder.find(image)
    assert found and all(one.score >= other.score for one, other in zip(found, found[1:], strict=False))
    for detection in found:
        left, top, right, bottom = detection.box_xyxy
        assert (
            detection.mask.shape == (90, 120) and detection.mask[int(top) : int(bottom), int(left) : int(right)].any()
        )
        assert 0 <= left < right <= 120 and 0 <= top < bottom <= 90 and 0 < detection.score < 1
    assert len(finder.find(image, threshold=found[0].score)) <= 2 and not finder.find(image, threshold=1.0)
    with pytest.raises(InvalidInput, match="threshold 2 is not a score"):
        finder.find(image, threshold=2)
    unknown, known = refseg.load("reader", finder=f"mask2former={folders['mask2former']}", threshold=0.0)(
        image, ["the window", "the dog"]
    )
    assert unknown.decided_by == "unknown thing" and known.reading.found.objects
    with pytest.raises(InvalidInput, match="it finds masks; leave it out"):
        load_finder("mask2former", masker="sam2")


def test_coco80_may_have_sam2_as_its_masker(folders, monkeypatch):
    from refseg.finders.coco80 import Coco80
    from refseg.finders.yolov4_tiny import YoloV4Tiny

    finder = Coco80(YoloV4Tiny(80), threshold=0.0, masker=f"sam2={folders['sam2']}")
    encoded = []
    encode = finder.masker.masker.encode_image
    monkeypatch.setattr(finder.masker.masker, "encode_image", lambda image: encoded.append(1) or encode(image))
    found = finder.find(noise(90, 120))[:3]
    masks = [detection.mask for detection in found]
    assert len(encoded) == 1 and len(finder.networks) == 1 and all(mask.shape == (90, 120) for mask in masks)
    np.testing.assert_array_equal(masks[0], finder.masker(noise(90, 120), found[0].box_xyxy))


@pytest.mark.parametrize("name", ["clip", "siglip2"])
def test_a_scorer_judges_what_geometry_cannot(folders, name, monkeypatch):
    scorer = RegionScorer.load(name, folders[name])
    image = noise(90, 120)
    boxes = [(0.0, 0.0, 40.0, 40.0), (50.0, 20.0, 110.0, 90.0), (30.0, 30.0, 31.0, 31.0)]
    things = [FoundObject(box_xyxy=box, classes={"dog": 0.9, "cat": 0.2}) for box in boxes]
    looked = []
    see = RegionScorer._image_features
    monkeypatch.setattr(RegionScorer, "_image_features", lambda self, some: looked.extend(some) or see(self, some))
    score = scorer.for_image(image)
    scores = score("sleeping", things)
    assert len({round(one, 4) for one in scores}) == 3 and scores != score("wooden", things) and len(looked) == 3
    assert scores[1:] == pytest.approx(scorer.for_image(image)("sleeping", things[1:]), abs=1e-5)
    # the difference of the logits of the plain call
    texts = ["a photo of a dog, sleeping", "a photo of a dog"]
    limit = scorer.model.config.text_config.max_position_embeddings
    batch = scorer.processor(
        text=texts, images=[torch.from_numpy(looked[0]).permute(2, 0, 1)], padding="max_length", max_length=limit,
        return_tensors="pt",
    )  # fmt: skip
    with torch.inference_mode():
        with_phrase, without = scorer.model(**batch).logits_per_image[0].tolist()
    assert scores[0] == pytest.approx(min(max(with_phrase - without, -MAX_LOG_ODDS), MAX_LOG_ODDS), abs=1e-3)


def test_the_reader_takes_a_scorer_and_says_what_it_made_of_a_phrase(scripted, folders):
    owl = f"owlv2={folders['owlv2']}"
    with_scorer = refseg.load("reader", finder=owl, masker="box", scorer=f"clip={folders['clip']}")
    image, sentence = noise(100, 120), "the person sleeping"
    plain, scored = scripted(image, sentence), with_scorer(image, sentence)
    assert any("'sleeping' was not taken into account" in warning for warning in plain.warnings)
    assert not scored.warnings and any(step.part == "other" for step in scored.reading.answer.steps)
    with pytest.raises(InvalidInput, match="unknown scorer 'bert'; choose one of: siglip2, clip"):
        refseg.load("reader", finder=owl, masker="box", scorer="bert")
    with pytest.raises(MissingFile, match="is no folder"):
        refseg.load("reader", finder=owl, masker="box", scorer="clip=nowhere")


def test_a_scorer_that_is_not_here_is_told_before_anything_is_loaded(cache, command):
    cache("owlv2", "sam2")
    arguments = ["--weights", "reader", "--set", "finder=owlv2", "--set", "scorer=siglip2"]
    code, _, err = command("segment", "photo.png", "the dog", *arguments)
    assert code == 2 and "refseg weights get siglip2," in err and err.count("\n") == 1
