"""The HTTP interface, with the bundled weights."""

import base64
import io
import json
import zipfile
from dataclasses import fields
from http import HTTPStatus
from typing import get_args

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

import refseg
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.inference.segmenter import Segmenter
from refseg.service import openapi
from refseg.service.limits import Limits
from refseg.service.messages import WeightsFacts
from refseg.service.problems import Code
from refseg.service.schemas import (
    BatchAnswer,
    ProblemDetails,
    SegmentAnswer,
    WeightsAnswer,
    WeightsDescription,
)
from refseg.service.worker import run

LIMITS = Limits(megabytes=0.5, megapixels=0.1, expressions=3, characters=40, images=3, queue=8)


@pytest.fixture(scope="module")
def client(serve):
    with serve(run, LIMITS) as client:
        yield client


@pytest.fixture(scope="module")
def scenes() -> list[bytes]:
    return [png(scene.image) for scene in DrawnScenes("test", 3)]


def png(pixels, kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def post(client: TestClient, *images: bytes, path="/v1/segment", **fields):
    field = "images" if path.endswith("batch") else "image"
    fields = {"expressions": ["the pentagons"], **fields}
    return client.post(path, files=[(field, (f"{k}.png", one)) for k, one in enumerate(images)], data=fields)


def metric(client: TestClient, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0.0


def plain(result: dict) -> dict:
    return json.loads(json.dumps({**result, "exists": round(result["exists"], 4)}))


def test_an_answer_is_that_of_the_library_with_what_it_comes_from(client, scenes):
    answer = post(client, scenes[0], expressions=["the pentagons", "the purple ring"]).json()
    expected = refseg.load()(scenes[0], ["the pentagons", "the purple ring"])
    assert [plain(one) for one in answer["results"]] == [plain(one.to_dict()) for one in expected]
    assert answer["weights"] == "selector" and answer["version"] == refseg.__version__ and answer["seconds"] > 0
    assert answer["sha256"] == client.get("/v1/weights").json()["weights"][0]["sha256"]


def test_json_with_base64_is_answered_as_a_form_is(client, scenes):
    form = post(client, scenes[0]).json()
    text = base64.b64encode(scenes[0]).decode()
    for image in (text, f"data:image/png;base64,{text}"):
        answer = client.post("/v1/segment", json={"image": image, "expressions": "the pentagons"}).json()
        assert answer["results"] == form["results"] and answer["image_sha256"] == form["image_sha256"]


def test_masks_and_overlays_are_pictures_and_of_several_expressions_an_archive(client, scenes):
    expected = refseg.load()(scenes[0], "the pentagons")
    mask = post(client, scenes[0], format="mask")
    assert mask.headers["content-type"] == "image/png" and mask.headers["x-refseg-weights"] == "selector"
    assert (np.asarray(Image.open(io.BytesIO(mask.content))) == expected.mask * 255).all()
    both = post(client, scenes[0], expressions=["the pentagons", "the ring"], format="overlay")
    archive = zipfile.ZipFile(io.BytesIO(both.content))
    assert archive.namelist() == ["1.png", "2.png"]
    assert Image.open(archive.open("1.png")).size == expected.picture().size
    photograph = png(DrawnScenes("test", 1)[0].image, "JPEG")
    assert post(client, photograph, format="overlay").headers["content-type"] == "image/jpeg"


def test_weights_of_words_are_told_to_those_who_ask_for_them(client, scenes):
    words = post(client, scenes[0], words="true").json()["results"][0]["words"]
    expected = Segmenter(refseg.load().checkpoint, view_words=True)(scenes[0], "the pentagons")
    assert words["pieces"] == ["the", "pentagons"] and len(words["rows"]) == len(expected.words.rows) > 0
    for row, other in zip(words["rows"], expected.words.to_dict()["rows"], strict=True):
        assert row["name"] == other["name"] and row["values"] == pytest.approx(other["values"], abs=1e-3)
    assert "words" not in post(client, scenes[0]).json()["results"][0]
    picture = post(client, scenes[0], words="true", format="mask")
    assert picture.status_code == 422 and "words are told in json" in picture.json()["detail"]


def test_options_may_stand_in_the_address_but_not_twice(client, scenes):
    pictures = {"image": ("a.png", scenes[0])}
    found = client.post("/v1/segment?format=mask", files=pictures, data={"expressions": ["the ring"]})
    assert found.headers["content-type"] == "image/png"
    twice = client.post("/v1/segment?format=mask", files=pictures, data={"expressions": ["x"], "format": "json"})
    assert twice.status_code == 422 and "format is given twice" in twice.json()["detail"]


def test_the_threshold_decides(client, scenes):
    found = [post(client, scenes[0], threshold=t).json()["results"][0] for t in (0.5, 0.999999)]
    assert [one["found"] for one in found] == [True, False] and found[0]["exists_threshold"] == 0.5


def test_an_image_that_was_asked_about_is_not_encoded_again(client):
    image = png(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    before = metric(client, "refseg_encodings_total", source="new")
    answers = [post(client, image, expressions=[text]).json()["results"][0] for text in ("the star", "the ring")]
    assert metric(client, "refseg_encodings_total", source="new") == before + 1
    assert answers[0]["warnings"] and [one["size"] for one in answers] == [[60, 80]] * 2


def test_one_bad_image_does_not_fail_its_batch(client, scenes):
    answer = post(client, scenes[0], scenes[1][:200], scenes[2], path="/v1/segment/batch").json()
    assert ["results" in one for one in answer["images"]] == [True, False, True]
    assert answer["images"][1]["problem"]["status"] == 422 and answer["images"][1]["name"] == "1.png"
    assert answer["images"][0]["results"] == post(client, scenes[0]).json()["results"]


def test_images_of_a_batch_may_have_their_own_expressions(client, scenes):
    texts = [base64.b64encode(scene).decode() for scene in scenes[:2]]
    images = [{"image": texts[0], "expressions": ["the ring"]}, {"image": texts[1], "name": "b"}]
    answer = client.post("/v1/segment/batch", json={"images": images, "expressions": ["the star"]}).json()
    assert [one["results"][0]["expression"] for one in answer["images"]] == ["the ring", "the star"]
    lacking = client.post("/v1/segment/batch", json={"images": images})
    assert lacking.status_code == 422 and "images.1 has no expressions" in lacking.json()["detail"]


JSON, NOT_A_NUMBER = "application/json", b'{"image": "", "expressions": ["x"], "threshold": NaN}'
LARGE, TRUNCATED = png(np.zeros((400, 300, 3), np.uint8)), png(np.zeros((90, 90, 3), np.uint8))[:60]


@pytest.mark.parametrize(
    ("status", "said", "request_"),
    [
        (400, "no JSON", {"content": b"[1", "headers": {"content-type": JSON}}),
        (400, "no JSON object", {"json": [1]}),
        (400, "no JSON", {"content": b"[" * 100_000, "headers": {"content-type": JSON}}),
        (400, "boundary", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}),
        (413, "larger than the 0.5 MB", {"files": {"image": b"0" * 700_000}, "data": {"expressions": ["x"]}}),
        (413, "0.1 megapixels (300 x 400), at most 0.1", {"files": {"image": LARGE}, "data": {"expressions": ["x"]}}),
        (415, "form-urlencoded' cannot be read; send multipart", {"data": {"expressions": "x"}}),
        (415, "unknown format; give a PNG", {"files": {"image": b"text"}, "data": {"expressions": ["x"]}}),
        (415, "HEIC", {"files": {"image": b"\0\0\0\x18ftypheic" + bytes(99)}, "data": {"expressions": ["x"]}}),
        (422, "cannot be decoded", {"files": {"image": TRUNCATED}, "data": {"expressions": ["x"]}}),
        (422, "the image is empty", {"files": {"image": ("a.png", b"")}, "data": {"expressions": ["x"]}}),
        (422, "expressions: is missing", {"files": {"image": TRUNCATED}}),
        (422, "did you mean expressions?", {"files": {"image": TRUNCATED}, "data": {"expression": "x"}}),
        (422, "image is a text; give a file", {"files": {"a": b""}, "data": {"image": "x"}}),
        (422, "no base64", {"json": {"image": "?", "expressions": ["x"]}}),
        (422, "image is no text", {"json": {"image": 5, "expressions": ["x"]}}),
        (422, "image is no text", {"json": {"image": [[]], "expressions": ["x"]}}),
        (422, "image is no text", {"json": {"image": [], "expressions": ["x"]}}),
        (422, "4 expressions", {"json": {"image": "", "expressions": list("abcd")}}),
        (422, "41 characters", {"json": {"image": "", "expressions": ["x" * 41]}}),
        (422, "expression '' is empty", {"json": {"image": openapi.WHITE, "expressions": ["", "x"]}}),
        (422, "did you mean selector?", {"json": {"image": "", "expressions": ["x"], "weights": "selectr"}}),
        (422, "threshold: input should be less than 1", {"json": {"image": "", "expressions": ["x"], "threshold": 2}}),
        (422, "threshold: input should be a finite", {"content": NOT_A_NUMBER, "headers": {"content-type": JSON}}),
        (422, "format", {"json": {"image": "", "expressions": ["x"], "format": "gif"}}),
        (422, "expressions.0", {"json": {"image": openapi.WHITE, "expressions": [5]}}),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_a_problem_of_one_line(client, status, said, request_):
    answer = client.post("/v1/segment", **request_)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert said in problem["detail"] and "\n" not in problem["detail"] and problem["title"] and problem["code"]
    assert answer.headers["content-type"] == "application/problem+json" and as_described(ProblemDetails, problem)
    assert (
        problem["code"] in openapi.SEGMENT["responses"][status]["content"][answer.headers["content-type"]]["examples"]
    )


def test_unknown_paths_and_methods_are_problems_too(client):
    assert client.get("/v2").json()["code"] == "not_found"
    wrong = client.get("/v1/segment")
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST" and "use POST" in wrong.json()["detail"]
    assert "curl -F" in client.get("/").text and client.head("/readyz").status_code == 200


def test_a_batch_has_limits_of_its_own(client, scenes):
    many = post(client, *scenes, scenes[0], path="/v1/segment/batch")
    assert many.status_code == 422 and "4 images; at most 3" in many.json()["detail"]
    pictures = post(client, scenes[0], path="/v1/segment/batch", format="mask")
    assert pictures.status_code == 422 and "answered as json" in pictures.json()["detail"]


def test_the_examples_of_the_interface_work_and_answers_look_like_theirs(client):
    described = client.get("/openapi.json").json()["paths"]
    for path, example in (("/v1/segment", openapi.SEGMENT_ANSWER), ("/v1/segment/batch", openapi.BATCH_ANSWER)):
        body = described[path]["post"]["requestBody"]["content"]
        for one in body.values():  # an option stands in the address or in the body
            options = {parameter["name"] for parameter in described[path]["post"]["parameters"]}
            assert {"weights", "threshold"} <= options <= one["schema"]["properties"].keys()
        content = body["application/json"]
        answer = client.post(path, json=content["example"])
        assert answer.status_code == 200 and list(answer.json()) == list(example), answer.text
        (shown, *_), (got, *_) = (one.get("images") or [one] for one in (example, answer.json()))
        assert [list(one) for one in (shown["results"][0], shown)] == [list(one) for one in (got["results"][0], got)]
        assert described[path]["post"]["responses"]["503"]["headers"]["Retry-After"]


def as_described(model: type[BaseModel], body) -> bool:
    """Whether a model takes a body, and the body has no field that the model lacks."""
    return model.model_validate_json(json.dumps(body)).model_dump(mode="json", exclude_unset=True) == body


def test_answers_and_their_examples_are_as_the_schemas_say(client, scenes):
    described = client.get("/openapi.json").json()
    answers = {
        "/v1/segment": (SegmentAnswer, post(client, scenes[0], words="true")),
        "/v1/segment/batch": (BatchAnswer, post(client, scenes[0], scenes[1][:200], path="/v1/segment/batch")),
    }
    for path, (model, answer) in answers.items():
        content = described["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
        assert content["schema"]["$ref"] == f"#/components/schemas/{model.__name__}"
        assert as_described(model, content["example"]) and as_described(model, answer.json())
        schema = described["components"]["schemas"][model.__name__]
        assert set(schema["properties"]) == set(answer.json())
        assert set(schema["required"]) == {name for name, one in model.model_fields.items() if one.is_required()}
    assert as_described(WeightsAnswer, client.get("/v1/weights").json())
    assert set(WeightsDescription.model_fields) == {one.name for one in fields(WeightsFacts)}
    result = described["components"]["schemas"]["ResultFacts"]
    assert "words" in result["properties"] and "null" not in json.dumps(result["properties"]["words"])


def test_each_problem_has_an_example_of_its_own(client):
    paths, seen = client.get("/openapi.json").json()["paths"], {}
    for operation in (operation for path in paths.values() for operation in path.values()):
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                assert media_type != "application/json" or content["schema"]
                if media_type == "application/problem+json":
                    assert content["examples"], status
                    seen |= {(status, code): one["value"] for code, one in content["examples"].items()}
    assert {code for _, code in seen} == set(get_args(Code)) - {"not_found", "method_not_allowed"}
    assert len({one["detail"] for one in seen.values()}) == len(seen)
    for (status, code), one in seen.items():
        assert as_described(ProblemDetails, one) and (str(one["status"]), one["code"]) == (status, code)
        assert one["title"] == HTTPStatus(int(status)).phrase


def test_metrics_count_requests_batches_and_problems(client, scenes):
    before = metric(client, "refseg_problems_total", code="not_valid")
    post(client, scenes[0], weights="none")
    assert metric(client, "refseg_problems_total", code="not_valid") == before + 1
    for name in ("requests_total", "request_seconds_count", "batch_images_sum", "batch_seconds_count"):
        assert metric(client, f"refseg_{name}") > 0
    assert metric(client, "refseg_queue") == 0 and metric(client, "refseg_queue_limit") == LIMITS.queue
    assert metric(client, "refseg_workers_ready") == 1


def test_nothing_of_an_upload_lies_on_the_disk(client, monkeypatch, scenes):
    def forbidden(*_, **__):
        raise AssertionError("a file was made")

    monkeypatch.setattr("starlette.formparsers.MultiPartParser.spool_max_size", 1000)  # a file beyond that
    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(f"tempfile.{name}", forbidden)
    assert post(client, scenes[0] + bytes(400_000)).status_code == 200


def test_a_token_is_asked_for_by_all_but_probes(serve, scenes):
    with serve(run, token="a-token-of-some-length") as client:
        for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "Basic a-token-of-some-length"}):
            refused = client.get("/v1/weights", headers=headers)
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert post(client, scenes[0]).status_code == 401
        assert client.get("/metrics").status_code == 401 and client.get("/healthz").status_code == 200
        assert client.get("/v1/weights", headers={"authorization": "bearer a-token-of-some-length"}).status_code == 200


def test_other_pages_may_read_answers_only_where_that_is_allowed(client, serve, scenes):
    headers = {"origin": "https://example.org"}
    assert "access-control-allow-origin" not in client.get("/v1/weights", headers=headers).headers
    with serve(run, origins=["https://example.org"]) as open_client:
        allowed = open_client.get("/v1/weights", headers=headers).headers
        assert allowed["access-control-allow-origin"] == "https://example.org"
