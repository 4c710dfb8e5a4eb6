"""The nine minutes on a GPU: what happens to one piece costs the others nothing; pieces here are stand-ins."""

import json
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import gpu  # noqa: E402
from gpu import FAILED, FINISHED, STOPPED, Piece  # noqa: E402

STAND_INS = """
import os, signal, time

def well(record, asked, about):
    record.note(times=record.content.get("times", 0) + 1)
    record.add("fp32 1", {"seconds": 0.5, "batch": 1, "first_seconds": 1.0})
    return "finished"

def wrong(record, asked, about):
    record.add("fp32 1", {"seconds": 0.5, "batch": 1})
    raise ValueError("a reason\\nand more")

def dies(record, asked, about):
    os._exit(3)

def hangs(record, asked, about):
    record.add("fp32 1", {"seconds": 0.5, "batch": 1})
    time.sleep(600)

def train(record, asked, about):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    while not stop:
        time.sleep(0.02)
    record.note(so_far="its state is saved")
    return "stopped"
"""
PIECES = (
    Piece("rates", "wrong"),
    Piece("parity", "dies"),
    Piece("forward_slow", "hangs", ("full", "small"), 1.0),
    Piece("forward_good", "well", ("full", "small")),
    Piece("study", "well", trains=True),
    Piece("train", "train", trains=True),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The results of all pieces, and of a second run that goes on; with the seconds that each took."""
    out = tmp_path_factory.mktemp("gpu")
    (out / "gpu_pieces.py").write_text(STAND_INS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(out))  # that of the processes
        patch.setattr(gpu, "PIECES", PIECES)
        patch.setattr(gpu, "SHORTEST", 0.1)
        patch.setattr(gpu, "SLOWER", 1)
        begin = time.monotonic()
        with pytest.raises(SystemExit, match="went wrong: rates, parity, forward_slow; --resume tries them again"):
            gpu.main(["--tiny", "--minutes", "0.25", "--out", str(out / "out")])
        seconds = time.monotonic() - begin
        first = json.loads((out / "out" / "results.json").read_text())
        gpu.main(
            ["--tiny", "--minutes", "0.03", "--out", str(out / "out"), "--resume", "--only", "forward_good", "train"]
        )
        with pytest.raises(SystemExit, match="go on with --resume"):
            gpu.main(["--tiny", "--out", str(out / "out")])
        with pytest.raises(SystemExit, match="results of another device or other sizes"):
            gpu.main(["--device", "cpu", "--resume", "--out", str(out / "out")])
    return out / "out", first, seconds


def test_each_piece_is_told_apart_and_the_others_are_run(folder):
    _, first, _ = folder
    states = {name: one["state"] for name, one in first.items()}
    assert states == {
        "rates": FAILED,
        "parity": "its process ended with code 3; see log.txt",
        "forward_slow": "did not end in 1 s",
        "forward_good": FINISHED,
        "study": FINISHED,
        "train": STOPPED,
    }
    assert first["rates"]["error"] == "ValueError: a reason"
    assert first["train"]["so_far"] == "its state is saved"


def test_figures_known_before_an_error_are_kept(folder):
    _, first, _ = folder
    assert all(first[name]["cases"]["fp32 1"]["seconds"] == 0.5 for name in ("rates", "forward_slow", "forward_good"))


def test_it_ends_in_time(folder):
    assert folder[2] < 0.25 * 60


def test_what_is_finished_is_not_run_again(folder):
    out, _, _ = folder
    assert json.loads((out / "pieces" / "forward_good.json").read_text())["times"] == 1
    assert json.loads((out / "pieces" / "train.json").read_text())["state"] == STOPPED


def test_errors_are_in_the_log_with_their_traceback(folder):
    log = (folder[0] / "log.txt").read_text()
    assert "ValueError: a reason\nand more" in log and "Traceback" in log


def test_without_a_gpu_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("refseg.hardware.GPU_FILES", ())
    with pytest.raises(SystemExit, match="this machine has no GPU; --tiny tries the script"):
        gpu.main(["--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
