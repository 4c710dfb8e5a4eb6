import os
import signal
import subprocess
import sys
from multiprocessing import get_context

import pytest

from refseg.errors import UnwritableOutput
from refseg.files.lock import LOCK, only_writer, try_lock

HOLD = """
import sys, time
from pathlib import Path
from refseg.files.lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes to tmp_path / "out"."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_at_once_who_the_first_is(tmp_path, holder):
    with pytest.raises(
        UnwritableOutput, match=rf"being written by another run \(process {holder.pid}\).*another place"
    ):
        with only_writer(tmp_path / "out"):
            pass


def test_what_a_killed_writer_locked_is_free(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / "out" / LOCK).exists()
    with only_writer(tmp_path / "out"):
        pass
    assert list((tmp_path / "out").iterdir()) == []


def test_neither_lock_nor_empty_folders_are_left(tmp_path):
    with only_writer(tmp_path / "new" / "out"):
        pass
    assert list(tmp_path.iterdir()) == []
    with only_writer(tmp_path / "out"):
        (tmp_path / "out" / "result").touch()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["result"]


def test_a_file_that_does_not_exist_yet_is_locked_beside_it(tmp_path):
    with only_writer(tmp_path / "weights", beside=True):
        assert not (tmp_path / "weights").exists()
        with pytest.raises(UnwritableOutput), only_writer(tmp_path / "weights", beside=True):
            pass


def test_a_place_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(UnwritableOutput, match="another place"), only_writer(out):
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_children_that_outlive_a_killed_writer_do_not_keep_its_lock(tmp_path):
    context = get_context("fork")
    here, there = context.Pipe()

    def parent() -> None:
        with only_writer(tmp_path / "out"):
            child = context.Process(target=there.recv)
            child.start()
            there.send(child.pid)
            child.join()

    writer = context.Process(target=parent)
    writer.start()
    child = here.recv()
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    try:
        lock = try_lock(tmp_path / "out" / LOCK)
        assert lock is not None
        lock.release()
    finally:
        here.send("end")
        os.kill(child, signal.SIGKILL)
