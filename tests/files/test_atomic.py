import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from refseg.errors import InvalidInput, UnwritableOutput
from refseg.files.atomic import (
    STAGING,
    all_or_nothing,
    check_file_writable,
    check_writable,
    remove_leftovers,
    write_atomically,
)

KILLED = """
import os, sys
from pathlib import Path
from refseg.files import atomic

moves = iter(range(int(sys.argv[2])))  # so many, then the process is killed

def replace(source, target, replace=os.replace):
    if next(moves, None) is None:
        os.kill(os.getpid(), 9)
    replace(source, target)

atomic.os.replace = replace
with atomic.all_or_nothing(Path(sys.argv[1])) as folder:
    (folder / "masks").mkdir()
    (folder / "masks" / "new.png").touch()
    (folder / "report.json").write_text("new")
    (folder / "rows.jsonl").write_text("new")
    atomic.shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), 9)
"""


def killed(folder, moves):
    """A process writes masks/, report.json and rows.jsonl, and is killed after so many moves."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(moves)])
    assert done.returncode == -signal.SIGKILL


def test_files_appear_at_the_end_and_replace_older_ones(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with all_or_nothing(tmp_path) as folder:
        (folder / "a.txt").write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "new")]


@pytest.mark.parametrize("error", [InvalidInput("no"), KeyboardInterrupt(), ZeroDivisionError()])
def test_after_an_error_nothing_is_left_not_even_the_folders(tmp_path, error):
    with pytest.raises(type(error)), all_or_nothing(tmp_path / "new" / "newer") as folder:
        (folder / "half.txt").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_unwritable_output(tmp_path):
    with pytest.raises(UnwritableOutput, match="No space left"), all_or_nothing(tmp_path):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_made_there_is_an_unwritable_output(tmp_path):
    with pytest.raises(UnwritableOutput, match="No such file"), all_or_nothing(tmp_path) as folder:
        (folder / "nowhere" / "a.txt").touch()


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "photo.png"),
        OSError(errno.ENOSPC, "No space left on device", "/tmp/other"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError("cannot identify image file"),
        MemoryError(),
    ],
    ids=repr,
)
def test_errors_of_other_files_are_not_told_as_of_the_output(tmp_path, error):
    with pytest.raises(type(error)) as caught, all_or_nothing(tmp_path / "out"):
        raise error
    assert caught.value is error and list(tmp_path.iterdir()) == []


def test_an_error_of_the_move_is_an_unwritable_output(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EACCES, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UnwritableOutput, match="Permission denied"), all_or_nothing(tmp_path) as folder:
        (folder / "a").touch()


def test_a_folder_in_the_place_of_a_file_is_told_before_anything_moves(tmp_path):
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(UnwritableOutput, match="is a folder"), all_or_nothing(tmp_path) as folder:
        (folder / "a.txt").touch()
        (folder / "b.txt").touch()
    assert [file.name for file in tmp_path.iterdir()] == ["b.txt"]


def test_a_file_in_the_place_of_the_folder_is_told_early(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UnwritableOutput, match="not a folder"):
            check_writable(folder)
        with pytest.raises(UnwritableOutput), all_or_nothing(folder):
            pass
    check_writable(tmp_path / "new" / "newer")


def test_a_folder_replaces_one_with_files_of_the_same_kind_as_a_whole(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1.png").touch()
    with all_or_nothing(tmp_path) as folder:
        (folder / "masks").mkdir()
        (folder / "masks" / "2.png").touch()
    assert [file.name for file in tmp_path.iterdir()] == ["masks"]
    assert [file.name for file in (tmp_path / "masks").iterdir()] == ["2.png"]
    (tmp_path / "masks" / "notes.txt").touch()
    with pytest.raises(UnwritableOutput, match="something else"), all_or_nothing(tmp_path) as folder:
        (folder / "masks").mkdir()
        (folder / "masks" / "3.png").touch()
    assert sorted(file.name for file in (tmp_path / "masks").iterdir()) == ["2.png", "notes.txt"]


def test_a_link_in_the_place_of_the_folder_that_leads_nowhere_is_told_early(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("link", "loop", "x" * 300):
        with pytest.raises(UnwritableOutput, match="another place"):
            check_writable(tmp_path / name / "below")


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_what_a_killed_process_left_is_removed_by_the_next_and_what_it_had_moved_too(tmp_path, moves):
    killed(tmp_path / "out", moves)
    assert any(name.startswith(".refseg-") for name in os.listdir(tmp_path / "out"))
    with all_or_nothing(tmp_path / "out") as folder:
        assert [file.name for file in (tmp_path / "out").iterdir()] == [folder.parent.name]
        (folder / "other").touch()
    assert os.listdir(tmp_path / "out") == ["other"]


def test_a_folder_that_a_killed_process_had_moved_aside_comes_back(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "old.png").touch()
    killed(tmp_path, 1)
    assert not (tmp_path / "masks").exists()
    with all_or_nothing(tmp_path):
        pass
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")] == ["masks", "masks/old.png"]


def test_whoever_only_reads_can_take_leftovers_away(tmp_path):
    killed(tmp_path, 3)  # between the last move and the end
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["masks", "report.json", "rows.jsonl"]
    remove_leftovers(tmp_path / "nowhere")


def test_what_came_after_a_killed_process_is_not_taken_for_its_own(tmp_path):
    killed(tmp_path, 1)
    os.replace(tmp_path / "masks", tmp_path / "mine")
    (tmp_path / "masks").mkdir()
    with all_or_nothing(tmp_path):
        pass
    assert sorted(os.listdir(tmp_path)) == ["masks", "mine"]


def test_what_a_living_process_is_writing_is_left_alone(tmp_path):
    with all_or_nothing(tmp_path) as first:
        (first / "a").touch()
        with all_or_nothing(tmp_path) as second:
            (second / "b").touch()
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_list_of_moves_that_comes_with_a_folder_moves_nothing_out_of_it(tmp_path):
    (tmp_path / "precious").touch()
    out = tmp_path / "out"
    (out / ".refseg-x" / "new").mkdir(parents=True)
    (out / ".refseg-x" / "new" / "file").touch()
    moves = {"../precious": (tmp_path / "precious").stat().st_ino, "..": tmp_path.stat().st_ino}
    (out / ".refseg-x" / "moves.json").write_text(json.dumps(moves))
    with all_or_nothing(out):
        pass
    assert os.listdir(out) == [] and (tmp_path / "precious").exists()


def test_ctrl_c_between_two_moves_takes_the_first_back(tmp_path, monkeypatch):
    def replace(source, target, replace=os.replace):
        if str(target).endswith("b"):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt), all_or_nothing(tmp_path) as folder:
        (folder / "a").touch()
        (folder / "b").touch()
    assert os.listdir(tmp_path) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    file = tmp_path / "state"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), write_atomically(file) as partial:
        partial.write_text("ha")
        raise ZeroDivisionError
    assert file.read_text() == "old"
    with write_atomically(file) as partial:
        partial.write_text("new")
    assert file.read_text() == "new" and os.listdir(tmp_path) == ["state"]


def test_a_staging_folder_with_links_is_none_of_ours_and_moves_nothing(tmp_path):
    home, out = tmp_path / "home", tmp_path / "out"
    (out / f"{STAGING}x" / "new").mkdir(parents=True)
    home.mkdir()
    (home / "key").write_text("secret")
    (out / f"{STAGING}x" / "new" / "f").write_text("")
    (out / f"{STAGING}x" / "moves.json").write_text("{}")
    (out / f"{STAGING}x" / "old").symlink_to(home)
    with all_or_nothing(out) as folder:
        (folder / "result").write_text("1")
    assert (home / "key").read_text() == "secret" and not (out / "key").exists()


def test_a_disk_without_locks_is_written_all_the_same(tmp_path, monkeypatch):
    def refuse(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("refseg.files.atomic.try_lock", refuse)
    with all_or_nothing(tmp_path / "out") as folder:
        (folder / "result").write_text("1")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["result"]


def test_a_file_that_cannot_be_written_is_told_early(tmp_path):
    check_file_writable(tmp_path / "new" / "a.png")
    (tmp_path / "a.png").touch()
    check_file_writable(tmp_path / "a.png")
    with pytest.raises(UnwritableOutput, match="File name too long"):
        check_file_writable(tmp_path / ("x" * 252 + ".png"))
    with pytest.raises(UnwritableOutput, match="is a folder"):
        check_file_writable(tmp_path)
