import errno
import os
import signal
import subprocess
import sys
from functools import partial

import pytest
import torch

import refseg
from refseg.cli import main
from refseg.commands.stopping import Stop
from refseg.config import Config
from refseg.errors import InvalidInput


def run(monkeypatch, *arguments: object) -> int:
    """Exit code of `refseg ARGUMENTS` in this process."""
    monkeypatch.setattr(sys, "argv", ["refseg", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code or 0


def python(code: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, **options
    )


def test_help_names_all_commands_and_does_not_import_torch():
    code = (
        "import sys\n"
        "from refseg.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, 'PIL' in sys.modules)"
    )
    done = python(code, "--help")
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "False False"
    for command in ("segment", "evaluate", "calibrate", "train", "data", "demo"):
        assert command in done.stdout


def test_importing_the_package_does_not_import_torch():
    assert python("import sys, refseg; print('torch' in sys.modules)").stdout == "False\n"


def test_the_public_names_are_there():
    for name in refseg.__all__:
        assert getattr(refseg, name) is not None
    assert set(refseg.__all__) <= set(dir(refseg))
    with pytest.raises(AttributeError, match="colour"):
        refseg.colour  # noqa: B018


def test_the_version_is_printed(monkeypatch, capsys):
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"refseg {refseg.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segmnet"], "'segmnet'. Did you mean 'segment'? See refseg --help\n"),
        (["segment"], "Missing argument"),
        (["segment", "missing.png", "the star"], "missing.png is missing"),
        (["segment", "a.png", "the star", "--threshold", "high"], "--threshold"),
        (["segment", "a.png", "the star", "--format", "mp3"], "--format"),
        (["demo", "--out", "demo.gif"], ".png"),
    ],
)
def test_what_the_user_got_wrong_is_one_line_and_exit_code_2(monkeypatch, capsys, arguments, said):
    assert run(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert said in captured.err


def fails_with(monkeypatch, error: BaseException) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("refseg.preprocessing.images.read_image", fail)


def test_settings_that_do_not_validate_are_one_line(monkeypatch, capsys):
    class Oven(Config):
        degrees: int

    with pytest.raises(ValueError) as caught:
        Oven(degrees="hot", door="open")
    fails_with(monkeypatch, caught.value)
    assert run(monkeypatch, "segment", "a.png", "the star") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_our_own_mistakes_keep_their_traceback(monkeypatch):
    fails_with(monkeypatch, ZeroDivisionError())
    monkeypatch.setattr(sys, "argv", ["refseg", "segment", "a.png", "the star"])
    with pytest.raises(ZeroDivisionError):
        main()


def test_ctrl_c_ends_quietly_with_130(tmp_path):
    code = (
        "import time, refseg.preprocessing.images\n"
        "def read_image(_): print('ready', flush=True); time.sleep(60)\n"
        "refseg.preprocessing.images.read_image = read_image\n"
        "from refseg.cli import main; main()"
    )
    words = [sys.executable, "-c", code, "segment", "a.png", "the star", "--out", str(tmp_path / "out")]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests may be deaf to it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, **pipes, text=True, preexec_fn=heard) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_one_ctrl_c_that_arrives_twice_is_one(monkeypatch):
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("the process ends"))
    stop = Stop()
    with pytest.raises(KeyboardInterrupt):
        stop.interrupt(signal.SIGINT, None)
    stop.interrupt(signal.SIGINT, None)
    assert stop.is_asked and not stop.signal


def test_ctrl_c_once_more_ends_at_once_and_quietly(tmp_path):
    code = (
        "import time, refseg.commands.stopping, refseg.evaluation.evaluate\n"
        "refseg.commands.stopping.AGAIN = 0\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def evaluate(*_, **__):\n"
        "    with ThreadPoolExecutor() as pool:\n"
        "        pool.submit(time.sleep, 60)\n"
        "        try: print('ready', flush=True); time.sleep(60)\n"
        "        finally: print('waits', flush=True)\n"
        "refseg.evaluation.evaluate.evaluate = evaluate\n"
        "from refseg.cli import main; main()"
    )
    words = [sys.executable, "-c", code, "evaluate", "selector"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, **pipes, text=True, preexec_fn=heard) as process:
        for said in ("ready\n", "waits\n"):
            assert process.stdout is not None and process.stdout.readline() == said
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


def test_a_reader_that_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "refseg", "--version"], stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1 and done.stderr == ""


def test_without_arguments_the_help_is_shown(monkeypatch, capsys):
    assert run(monkeypatch) == 2
    captured = capsys.readouterr()
    assert "segment" in captured.out + captured.err and captured.err == ""


WAITING = """
import time, refseg.preprocessing.images

def read_image(_):
    print("ready", flush=True)
    time.sleep(60)

refseg.preprocessing.images.read_image = read_image
from refseg.cli import main; main()
"""


def sent(number: int, code: str, *arguments: str, times: int = 1, **options: object) -> tuple[int, str]:
    """Exit code and stderr of a command that gets a signal when it has printed "ready"."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, *arguments], **pipes, text=True, **options) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for _ in range(times):
            process.send_signal(number)
        _, err = process.communicate(timeout=30)
    return process.returncode, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_to_end_cleans_up_as_ctrl_c_does(tmp_path, number, code, times):
    heard = partial(signal.signal, number, signal.SIG_DFL)
    arguments = ("segment", "a.png", "the star", "--out", str(tmp_path / "out"))
    assert sent(number, WAITING, *arguments, times=times, preexec_fn=heard) == (code, "terminated\n")
    assert list(tmp_path.iterdir()) == []


def test_what_a_library_makes_of_a_signal_does_not_hide_it():
    code = WAITING.replace(
        "    time.sleep(60)", "    try: time.sleep(60)\n    except BaseException: raise ZeroDivisionError from None"
    )
    assert sent(signal.SIGTERM, code, "segment", "a.png", "the star") == (143, "terminated\n")


def test_the_end_of_a_file_is_no_interruption(monkeypatch):
    fails_with(monkeypatch, EOFError("no more bytes"))
    monkeypatch.setattr(sys, "argv", ["refseg", "segment", "a.png", "the star"])
    with pytest.raises(EOFError, match="no more bytes"):
        main()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/disk/a"), "/disk/a: No space left on device; make room"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), "255 bytes"),
        (PermissionError(errno.EACCES, "Permission denied", "/secret"), "/secret: Permission denied; change"),
        (OSError("of a library"), "of a library"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "UTF-8"),
        (RecursionError("maximum recursion depth exceeded"), "nested"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory."), "not enough memory (CUDA out of memory.)"),
    ],
)
def test_what_the_machine_refuses_is_one_line(monkeypatch, capsys, error, said):
    fails_with(monkeypatch, error)
    assert run(monkeypatch, "segment", "a.png", "the star") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and said in captured.err


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error", "/disk/a"), InvalidInput("no such star")])
def test_the_traceback_of_what_is_told_in_one_line_can_be_had(monkeypatch, capsys, error):
    monkeypatch.setenv("REFSEG_DEBUG", "1")
    fails_with(monkeypatch, error)
    assert run(monkeypatch, "segment", "a.png", "the star") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback") and lines[-1].startswith("error: ")


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "refseg", *arguments], stderr=subprocess.PIPE, text=True, timeout=60, **options
    )


def test_a_folder_that_is_gone_is_told(tmp_path):
    code = f"import os; os.chdir({str(tmp_path)!r}); os.rmdir({str(tmp_path)!r})\nfrom refseg.cli import main; main()"
    done = python(code, "data", "draw", "--out", "new")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "current folder has been removed" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
def test_output_that_does_not_fit_on_the_disk_is_told():
    with open("/dev/full", "w") as full:
        done = command("--version", stdout=full)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_output_is_no_error():
    assert command("--version", preexec_fn=partial(os.close, 1)).returncode == 0
