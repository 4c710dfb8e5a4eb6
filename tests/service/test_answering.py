"""Batches of a worker: what is encoded together, what is kept, and what fails alone."""

import hashlib
import io
import json
import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from refseg.adapters.masker import EncodedImages as MaskerFeatures
from refseg.adapters.masker import Masker
from refseg.adapters.model_masker import ModelMasker
from refseg.adapters.region_scorer import RegionScorer
from refseg.compositions.found import find_objects
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.finders.box_masks import mask_drawer
from refseg.finders.finder import Detection, Finder
from refseg.inference.results import Candidate
from refseg.inference.segmenter import EncodedImages
from refseg.service import answering as answering_module
from refseg.service.answering import Answering, Prepared
from refseg.service.encodings import Encodings
from refseg.service.held_memory import held_bytes
from refseg.service.limits import Limits
from refseg.service.memory_budget import MemoryBudget
from refseg.service.messages import Answer, BatchDone, Format, Job, Refusal, Setup
from refseg.service.problems import Problem
from refseg.service.schemas import CandidateFacts, ResultFacts

SCENES = [scene.image for scene in DrawnScenes("test", 4)]


@pytest.fixture(scope="module")
def loaded():
    with Answering(
        Setup(("selector", "reader:finder=selector"), "cpu", Limits(batch_size=3)), list().append
    ) as answering:
        yield answering


@pytest.fixture
def answering(loaded):
    """An Answering that has kept nothing yet; `said` is what it has said."""
    loaded.said, loaded.encodings = [], Encodings(1e9)
    loaded._send, loaded._stopped = loaded.said.append, False
    return loaded


@pytest.mark.parametrize(("by_image", "precision"), [(True, "f32"), (False, "bf16")])
def test_a_reader_that_nobody_named_computes_in_float32(monkeypatch, by_image, precision):
    loaded = {}

    def load(name, device, precision):
        loaded[name] = precision
        return SimpleNamespace(network=torch.nn.Identity())

    monkeypatch.setattr(answering_module, "load", load)
    Answering(Setup(("selector", "reader"), "cpu", Limits(), by_image=by_image, precision="bf16"), list().append)
    assert loaded == {"selector": "bf16", "reader": precision}


def job(number, pixels, expressions=("the ring",), weights="selector", **more) -> Job:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    content = file.getvalue()
    settings = {"threshold": None, "format": Format.JSON, "deadline": time.monotonic() + 60, **more}
    return Job(number, content, hashlib.sha256(content).hexdigest(), tuple(expressions), weights, **settings)


def answer(answering, *jobs) -> dict[int, Answer | Refusal]:
    """Answers jobs in one batch; what each got."""
    answering.answer([answering.read(one) for one in jobs])
    end = time.monotonic() + 60
    while len(got := {one.number: one for one in answering.said if not isinstance(one, BatchDone)}) < len(jobs):
        assert time.monotonic() < end
        time.sleep(0.005)
    return got


def test_images_of_one_size_are_encoded_together_and_the_same_one_once(answering, monkeypatch):
    shapes, encode = [], answering.segmenters["selector"].network.encode_image
    monkeypatch.setattr(
        answering.segmenters["selector"].network,
        "encode_image",
        lambda image: shapes.append(tuple(image.shape)) or encode(image),
    )
    jobs = [job(1, SCENES[0]), job(2, SCENES[1][:96]), job(3, SCENES[2]), job(4, SCENES[0], ["the star", "the ring"])]
    got = answer(answering, *jobs)
    assert sorted(shape[0] for shape in shapes) == [1, 2]
    assert [len(json.loads(got[k].body)) for k in (1, 2, 3, 4)] == [1, 1, 1, 2]
    shapes.clear()
    answering.said.clear()
    again = answer(answering, *jobs)
    assert not shapes and again[4].body == got[4].body
    (batch,) = [one for one in answering.said if isinstance(one, BatchDone)]
    assert (batch.images, batch.encoded, batch.cached) == (4, 0, 4)


def test_what_fails_for_one_image_fails_for_it_alone(answering, monkeypatch, capsys):
    network = answering.segmenters["selector"].network
    encode = network.encode_image

    def fail_for_black(image):
        if (image.flatten(1).std(1) < 1e-6).any():
            raise RuntimeError("a mistake\nof ours")
        return encode(image)

    monkeypatch.setattr(network, "encode_image", fail_for_black)
    black = np.zeros_like(SCENES[0])
    got = answer(answering, job(1, SCENES[0]), job(2, black), job(3, SCENES[1]), job(4, black), job(5, SCENES[2], [""]))
    assert [type(got[k]) for k in range(1, 6)] == [Answer, Refusal, Answer, Refusal, Refusal]
    assert (got[2].status, got[4].status, got[5].status) == (500, 500, 422)
    assert "mistake" not in got[2].detail and "a mistake" in capsys.readouterr().err


def test_memory_that_runs_out_is_no_mistake(answering, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(answering.segmenters["selector"], "encode", fail)
    assert answer(answering, job(1, SCENES[3]))[1].code == "out_of_memory"


def test_what_waited_too_long_is_not_computed(answering, monkeypatch):
    monkeypatch.setattr(answering.segmenters["selector"], "encode", None)
    late = answer(answering, job(1, SCENES[0], deadline=time.monotonic() - 1))[1]
    assert late.status == 504 and late.code == "timeout"


@pytest.fixture
def encoded(answering, monkeypatch):
    """Numbers of images that were encoded together, call by call."""
    counts, network = [], answering.segmenters["selector"].network
    encode = network.encode_image

    def count(image):
        counts.append(len(image))
        return encode(image)

    monkeypatch.setattr(network, "encode_image", count)
    return counts


def test_images_are_answered_before_the_next_ones_are_encoded(answering, encoded, monkeypatch):
    network, answered = answering.segmenters["selector"].network, []
    encode = network.encode_image

    def wait_for_answers(image):
        end = time.monotonic() + 20
        while encoded and len(answered) < 3 and time.monotonic() < end:
            answered[:] = [one.number for one in answering.said if isinstance(one, Answer)]
            time.sleep(0.005)
        return encode(image)

    monkeypatch.setattr(network, "encode_image", wait_for_answers)
    images = [np.roll(SCENES[0], 8 * k, axis=0) for k in range(5)]
    got = answer(answering, *(job(k, image) for k, image in enumerate(images)))
    assert encoded == [3, 2] and sorted(answered) == [0, 1, 2] and all(isinstance(one, Answer) for one in got.values())


def test_what_becomes_late_while_others_are_answered_is_not_computed(answering, encoded, monkeypatch):
    monkeypatch.setattr(Prepared, "is_late", property(lambda one: bool(encoded) and one.job.number > 2))
    got = answer(answering, *(job(k, np.roll(SCENES[1], 8 * k, axis=0)) for k in range(5)))
    assert encoded == [3] and [getattr(got[k], "code", "") for k in range(5)] == ["", "", "", "timeout", "timeout"]


def test_a_request_with_many_expressions_ends_when_it_is_late(answering, monkeypatch):
    monkeypatch.setattr("refseg.inference.chunks.PIXELS_AT_ONCE", 1)  # one expression at once
    fused, network = [], answering.segmenters["selector"].network
    fuse = type(network).fuse
    monkeypatch.setattr(type(network), "fuse", lambda *given: fused.append(1) or fuse(*given))
    monkeypatch.setattr(Prepared, "is_late", property(lambda one: len(fused) >= 2))
    got = answer(answering, job(1, SCENES[2], ["the ring", "the star", "the square", "the circle"]))[1]
    assert got.code == "timeout" and len(fused) == 2


def test_few_results_wait_to_be_encoded(answering, monkeypatch):
    now, most, encode = [], [], answering_module.encode_result

    def slow(*given):
        now.append(1)
        most.append(len(now))
        time.sleep(0.02)
        now.pop()
        return encode(*given)

    monkeypatch.setattr(answering_module, "encode_result", slow)
    monkeypatch.setattr(answering, "_unwritten", MemoryBudget(1))
    got = answer(answering, job(1, SCENES[0], ["the ring", "the star", "the square", "the circle"]))[1]
    assert [one["expression"] for one in json.loads(got.body)] == ["the ring", "the star", "the square", "the circle"]
    assert most == [1] * 4


def test_overlays_of_one_answer_have_a_bound(answering, monkeypatch):
    setup = Setup(("selector",), "cpu", Limits(megapixels=SCENES[0][..., 0].size / 1e6))
    monkeypatch.setattr(answering, "setup", setup)
    with pytest.raises(Problem, match="overlays of 9 expressions have 0.1 megapixels, at most 0.13"):
        answering.read(job(1, SCENES[0], ["the ring"] * 9, format=Format.OVERLAY))
    for form, count in ((Format.OVERLAY, 8), (Format.MASK, 9), (Format.JSON, 9)):
        assert answering.read(job(1, SCENES[0], ["the ring"] * count, format=form)).kind == "PNG"


def test_what_waits_is_one_batch_up_to_its_size(loaded, answering):
    for number in range(5):
        answering.prepare(job(number, SCENES[number % 4]))
    while len(answering._waiting) < 5:
        time.sleep(0.005)
    loop = threading.Thread(target=answering.loop)
    loop.start()
    while sum(isinstance(one, BatchDone) for one in answering.said) < 2:
        time.sleep(0.005)
    answering.stop()
    loop.join()
    assert [one.images for one in answering.said if isinstance(one, BatchDone)] == [3, 2]


def test_without_named_weights_an_image_gets_those_that_know_it(answering, monkeypatch):
    setup = Setup(("selector", "reader:finder=selector"), "cpu", Limits(), by_image=True)
    monkeypatch.setattr(answering, "setup", setup)
    noise = np.random.default_rng(0).integers(0, 255, (100, 120, 3), np.uint8)
    got = answer(answering, job(1, SCENES[0], weights=None), job(2, noise, weights=None), job(3, noise))
    (read,) = json.loads(got[2].body)
    assert read["reading"] and ResultFacts(**read).model_dump(mode="json", exclude_unset=True) == read
    assert [got[k].weights for k in (1, 2, 3)] == ["selector", "reader:finder=selector", "selector"]


@pytest.mark.parametrize(
    ("caller", "served", "way_out"),
    [
        ("http", ["selector", "reader"], "weights=reader"),
        ("page", ["selector", "reader"], "'reader' under Weights"),
        ("page", ["selector"], "'reader' (not here yet: refseg serve --weights reader)"),
        ("http", ["selector"], "'reader' (not here yet: refseg serve --weights reader)"),
    ],
)
def test_warnings_name_the_ways_out_of_who_asks(answering, monkeypatch, caller, served, way_out):
    monkeypatch.setattr(answering, "setup", Setup(tuple(served), "cpu", Limits()))
    noise = np.random.default_rng(0).integers(0, 255, (100, 120, 3), np.uint8)
    got = answer(answering, job(1, noise, caller=caller, words=True), job(2, SCENES[0], caller="http", words=False))
    (strange,), (known,) = (json.loads(got[k].body) for k in (1, 2))
    assert strange["warnings"][0].endswith(way_out) and not known["warnings"]
    assert ("words" in strange, "words" in known) == (True, False)


def test_boxes_of_detectors_are_as_the_schema_says():
    told = Candidate((1.0, 2.0, 30.5, 40.25), 0.5, True).to_dict()
    assert CandidateFacts(**told).model_dump(mode="json") == told


class Features:
    def __init__(self, size):
        self.maps = {"fine": [torch.zeros(size, dtype=torch.uint8)]}


def kept(size, count=1):
    from refseg.inference.segmenter import EncodedImage

    together = EncodedImages(None, [], Features(size), [None] * count)
    return [EncodedImage(together, place) for place in range(count)]


def test_encodings_are_bounded_and_the_latest_ones_stay():
    encodings, first, second = Encodings(250), kept(100, 2), kept(100)
    encodings.put("a", ["1", "2"], first)
    encodings.put("a", ["3"], second)
    assert encodings.size == 200 and encodings.get("a", "1") is first[0] and encodings.get("b", "1") is None
    encodings.put("a", ["4"], kept(100))
    assert encodings.get("a", "3") is None and encodings.get("a", "2") is first[1] and len(encodings) == 3
    first[0].together.features.maps["fine"].append(np.zeros(200, np.uint8))  # as some networks do while they answer
    encodings.put("a", ["1"], first[:1])
    assert len(encodings) == 0 and encodings.size == 0


def test_images_that_were_encoded_together_are_measured_once(monkeypatch):
    measured, images = [], kept(10, 5)
    monkeypatch.setattr("refseg.service.encodings.held_bytes", lambda one, seen: measured.append(one) or 10)
    encodings = Encodings(100)
    encodings.put("a", list("12345"), images)
    encodings.put("a", list("15"), [images[0], images[4]])
    assert measured == [images[0].together] * 2 and len(encodings) == 5 and encodings.size == 10


def test_what_functions_hold_is_counted():
    array = np.zeros(100, np.uint8)
    features = Features(10)
    for function in (partial(len, array), partial(max, key=array), lambda: array, partial(features.__init__, array)):
        assert held_bytes(function) == 100 + 10 * (getattr(function, "func", None) == features.__init__)


class FeaturesOfSam(Masker):
    """A masker with a feature map of 5000 bytes."""

    device = torch.device("cpu")

    def _encode(self, image):
        return MaskerFeatures([torch.zeros(1, 5000, dtype=torch.uint8)], (8, 8))

    def _masks(self, seen, image, boxes):
        return torch.ones(len(boxes), 8, 8)


class ScorerOfBytes(RegionScorer):
    """A scorer whose features have 300 bytes."""

    def _image_features(self, crops):
        return torch.zeros(len(crops), 75)

    _text_features = _image_features


class OneDog(Finder):
    name, classes, threshold = "one_dog", ("dog",), 0.5

    def __init__(self, masker):
        self.masker = masker

    def find(self, image, threshold=None):
        draw = mask_drawer(self.masker, image)
        return [Detection((2.0, 2.0, 30.0, 30.0), "dog", 0.9, "one_dog", partial(draw, (2.0, 2.0, 30.0, 30.0)))]


def test_what_models_of_a_reader_compute_of_an_image_is_counted():
    finder, scorer = OneDog(ModelMasker(FeaturesOfSam(None, None))), ScorerOfBytes(None, None)
    scorer.model = SimpleNamespace(logit_scale=torch.zeros(()))
    image = np.zeros((40, 50, 3), np.uint8)
    found = find_objects(finder, image, scorer.for_image(image))
    network: set[int] = set()
    held_bytes([finder, scorer], network)
    before = held_bytes(found, set(network))
    found.mask(0)
    found.score_regions("sleeping", found.objects.objects)
    assert before == image.nbytes
    assert held_bytes(found, set(network)) == image.nbytes + 5000 + 40 * 50 + 300 * 3  # of a crop and two sentences


def test_a_network_is_not_counted_as_memory_of_its_features():
    features, network = Features(10), torch.nn.Linear(10, 10)
    features.network = network
    seen: set[int] = set()
    assert held_bytes(network, seen) == 440 and held_bytes(features, seen) == 10
