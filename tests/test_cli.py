import os
import signal
import subprocess
import sys
from functools import partial

import pytest

import refseg
from refseg.cli import main
from refseg.config import Config


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
        (["segmnet"], "segmnet"),
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

    monkeypatch.setattr("refseg.images.read_image", fail)


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
        "import time, refseg.images\n"
        "def read_image(_): print('ready', flush=True); time.sleep(60)\n"
        "refseg.images.read_image = read_image\n"
        "from refseg.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "segment", "a.png", "the star", "--out", str(tmp_path / "out")]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests may be deaf to it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, preexec_fn=heard) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


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
