"""How fast weights answer: what is measured, and mistakes that are told."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from refseg.cli import app
from refseg.errors import InvalidInput, RefsegError
from refseg.inspection import answer_speed
from refseg.inspection.answer_speed import COLD, COUNTS, LOADED, measure_answers

CASES = {f"an image and {count} expression{'s' * (count > 1)}" for count in COUNTS}


def test_every_case_is_measured_in_turn_and_told_in_a_table(checkpoint_folder, monkeypatch):
    starts, exported = [], SimpleNamespace(graphs=SimpleNamespace(entry=SimpleNamespace(name="onnx")))
    monkeypatch.setattr(answer_speed, "load_exported", lambda *_: exported)
    monkeypatch.setattr(answer_speed, "_answer_in_new_process", lambda *given: starts.append(given) or (2.5, 3 * 10**8))
    measured = measure_answers(str(checkpoint_folder), runs=3, cold_runs=2, device="cpu", expressions=["the star"])
    assert set(measured.seconds) == {COLD, LOADED, *CASES, "16 expressions about an encoded image"}
    assert {name: len(some) for name, some in measured.seconds.items() if name in CASES} == dict.fromkeys(CASES, 3)
    assert measured.seconds[COLD] == [2.5, 2.5] and [one[2] for one in starts] == ["the star"] * 2
    lines = measured.markdown.splitlines()
    assert "| a new process | 2.50 s | 2.50 s | 2.50 s | 2 |" in lines and "a drawn scene" in lines[1]
    assert "* precision: float32" in lines and "* a new process: answers by ONNX Runtime, without torch" in lines
    assert lines[-1] == "| memory of a new process, at most | 300 MB | | | |"
    assert json.loads(json.dumps(measured.to_dict()))["memory_bytes"] == 3 * 10**8


def test_a_new_process_is_timed_and_its_memory_and_its_failure_are_told(monkeypatch):
    pixels = np.zeros((32, 32, 3), np.uint8)
    program = "import sys; sys.exit(0 if '--weights' in sys.argv else 1)"
    monkeypatch.setattr(answer_speed, "SEGMENT", ("-c", program))
    seconds, memory = answer_speed._answer_in_new_process("selector", pixels, "the star", ("--device", "cpu"), 1)
    assert seconds > 0 and memory > 1 << 20
    monkeypatch.setattr(answer_speed, "SEGMENT", ("-c", "import sys; print('error: no'); sys.exit(2)"))
    with pytest.raises(RefsegError, match="refseg segment ended with code 2: error: no"):
        answer_speed._answer_in_new_process("selector", pixels, "the star", (), 1)


def test_the_command_says_what_cannot_be_measured(tmp_path):
    for words, told in (
        (["nonsense"], "nonsense"),
        (["selector", "--image", str(tmp_path / "none.png")], "none.png"),
        (["selector", "--device", "gpu"], "unknown device 'gpu'"),
    ):
        with pytest.raises(RefsegError, match=told):
            app(["bench", *words, "--cold-runs", "0"], standalone_mode=False)
    with pytest.raises(InvalidInput, match="0 runs tell nothing; give at least 1"):
        measure_answers(runs=0)
