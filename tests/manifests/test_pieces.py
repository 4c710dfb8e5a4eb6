"""Every row exactly once: kills, several workers, other settings, object stores, status."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refseg.errors import InvalidInput, MissingFile
from refseg.files.lock import try_lock
from refseg.manifests.job import Job
from refseg.manifests.plan import make_plan, read_plan
from refseg.manifests.run_pieces import PieceRunner, finish_run, pieces_left
from refseg.manifests.share import Share, find_share
from refseg.manifests.status import batch_status

WORKER = """
import sys, time
from refseg.manifests.job import Job
from refseg.manifests.plan import make_plan
from refseg.manifests.run_pieces import PieceRunner, finish_run, pieces_left
store, manifest = Job("images.jsonl", "answers").open()
plan = make_plan(manifest, store, 5, {})
def answer(rows, folder):
    for row in rows:
        time.sleep(0.004)
        folder.mkdir(exist_ok=True)
        (folder / f"{row.number}.png").write_text(str(row.number))
        yield {"row": row.number, "image": row.image, "results": []}
runner = PieceRunner(plan, manifest, store, answer)
for piece in pieces_left(plan, plan.done(store), range(int(sys.argv[1]), plan.pieces.count, int(sys.argv[2]))):
    runner.run(piece)
finish_run(plan, store)
"""


def manifest(rows: int) -> None:
    lines = [json.dumps({"image": f"{k}.png", "expression": "the cup"}) + "\n" for k in range(rows)]
    Path("images.jsonl").write_text("".join(lines))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_workers_that_are_killed_at_any_moment_lose_no_row_and_answer_none_twice():
    """Also where two workers have the same pieces, as after a restart with another number of workers."""
    manifest(60)
    dice = random.Random(5)
    for kill in (*([True] * 4), False):
        shares = [(0, 2), (1, 2)] if kill else [(0, 1), (0, 1)]
        workers = [subprocess.Popen([sys.executable, "-c", WORKER, *map(str, share)]) for share in shares]
        if kill:
            time.sleep(dice.uniform(0.4, 0.9))
            for worker in workers:
                worker.send_signal(signal.SIGKILL)
        codes = [worker.wait() for worker in workers]
    assert codes == [0, 0]
    lines = [json.loads(line) for part in sorted(Path("answers").glob("part-*.jsonl")) for line in part.open()]
    assert [line["row"] for line in lines] == list(range(60))
    files = sorted(int(path.stem) for path in Path("answers").glob("part-*/*.png"))
    assert files == list(range(60))
    assert not [path for path in Path("answers").rglob("*") if path.name.startswith(".")]
    status = batch_status("answers")
    assert (status.done, status.failed, status.left, status.pieces_done) == (60, 0, 0, 12)
    assert (
        12 <= sum(worker.pieces for worker in status.workers) <= 12 + 8
    )  # one more for each kill before its part file


def test_what_killed_workers_left_is_removed_after_the_last_piece_and_what_live_ones_write_is_not(answered):
    """A worker that is killed as soon as its part file is in place leaves its lock, which no later run asks for."""
    manifest(4)
    run = answered("images.jsonl")
    left = Path("answers/.unfinished")
    (left / "part-00001.jsonl-killed").mkdir(parents=True)
    (left / "part-00001.jsonl.lock").touch()
    (left / "manifest.json.0123-killed").mkdir()
    (left / "manifest.json.0123.lock").touch()
    os.rename("answers/part-00000.jsonl", "elsewhere")
    assert finish_run(run.plan, run.store) == 1
    assert (left / "part-00001.jsonl.lock").exists()
    os.rename("elsewhere", "answers/part-00000.jsonl")
    with run.store.claim("part-00000.jsonl") as mine:  # as when failed rows are asked again
        assert finish_run(run.plan, run.store) == 0
        assert mine.is_dir() and {path.name for path in left.iterdir()} == {mine.name, "part-00000.jsonl.lock"}
    assert finish_run(run.plan, run.store) == 0
    assert not list(Path("answers").glob(".*"))


def test_a_folder_that_another_worker_removes_at_the_same_time_is_made_again(answered, monkeypatch):
    manifest(4)
    run = answered("images.jsonl")
    os.unlink("answers/part-00001.jsonl")
    times = []

    def removed_before(file):
        times.append(file)
        if len(times) == 1:
            run.store.clear()
            raise FileNotFoundError(file)  # from within filelock
        return try_lock(file)

    monkeypatch.setattr("refseg.manifests.store.try_lock", removed_before)
    assert run.runner.run(1).rows == 2 and len(times) == 2


def test_a_piece_that_another_process_writes_is_left_to_it(answered):
    manifest(4)
    run = answered("images.jsonl")
    os.unlink("answers/part-00001.jsonl")
    with run.store.claim("part-00001.jsonl") as mine:
        assert mine is not None
        assert PieceRunner(run.plan, run.manifest, run.store, run.echo).run(1) is None
    assert run.runner.run(1).rows == 2
    assert run.runner.run(1) is None, "it is there now"


def test_a_piece_in_which_the_worker_fails_leaves_nothing_and_is_asked_again(answered):
    manifest(4)
    run = answered("images.jsonl")
    os.unlink("answers/part-00000.jsonl")

    def fail(rows, folder):
        folder.mkdir()
        yield next(run.echo(rows, folder))
        raise OSError("the answer failed")

    before = sorted(Path("answers").rglob("*"))
    with pytest.raises(OSError, match="the answer failed"):
        PieceRunner(run.plan, run.manifest, run.store, fail).run(0)
    assert sorted(Path("answers").rglob("*")) == before
    assert batch_status("answers").left == 2
    assert run.runner.run(0).rows == 2


def test_done_pieces_are_listed_and_none_is_opened(answered, monkeypatch):
    manifest(6)
    run = answered("images.jsonl")
    for part in Path("answers").glob("part-*"):
        part.write_text("not looked at")
    monkeypatch.setattr(run.store, "read", lambda name: pytest.fail(f"{name} was opened"))
    assert run.plan.done(run.store) == {0, 1, 2}


def test_another_manifest_or_piece_size_is_refused_and_a_touched_one_is_not(answered):
    manifest(4)
    answered("images.jsonl")
    with pytest.raises(InvalidInput, match=r"answers holds answers with another piece_size \(2, now 3\); repeat that"):
        answered("images.jsonl", piece_size=3)
    os.utime("images.jsonl", (1, 1))
    answered("images.jsonl")
    manifest(5)
    with pytest.raises(InvalidInput, match="answers to images.jsonl, from which images.jsonl differs, or"):
        answered("images.jsonl")


def test_a_damaged_plan_is_told(answered):
    manifest(4)
    answered("images.jsonl")
    for content in ("{", "[]", '{"format": 9}'):
        Path("answers/manifest.json").write_text(content)
        with pytest.raises(InvalidInput, match="answers/manifest.json is damaged"):
            batch_status("answers")
    with pytest.raises(MissingFile, match="nowhere holds no answers to a manifest"):
        batch_status("nowhere")


def test_the_first_of_several_workers_writes_the_plan_for_all(answered, monkeypatch):
    """Both find none; the folder has grown when the second one lists it."""
    Path("photos").mkdir()
    Path("photos/a.png").touch()
    job = Job("photos", "answers", ("the cup",), piece_size=1)
    (store, first), (other, second) = job.open(), job.open()
    assert read_plan(store) is None is read_plan(other)
    has = other.has
    monkeypatch.setattr(other, "has", lambda name: has(name) if "listed" in seen else seen.append("listed"))
    seen: list[str] = []
    plan = make_plan(first, store, 1, {})
    Path("photos/b.png").touch()
    assert make_plan(second, other, 1, {}).pieces == plan.pieces
    assert [row.image for row in second.read(plan.pieces, 0, 1)] == ["a.png"]


def test_status_counts_what_failed_and_what_is_left_also_without_logs(answered):
    lines = ['{"image": "a.png", "expression": "x"}', "{", '{"image": "b.png", "expression": "x"}'] * 2
    Path("images.jsonl").write_text("\n".join(lines))
    run = answered("images.jsonl")
    os.unlink("answers/part-00002.jsonl")
    status = batch_status("answers")
    assert (status.done, status.failed, status.left, status.failed_pieces) == (3, 1, 2, [0])
    for log in Path("answers/workers").iterdir():
        log.write_text("damaged\n[]\n{}\n")
    again = batch_status("answers")
    assert (again.done, again.failed, again.left, again.workers) == (status.done, status.failed, status.left, [])
    assert again.failed_pieces == status.failed_pieces
    assert pieces_left(run.plan, {0, 1}, range(3), again.failed_pieces) == [*status.failed_pieces, 2]


def test_a_run_that_is_repeated_with_failed_pieces_replaces_their_parts(answered):
    Path("images.jsonl").write_text('{\n{"image": "a.png", "expression": "x"}\n')
    run = answered("images.jsonl")
    assert run.runner.run(0) is None
    assert run.runner.run(0, again=True).failed == 1
    assert batch_status("answers").failed == 1, "counted once"


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, Share()),
        ({"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, Share(1, 4, "torchrun", 1)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, Share()),  # a batch script without srun
        ({"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, Share(2, 4, "Slurm")),
        (
            {"SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "2"}
            | {"SLURM_ARRAY_TASK_COUNT": "5", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"},
            Share(5, 10, "Slurm"),
        ),
    ],
)
def test_the_share_is_that_of_torchrun_or_slurm(environment, share):
    assert find_share(None, environment) == share


def test_shares_are_all_pieces_and_none_twice():
    shares = [find_share(f"{k}/3", {"RANK": "5", "WORLD_SIZE": "7"}) for k in (1, 2, 3)]
    assert sorted(piece for share in shares for piece in range(share.rank, 10, share.world)) == list(range(10))


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2"])
def test_a_part_that_cannot_be_is_refused(part):
    with pytest.raises(InvalidInput, match="is no part; write part='2/8' for the second of eight"):
        find_share(part)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "2"}, "is no range"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK is 'x', not a number; unset it"),
    ],
)
def test_variables_that_make_no_share_are_told(environment, said):
    with pytest.raises(InvalidInput, match=said):
        find_share(None, environment)


def test_an_object_store_takes_answers_and_gives_manifests_and_images(answered):
    fsspec = pytest.importorskip("fsspec")
    from refseg.manifests.places import ImageRoot

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/a/images.jsonl", b'{"image": "in/1.png", "expression": "x"}\n' * 3)
    memory.pipe_file("/bucket/a/in/1.png", b"content")
    try:
        run = answered("memory://bucket/a/images.jsonl", out="memory://bucket/answers")
        assert [line["row"] for line in run.lines] == [0, 1, 2]
        again = answered("memory://bucket/a/images.jsonl", out="memory://bucket/answers")
        assert again.plan.pieces == run.plan.pieces
        status = batch_status("memory://bucket/answers")
        assert (status.done, status.left, status.pieces_done) == (3, 0, 2)
        root = ImageRoot("memory://bucket/a")
        assert root.image("in/1.png") == b"content" == root.image("memory://bucket/a/in/1.png")
        for name, error, said in (
            ("../b.png", InvalidInput, "leaves its folder"),
            ("s3://other/b.png", InvalidInput, "is not in memory://bucket/a/"),
            ("no.png", MissingFile, "memory://bucket/a/no.png is missing"),
        ):
            with pytest.raises(error, match=said):
                root.image(name)
        listed = answered("memory://bucket/a/in", "the cup", out="memory://bucket/others")
        assert [line["image"] for line in listed.lines] == ["1.png"]
    finally:
        memory.rm("/bucket", recursive=True)


def test_a_store_without_its_package_names_it(answered):
    pytest.importorskip("fsspec")
    with pytest.raises(InvalidInput, match="s3://b/images.jsonl needs s3fs; install it with: pip install s3fs|cannot"):
        answered("s3://b/images.jsonl")
    with pytest.raises(InvalidInput, match="nix://b/images.jsonl cannot be opened"):
        answered("nix://b/images.jsonl")


def test_parts_in_parquet_have_typed_columns_and_all_that_lines_have(answered):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    Path("images.csv").write_text("image,id,expressions\na.png,7,the cup|the pen\n")
    answered("images.csv", parquet=True)
    (line,) = parquet.read_table("answers/part-00000.parquet").to_pylist()
    assert (line["row"], line["image"], line["id"]) == (0, "a.png", "7")
    assert [(one["expression"], one["found"]) for one in line["results"]] == [("the cup", False), ("the pen", False)]
    Path("images.jsonl").write_text('{"image": "a.png", "expression": "x", "n": {"deep": [1]}}\n')
    answered("images.jsonl", parquet=True, out="others")
    (line,) = parquet.read_table("others/part-00000.parquet").to_pylist()
    assert json.loads(line["columns"]) == {"n": {"deep": [1]}}
