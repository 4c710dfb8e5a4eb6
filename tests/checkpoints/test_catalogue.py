import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file

from refseg.checkpoints import catalogue
from refseg.checkpoints.catalogue import CATALOGUE, Published, find_published, installed, store
from refseg.checkpoints.io import load_checkpoint
from refseg.conversion.fetch import download, get
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.files import download as downloads


@dataclass
class Host:
    """A file host that can be asked for a part of the file, breaks off and forgets as told."""

    content: bytes = b""
    status: int = 200
    type: str = "application/octet-stream"
    knows_ranges: bool = True
    breaks: list[int] = field(default_factory=list)  # bytes after which the next answers end
    stalls: list[int] = field(default_factory=list)  # bytes after which the next answers stop for ever
    excess: bytes = b""  # that it sends without having announced it
    range_sent: str = "bytes {first}-{last}/{size}"
    range_sent_of_parts: str = ""
    etag: str = ""
    asked: list[str | None] = field(default_factory=list)
    link: str = ""


@pytest.fixture
def host() -> Iterator[Host]:
    host, stopped = Host(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            host.asked.append(wanted)
            first, last = 0, len(host.content) - 1
            if wanted and host.knows_ranges and host.status == 200:
                start, end = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted).groups()
                first, last = int(start), min(int(end or last), last)
                self.send_response(206)
                form = (first and host.range_sent_of_parts) or host.range_sent
                said = form.format(first=first, last=last, size=len(host.content))
                self.send_header("Content-Range", said)
            else:
                self.send_response(host.status)
            body = host.content[first : last + 1]
            if host.excess and len(body) > 1:
                body += host.excess
            else:
                self.send_header("Content-Length", str(len(body)))
            if host.etag:
                self.send_header("ETag", host.etag)
            self.send_header("Content-Type", host.type)
            self.end_headers()
            if len(body) > 1 and host.breaks:  # the first question, for one byte, is answered in full
                body = body[: host.breaks.pop(0)]
            if len(body) > 1 and host.stalls:
                self.wfile.write(body[: host.stalls.pop(0)])
                stopped.wait()
                return
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.link = f"http://127.0.0.1:{server.server_port}/release.pth"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield host
    stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(downloads, "_TIMEOUT", 1.0)
    return tmp_path / "cache"


def entry(where: str) -> Published:
    return Published(
        preset="tiny_narrow",
        data="RefCOCO",
        split="refcoco",
        where=where,
        reported="oIoU 1.00",
        conversion="tiny",
    )


def test_names_are_unique_and_say_network_and_data():
    names = [row.name for row in CATALOGUE]
    assert len(set(names)) == len(names)
    assert {"dmmi_swin_base/refzom", "dmmi_resnet101/refcocog_umd", "lavt_swin_base/refcoco"} <= set(names)
    assert all(re.fullmatch(r"[a-z0-9_]+/[a-z0-9_+]+", name) for name in names)


def test_what_can_be_converted_is_a_preset_of_ours_with_a_conversion():
    from refseg.conversion.official_layout import find_layout
    from refseg.networks import PRESETS

    for row in CATALOGUE:
        if row.conversion:
            assert PRESETS[row.preset] in find_layout(row.conversion).networks


def test_a_drive_id_becomes_a_link_to_the_file_and_one_for_people():
    row = find_published("dmmi_swin_base/refzom")
    id_ = "1Ut_E-Fru0bCmjtaC2YhgOLZ7eJorOOpi"
    assert row.link == f"https://drive.usercontent.google.com/download?id={id_}&export=download&confirm=t"
    assert row.by_hand == f"https://drive.google.com/file/d/{id_}/view"


def test_an_unknown_name_is_refused_with_the_choices():
    with pytest.raises(InvalidInput, match="choose one of: dmmi_resnet101/refcocog_umd, .* shows all"):
        find_published("dmmi/refzom")


def test_downloaded_weights_are_converted_into_the_store(tiny_release, host, cache):
    host.content = tiny_release.file.read_bytes()
    folder, report = get(entry(host.link))
    assert folder == store("tiny_narrow/refcoco") == cache / "weights" / "tiny_narrow" / "refcoco"
    assert report.fits
    assert load_file(folder / "model.safetensors").keys() == tiny_release.weights.keys()
    checkpoint = load_checkpoint(folder)
    assert checkpoint.knows == "photographs of COCO (RefCOCO)"
    for said in ("oIoU 1.00", "480 x 480", "Licence of the weights | not stated", host.link):
        assert said in checkpoint.card
    assert list((cache / "downloads").iterdir()) == []


def test_a_broken_connection_is_taken_up_where_it_broke(tiny_release, host):
    host.content, host.breaks = tiny_release.file.read_bytes(), [1000, 30_000]
    assert download(entry(host.link)).read_bytes() == host.content
    assert host.asked == ["bytes=0-0", None, "bytes=1000-", "bytes=31000-"]


def test_the_next_try_goes_on_where_the_last_one_stopped(host, cache):
    host.content, host.breaks = bytes(range(256)) * 40, [5000, *[0] * 6]
    with pytest.raises(MissingFile, match="0 MB are here, the same command goes on .* --file tiny_narrow-refcoco.pth"):
        download(entry(host.link))
    host.asked.clear()
    host.breaks.clear()
    assert download(entry(host.link)).read_bytes() == host.content
    assert host.asked == ["bytes=0-0", "bytes=5000-"]


def test_a_host_that_knows_no_ranges_starts_over(host):
    host.content, host.breaks, host.knows_ranges = bytes(range(256)) * 40, [5000], False
    assert download(entry(host.link)).read_bytes() == host.content


BY_HAND = (
    r"download it by hand from http://127.* and run: refseg weights get tiny_narrow/refcoco --file tiny_narrow-ref"
)


def part_of(host: Host, cache) -> Path:
    """The unfinished file of a download that broke off, of the first 5000 bytes."""
    host.breaks = [5000, *[0] * 6]
    with pytest.raises(MissingFile, match="same command goes on"):
        download(entry(host.link))
    host.breaks.clear()
    (part,) = (cache / "downloads").iterdir()
    assert part.stat().st_size == 5000
    return part


@pytest.mark.parametrize("change", ["size", "etag", "name"])
def test_what_is_left_of_another_file_is_thrown_away(host, cache, change):
    host.content = bytes(range(256)) * 40
    part = part_of(host, cache)
    if change == "size":
        host.content = host.content[::-1] + b"more"
    elif change == "etag":
        host.content, host.etag = host.content[::-1], '"2"'
    else:
        part.rename(part.with_name("tiny_narrow-refcoco-0123abc.part"))
    assert download(entry(host.link)).read_bytes() == host.content
    assert [file.name for file in (cache / "downloads").iterdir()] == ["tiny_narrow-refcoco.pth"]


def test_more_than_was_announced_is_not_kept(host, cache):
    host.content, host.excess = b"0123456789" * 100, b"x" * 10**6
    with pytest.raises(MissingFile, match=f"sends more than it announced.*{BY_HAND}"):
        download(entry(host.link))
    assert sum(file.stat().st_size for file in (cache / "downloads").iterdir()) == 0


def test_a_file_larger_than_any_is_not_asked_for(host, cache):
    host.content, host.range_sent = b"0123456789", "bytes {first}-{last}/99999999999999"
    with pytest.raises(MissingFile, match="announces 100,000 GB"):
        download(entry(host.link))
    assert not cache.exists() and len(host.asked) == 1


def test_a_disk_without_room_is_told_before_the_download(host, monkeypatch):
    host.content = b"0123456789" * 100
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: SimpleNamespace(free=999))
    with pytest.raises(UnwritableOutput, match="No space left.*set REFSEG_CACHE"):
        download(entry(host.link))
    assert len(host.asked) == 1


@pytest.mark.parametrize("said", ["bytes 0-0/*", "bytes", "pages 1-2/3", "bytes 0-0/\xb2", ""])
def test_a_range_that_says_nothing_is_no_fault(host, said):
    host.content, host.range_sent = b"0123456789" * 100, said
    assert download(entry(host.link)).read_bytes() == host.content


def test_another_part_than_was_asked_for_is_refused(host, cache):
    host.content = bytes(range(256)) * 40
    part_of(host, cache)
    host.range_sent_of_parts = "bytes 7-{last}/{size}"
    with pytest.raises(MissingFile, match="another part than it was asked for"):
        download(entry(host.link))


def test_a_server_that_stalls_is_given_up_after_a_while_in_one_line(host, capfd, caplog):
    host.content, host.stalls = bytes(range(256)) * 40, [5000, *[0] * 6]
    with pytest.raises(MissingFile, match=r"sent nothing for 1 s; 0 MB are here, the same command goes on") as caught:
        download(entry(host.link))
    assert "\n" not in str(caught.value) and capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


@pytest.mark.parametrize("patience", [-1.0, 60.0])
def test_a_server_that_drips_is_given_up(host, monkeypatch, patience):
    monkeypatch.setattr(downloads, "_STALL_SECONDS", patience)
    host.content, host.breaks = bytes(range(256)) * 40, [1] * 20
    with pytest.raises(MissingFile, match="its server (sent 1 byte in -1 s|breaks off); 0 MB are here"):
        download(entry(host.link))
    assert len(host.asked) < 10


@pytest.mark.parametrize("size_is_known", [True, False])
def test_half_a_file_is_not_taken_for_a_whole_one(host, size_is_known):
    host.content, host.breaks = bytes(range(256)) * 40, [5000]
    host.range_sent = host.range_sent if size_is_known else "bytes"
    if size_is_known:
        assert download(entry(host.link)).read_bytes() == host.content
    else:
        host.knows_ranges = False
        assert download(entry(host.link)).read_bytes() == host.content


def test_an_archive_that_arrives_with_other_bytes_is_thrown_away(tiny_release, host, cache):
    content = bytearray(tiny_release.file.read_bytes())
    content[len(content) // 2] ^= 1
    host.content = bytes(content)
    with pytest.raises(MissingFile, match=f"what its server sends is damaged .*{BY_HAND}"):
        download(entry(host.link))
    assert list((cache / "downloads").iterdir()) == []


def test_a_download_that_was_done_is_not_asked_for_again(tiny_release, host, cache):
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / "tiny_narrow-refcoco.pth").write_bytes(tiny_release.file.read_bytes())
    get(entry(host.link))
    assert host.asked == []


def test_a_web_page_in_the_place_of_the_file_is_told(host, cache):
    host.content, host.type = b"<!DOCTYPE html>too many users", "text/html; charset=utf-8"
    with pytest.raises(MissingFile, match=f"sends a web page.*{BY_HAND}"):
        get(entry(host.link))
    assert not cache.exists()


def test_a_web_page_that_pretends_to_be_a_file_is_told(tiny_release, host):
    host.content = b"<!DOCTYPE html>too many users"
    with pytest.raises(InvalidInput, match=r"is a web page.*delete .*\.pth to download it again"):
        get(entry(host.link))


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_host_that_refuses_is_told(host, status, cache):
    host.status = status
    with pytest.raises(MissingFile, match=f"answers {status}.*{BY_HAND}"):
        get(entry(host.link))
    assert not cache.exists()


def test_without_a_network_it_is_told_what_to_do_by_hand(cache):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(MissingFile, match=BY_HAND):
        get(entry(f"http://127.0.0.1:{port}/release.pth"))
    assert not cache.exists()


def test_the_hub_s_offline_switch_is_obeyed(host, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingFile, match="offline"):
        get(entry(host.link))
    assert host.asked == []


def test_a_share_is_fetched_by_hand():
    with pytest.raises(
        MissingFile, match="no direct link; download it by hand from Baidu share .* --file tiny_narrow-refcoco.pth"
    ):
        get(entry("Baidu share https://pan.baidu.com/s/0"))


def test_weights_that_nobody_reads_are_refused_before_anything_is_asked_for(host):
    with pytest.raises(InvalidInput, match="this version of refseg does not read its weights"):
        get(entry(host.link).replace(conversion=None))
    assert host.asked == []


def test_a_file_that_is_here_is_converted_and_left_alone(tiny_release, tmp_path):
    folder, _ = get(entry("Baidu share"), folder=tmp_path / "mine", file=tiny_release.file)
    assert folder == tmp_path / "mine" and load_checkpoint(folder).name == "tiny"
    assert tiny_release.file.is_file()


def test_a_file_of_another_network_is_refused(tiny_release, tmp_path):
    with pytest.raises(InvalidInput, match="holds a tiny_narrow, not a tiny_wide"):
        get(entry("share").replace(preset="tiny_wide"), file=tiny_release.file)


def test_a_cache_that_cannot_be_written_is_told(host, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "file"))
    host.content = b"0123"
    with pytest.raises(UnwritableOutput, match="set REFSEG_CACHE"):
        get(entry(host.link))


def test_installed_weights_are_found_by_name(tiny_release, monkeypatch):
    row = entry("Baidu share")
    monkeypatch.setattr(catalogue, "CATALOGUE", (row,))
    assert installed("selector") is None
    with pytest.raises(MissingFile, match="refseg weights get tiny_narrow/refcoco"):
        installed(row.name)
    folder, _ = get(row, file=tiny_release.file)
    assert installed(row.name) == folder
