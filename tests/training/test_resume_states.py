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
from refseg.training.resume_states import WholeFiles, is_sound, newest_sound, states, unwritable, write_together

CONTENT = {"weights": torch.arange(50.0), "step": 3}


def written(folder, step):
    path = folder / f"learn-step={step}.ckpt"
    WholeFiles().save_checkpoint(CONTENT, path)
    return path


def test_a_state_is_read_back_and_leaves_nothing_beside_it(tmp_path):
    path = written(tmp_path / "state", 3)
    assert torch.equal(WholeFiles().load_checkpoint(path, weights_only=True)["weights"], CONTENT["weights"])
    assert list(path.parent.iterdir()) == [path]


def test_the_newest_by_number_is_taken(tmp_path):
    for step in (9, 10):
        written(tmp_path, step)
    assert newest_sound(tmp_path, "learn") == tmp_path / "learn-step=10.ckpt"
    assert newest_sound(tmp_path, "other") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_state_is_told_and_the_one_before_it_taken(tmp_path, capsys, damage):
    before, newest = written(tmp_path, 9), written(tmp_path, 10)
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[content.index(CONTENT["weights"].numpy().tobytes()) + 40] ^= 4
    newest.write_bytes(content if damage == "flipped" else content[: len(content) // 2 if damage == "cut" else 0])
    assert newest_sound(tmp_path, "learn") == before
    assert f"{newest} is damaged; looking for the state before it" in capsys.readouterr().out


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_state_with_any_bit_flipped_is_damaged_or_says_the_same(tmp_path_factory, place, bit):
    path = written(tmp_path_factory.mktemp("flip"), 1)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    if is_sound(path):
        found = WholeFiles().load_checkpoint(path)
        assert found["step"] == CONTENT["step"] and torch.equal(found["weights"], CONTENT["weights"])


def test_where_all_are_damaged_nothing_is_thrown_away_unasked(tmp_path):
    path = written(tmp_path, 5)
    path.write_bytes(b"")
    with pytest.raises(
        InvalidInput, match="all states of stage learn .*step=5.*put back a copy of one, or delete them"
    ):
        newest_sound(tmp_path, "learn")
    assert path.exists()


def test_a_full_disk_leaves_the_states_that_were_there(tmp_path, monkeypatch):
    before = written(tmp_path, 3)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path, 6)
    assert states(tmp_path, "learn") == list(tmp_path.iterdir()) == [before] and is_sound(before)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, SafetensorError("I/O error: No space left on device (os error 28)")])
def test_a_full_disk_is_told_in_one_line_with_the_way_out(tmp_path, error):
    def write():
        raise error

    trainer = SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda told: told))
    with pytest.raises(UnwritableOutput, match="No space left on device.; make room and go on with --resume"):
        write_together(trainer, tmp_path, write)


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(ConnectionError, match="gone"):
        unwritable(tmp_path, ConnectionError("gone"))


class Runs:
    """What pickles as a call of a command that writes a file."""

    def __reduce__(self):
        return os.system, ("touch it_ran",)


def test_a_state_with_code_in_it_is_refused_by_name_and_the_code_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "learn-step=3.ckpt"
    WholeFiles().save_checkpoint(CONTENT | {"callbacks": [Runs()]}, path)
    message = r"step=3.ckpt holds code \((posix|nt).system\), which is never run; .*put back a copy .*delete it"
    with pytest.raises(InvalidInput, match=message):
        newest_sound(tmp_path, "learn")
    with pytest.raises(InvalidInput, match=message):
        WholeFiles().load_checkpoint(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_state_with_objects_of_a_program_is_refused_by_name(tmp_path):
    path = tmp_path / "learn-step=3.ckpt"
    WholeFiles().save_checkpoint(CONTENT | {"best": np.float64(1)}, path)
    with pytest.raises(InvalidInput, match=r"step=3.ckpt holds objects of a program \(numpy.*\), which are never made"):
        newest_sound(tmp_path, "learn")
