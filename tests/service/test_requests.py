"""Requests as they are read, without a service."""

import asyncio
import base64
import json
import threading

import pytest
from starlette.requests import Request

from refseg.service import requests
from refseg.service.limits import Limits
from refseg.service.problems import Problem


def read(body: bytes, kind: str = "application/json", reader=requests.read_segment):
    """Reads a request in an event loop of this thread."""

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    scope["headers"] = [(b"content-type", kind.encode())]
    return asyncio.run(reader(Request(scope, receive), Limits()))


@pytest.mark.parametrize(("size", "in_loop"), [(1000, True), (300_000, False)])
@pytest.mark.parametrize("name", ["_parsed", "_decoded", "_validated"])
def test_large_bodies_are_parsed_and_decoded_beside_the_event_loop(monkeypatch, name, size, in_loop):
    threads, work = [], getattr(requests, name)
    monkeypatch.setattr(requests, name, lambda *given: threads.append(threading.current_thread()) or work(*given))
    image = base64.b64encode(bytes(size)).decode()
    assert len(read(json.dumps({"image": image, "expressions": ["a"]}).encode()).image) == size
    batch = {"images": [{"image": image}], "expressions": ["a"]}
    assert len(read(json.dumps(batch).encode(), reader=requests.read_batch).images[0].image) == size
    assert [one is threading.current_thread() for one in threads] == [in_loop] * 2


@pytest.mark.parametrize(("size", "in_loop"), [(1000, True), (150_000, False)])
def test_files_of_a_form_count_together(monkeypatch, size, in_loop):
    threads, work = [], requests._validated
    monkeypatch.setattr(
        requests, "_validated", lambda *given: threads.append(threading.current_thread()) or work(*given)
    )
    part = b'--x\r\ncontent-disposition: form-data; name="images"; filename="a.png"\r\n\r\n' + bytes(size) + b"\r\n"
    text = b'--x\r\ncontent-disposition: form-data; name="expressions"\r\n\r\nthe ring\r\n--x--\r\n'
    asked = read(part * 2 + text, "multipart/form-data; boundary=x", requests.read_batch)
    assert [len(one.image) for one in asked.images] == [size] * 2
    assert [one is threading.current_thread() for one in threads] == [in_loop]


@pytest.mark.parametrize("size", [*range(9), 1000])
def test_base64_is_decoded_part_by_part(monkeypatch, size):
    monkeypatch.setattr(requests, "_BASE64_PART", 8)
    content = bytes(k % 251 for k in range(size))
    assert requests._decoded(base64.encodebytes(content).decode(), "image") == content


@pytest.mark.parametrize("text", ["QQ==QQ==", "AAAAQQ==AAAA", "Q", "QQ", "A===", "=", "?AAA", "é"])
def test_what_is_no_base64_is_told_in_parts_too(monkeypatch, text):
    monkeypatch.setattr(requests, "_BASE64_PART", 8)
    with pytest.raises(Problem, match="image is no base64"):
        requests._decoded(text, "image")


@pytest.mark.parametrize(
    ("expressions", "said"),
    [([], "no expression"), (["a"] * 33, "33 expressions about an image; at most 32"), (["a" * 501], "501 characters")],
)
def test_expressions_beyond_the_limits_are_refused(expressions, said):
    requests.check_expressions(["a" * 500] * 32, Limits())
    with pytest.raises(Problem, match=said):
        requests.check_expressions(expressions, Limits())
