"""Commands that are stopped at random moments and repeated, beside runs that never were: the same bytes in the end.

SIGKILL 50 times and SIGTERM 20 times in all. The processes are forks of this one, so that moments fall into the work
and not into the seconds that importing torch takes. Those that train are no forks, since autograd does not work in a
fork of a process that has computed gradients, and begin when all is imported.
"""

import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from PIL import Image

import refseg.cli
from refseg.datasets.drawn_clips.dataset import DrawnClips

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

BEFOREHAND = (  # what commands import
    *("cli", "inference.segmenter", "commands.segment_video", "video.folder", "datasets.shards", "datasets.refer"),
    *("datasets.drawn_scenes.export", "evaluation.report.write", "evaluation.calibrate", "conversion.to_checkpoint"),
    *("encoders.bert", "networks.selector.selector", "evaluation.report.html_page", "evaluation.report.plots"),
    "inference.crf",
)
KILL, TERM = signal.SIGKILL, signal.SIGTERM
OURS = re.compile(r"^\.refseg-|\.lock$|\.partial|\.unfinished$")


@dataclass(frozen=True)
class Case:
    """A command of the folder that it runs in, which it writes to `out` of.

    Attributes:
        words: the command, without `refseg`.
        prepare: puts what it reads into the folder.
        again: what is added where the command is repeated, if what it made so far is there.
        differs: what may be another in two runs, of the content of a file.
        left_out: files that are not compared.
        trains: whether it computes gradients; on SIGTERM it says how it goes on.
    """

    words: tuple[str, ...]
    prepare: Callable[[Path], object] = lambda folder: None
    again: Callable[[Path], tuple[str, ...]] = lambda folder: ()
    differs: re.Pattern[bytes] = re.compile(rb"(?!)")
    left_out: re.Pattern[str] = re.compile(r"\.mp4$|^refer/\.refseg/")  # an index is of one copy of its data
    trains: bool = False
    whole: dict[str, object] = field(default_factory=dict)

    def files(self, folder: Path) -> dict[str, bytes]:
        """Everything in the folder that is compared."""
        found = (file for file in sorted(folder.rglob("*")) if file.is_file() or file.name.startswith("."))
        names = {str(file.relative_to(folder)): file for file in found if file.name not in ("said.log", "begun")}
        return {
            name: self.differs.sub(b"", file.read_bytes()) if file.is_file() else b"a folder"
            for name, file in names.items()
            if not self.left_out.search(name)
        }

    def undisturbed(self, folder: Path) -> None:
        """Runs it once, for what it takes and what it makes."""
        folder.mkdir()
        self.prepare(folder)
        process = self.start(folder)
        begin = time.perf_counter()
        assert finish(process) == 0, said(folder)
        self.whole["seconds"] = time.perf_counter() - begin
        self.whole["files"] = self.files(folder)

    def start(self, folder: Path, *more: str) -> BaseProcess:
        """Starts the command with further words, and waits until it begins."""
        (folder / "begun").unlink(missing_ok=True)
        context = get_context("spawn" if self.trains else "fork")
        process = context.Process(target=command, args=((*self.words, *more), folder, self.trains))
        process.start()
        while not (folder / "begun").exists() and process.is_alive():
            time.sleep(0.001)
        return process

    def stopped(self, folder: Path, number: signal.Signals, share: float) -> int | None:
        """Exit code of a run that gets the signal after this share of the time that it takes."""
        folder.mkdir()
        self.prepare(folder)
        process = self.start(folder)
        time.sleep(share * self.whole["seconds"])
        os.kill(process.pid, number)
        return finish(process)

    def complete(self, folder: Path) -> bool:
        """Whether everything is there already; some commands refuse to replace it."""
        return self.whole["files"].items() <= self.files(folder).items()

    def repeated(self, folder: Path) -> dict[str, bytes]:
        """What there is when the command was repeated."""
        assert finish(self.start(folder, *self.again(folder))) == 0, said(folder)
        return self.files(folder)


def command(words: tuple[str, ...], folder: Path, trains: bool) -> None:
    if trains:
        from kill_and_resume import read_beforehand

        import_beforehand()
        read_beforehand()
    torch.set_num_threads(1)  # OpenMP hangs with more in a fork
    torch.set_num_threads = lambda count: None
    os.chdir(folder)
    log = os.open("said.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["refseg", *words]
    os.environ["REFSEG_CACHE"] = str(folder / "cache")
    run = refseg.cli._run

    def begun() -> int:
        Path("begun").touch()
        return run()

    refseg.cli._run = begun
    refseg.cli.main()


def finish(process: BaseProcess) -> int | None:
    process.join(600)
    return process.exitcode


def said(folder: Path) -> str:
    return (folder / "said.log").read_text()[-3000:]


def check(case: Case, place: Path, kills: int, terms: int) -> None:
    """Kills the command so often, at moments all over its time; what is repeated must be as if it had never been."""
    case.undisturbed(place / "whole")
    rng = random.Random(0)
    codes, told = [], 0
    for turn, number in enumerate([*[KILL] * kills, *[TERM] * terms]):
        folder, code = place / str(turn), 0
        while code == 0:  # it had been quicker
            shutil.rmtree(folder, ignore_errors=True)
            code = case.stopped(folder, number, rng.uniform(0.02, 1))
            code = 0 if case.complete(folder) else code  # the signal came between the last file and the exit
            codes.append(code)
            case.whole["seconds"] *= 1 if code else 0.8
        assert code == (-KILL if number is KILL else 128 + TERM), said(folder)
        if number is TERM:
            goes_on = case.trains and re.search("Go on with:\n  refseg train --resume .*\n$", said(folder))
            assert "Traceback" not in said(folder) and (goes_on or said(folder).endswith("terminated\n")), said(folder)
            told += bool(goes_on)
            assert not [file for file in folder.rglob("*") if file.name.startswith(".refseg-")]
        found, expected = case.repeated(folder), case.whole["files"]
        assert found.keys() == expected.keys(), (turn, found.keys() ^ expected.keys())
        assert [name for name in found if found[name] != expected[name]] == [], turn
        assert not [file for file in folder.rglob("*") if OURS.search(file.name)]
        shutil.rmtree(folder)
    assert bool(told) == case.trains
    counts = {"SIGKILL": codes.count(-KILL), "SIGTERM": codes.count(128 + TERM), "too late": codes.count(0)}
    print(f"\n{' '.join(case.words[:2])}, {case.whole['seconds']:.1f} s: {counts}")


def import_beforehand() -> None:
    for name in BEFOREHAND:
        import_module(f"refseg.{name}")


@pytest.fixture(scope="module", autouse=True)
def imported():
    import_beforehand()


@pytest.fixture
def drawing():
    return Case(("data", "draw", "--count", "40", "--out", "out"))


@pytest.fixture
def converting(tiny_release):
    return Case(
        ("convert", "tiny", "release.pth", "--out", "out"),
        lambda folder: shutil.copy(tiny_release.file, folder / "release.pth"),
    )


@pytest.fixture(scope="session")
def refer(tmp_path_factory):
    from kill_and_resume import refer_folder

    return refer_folder(tmp_path_factory.mktemp("kills") / "refer")


@pytest.fixture
def sharding(refer):
    words = ("data", "shard", "refer", "--root", "refer", "--split", "all", "--out", "out")
    return Case(words, lambda folder: shutil.copytree(refer, folder / "refer"))


@pytest.fixture
def evaluating():
    words = ("evaluate", "selector", "--count", "16", "--batch-images", "1", "--masks", "--out", "out")
    seconds = re.compile(rb"seconds[^,|\n]*?[0-9.]+(</td>)?")
    return Case(words, differs=seconds)


@pytest.fixture
def segmenting(monkeypatch):
    monkeypatch.setattr("refseg.inference.segmenter.CLIPS_AT_ONCE", 1)
    clip = DrawnClips("val", 1)[0]
    frames = [Image.fromarray(clip.frame(t)) for t in range(len(clip))]
    formats = [word for kind in ("mask", "rle", "polygons", "json") for word in ("--format", kind)]
    words = ("segment", "clip", "the red star", "the small object", *formats, "--out", "out")

    def prepare(folder: Path) -> None:
        (folder / "clip").mkdir()
        for number, frame in enumerate(frames):
            frame.save(folder / "clip" / f"{number:03d}.png")
            os.utime(folder / "clip" / f"{number:03d}.png", (0, 0))

    return Case(words, prepare)


@pytest.fixture
def training(refer):
    pytest.importorskip("lightning", reason="Lightning is not installed: pip install 'refseg[train]'")
    from kill_and_resume import recipe
    from refseg.preprocessing.transform import Preprocessing
    from refseg.recipes.recipe import FileData

    data = FileData(
        dataset="refer", settings={"root": "refer"}, item="image", preprocessing=Preprocessing(side=64), workers=1
    )
    text = recipe(data).with_settings(["stages.learn.steps=9"]).to_yaml()

    def prepare(folder: Path) -> None:
        shutil.copytree(refer, folder / "refer")
        (folder / "tiny.yaml").write_text(text)

    return Case(
        ("train", "tiny.yaml", "--out", "out", "--accelerator", "cpu", "--save-every", "2"),
        prepare,
        again=lambda folder: ("--resume",) if (folder / "out" / "recipe.yaml").exists() else (),
        left_out=re.compile(r"^out/logs/|^refer/\.refseg/"),
        trains=True,
    )


@pytest.mark.parametrize("case", ["converting", "drawing"])
def test_a_command_that_was_stopped_and_repeated_leaves_what_one_does_that_never_was(case, request, tmp_path):
    check(request.getfixturevalue(case), tmp_path, kills=2, terms=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "kills", "terms"),
    [
        ("segmenting", 10, 4),
        ("evaluating", 10, 4),
        ("drawing", 8, 3),
        ("sharding", 8, 3),
        ("converting", 6, 3),
        ("training", 8, 3),
    ],
)
def test_so_do_all_at_whatever_moment(case, kills, terms, request, tmp_path):
    check(request.getfixturevalue(case), tmp_path, kills, terms)


def test_a_resumed_training_says_that_another_one_is_running(training, tmp_path, monkeypatch, capsys):
    training.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["refseg", *training.words, "--resume"])
    from refseg.files.lock import only_writer

    with only_writer(tmp_path / "out"), pytest.raises(SystemExit) as ended:
        refseg.cli.main()
    assert ended.value.code == 2 and "being written by another run" in capsys.readouterr().err
