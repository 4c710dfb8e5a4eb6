import errno
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from refseg.errors import InvalidInput, UnwritableOutput
from refseg.training.resume_states import FORMAT, States, read_valid, unwritable, write_on_first

CONTENT = {"weights": torch.arange(50.0), "step": 3}


FABRIC = SimpleNamespace(is_global_zero=True, broadcast=lambda problem: problem)


def states(run, stage="learn"):
    return States(FABRIC, run, stage)


def written(run, step, content=CONTENT):
    states(run).write(step, content)
    return run / "state" / f"learn-step={step}.ckpt"


def newest(run, stage="learn"):
    found = states(run, stage).newest()
    return found and found[0]


def test_a_state_is_read_back_and_leaves_nothing_beside_it(tmp_path):
    path = written(tmp_path, 3)
    found, state = states(tmp_path).newest()
    assert found == path and torch.equal(state["weights"], CONTENT["weights"])
    assert list(path.parent.iterdir()) == [path]


def test_the_last_two_states_are_kept_until_the_stage_is_finished(tmp_path):
    for step in (8, 9, 10):
        written(tmp_path, step)
    assert [path.name for path in states(tmp_path).paths()] == ["learn-step=10.ckpt", "learn-step=9.ckpt"]
    states(tmp_path).finish({"x": torch.arange(3)})
    assert states(tmp_path).paths() == []
    assert torch.equal(states(tmp_path).finished_weights()["x"], torch.arange(3))


def test_a_state_of_another_version_is_refused_in_one_line(tmp_path):
    path = written(tmp_path, 3)
    torch.save(CONTENT | {"format": FORMAT - 1}, path)
    with pytest.raises(InvalidInput, match="does not belong to this run .*another program or version wrote it"):
        newest(tmp_path)
    assert path.exists()


def test_the_newest_by_number_is_taken(tmp_path):
    for step in (9, 10):
        written(tmp_path, step)
    assert newest(tmp_path).name == "learn-step=10.ckpt"
    assert newest(tmp_path, "other") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_state_is_told_and_the_one_before_it_taken(tmp_path, capsys, damage):
    before, after = written(tmp_path, 9), written(tmp_path, 10)
    content = bytearray(after.read_bytes())
    if damage == "flipped":
        content[content.index(CONTENT["weights"].numpy().tobytes()) + 40] ^= 4
    after.write_bytes(content if damage == "flipped" else content[: len(content) // 2 if damage == "cut" else 0])
    assert newest(tmp_path) == before
    assert f"{after} is damaged; looking for the state before it" in capsys.readouterr().out


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_state_with_any_bit_flipped_is_damaged_or_says_the_same(tmp_path_factory, place, bit):
    path = written(tmp_path_factory.mktemp("flip"), 1)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    if found := read_valid(path):
        assert found["step"] == CONTENT["step"] and torch.equal(found["weights"], CONTENT["weights"])


def test_where_all_are_damaged_nothing_is_thrown_away_unasked(tmp_path):
    path = written(tmp_path, 5)
    path.write_bytes(b"")
    with pytest.raises(
        InvalidInput, match="all states of stage learn .*step=5.*put back a copy of one, or delete them"
    ):
        newest(tmp_path)
    assert path.exists()


def test_a_full_disk_leaves_the_states_that_were_there(tmp_path, monkeypatch):
    before = written(tmp_path, 3)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnwritableOutput, match="No space left"):
        written(tmp_path, 6)
    assert states(tmp_path).paths() == list(before.parent.iterdir()) == [before] and read_valid(before)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, SafetensorError("I/O error: No space left on device (os error 28)")])
def test_a_full_disk_is_told_in_one_line_with_the_way_out(tmp_path, error):
    def write():
        raise error

    with pytest.raises(UnwritableOutput, match="No space left on device.; make room and go on with resume=True"):
        write_on_first(FABRIC, tmp_path, write)


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(ConnectionError, match="gone"):
        unwritable(tmp_path, ConnectionError("gone"))


class Runs:
    """What pickles as a call of a command that writes a file."""

    def __reduce__(self):
        return os.system, ("touch it_ran",)


def test_a_state_with_code_in_it_is_refused_by_name_and_the_code_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, 3, CONTENT | {"callbacks": [Runs()]})
    message = r"step=3.ckpt holds code \((posix|nt).system\), which is never run; .*put back a copy .*delete it"
    with pytest.raises(InvalidInput, match=message):
        newest(tmp_path)
    assert list(path.parent.iterdir()) == [path] and not (tmp_path / "it_ran").exists()


def test_a_state_with_objects_of_a_program_is_refused_by_name(tmp_path):
    written(tmp_path, 3, CONTENT | {"best": np.float64(1)})
    with pytest.raises(InvalidInput, match=r"step=3.ckpt holds objects of a program \(numpy.*\), which are never made"):
        newest(tmp_path)
