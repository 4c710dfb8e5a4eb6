"""`kill -9` in the middle of a training with dropout: who goes on ends with the same bytes as who was never stopped."""

import subprocess
import sys
import time

import pytest

from refseg.recipes.recipe import FileData, Recipe, SceneData


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def steps(data: FileData | SceneData) -> Recipe:
    """A few, with dropout, hidden words and a running mean."""
    from kill_and_resume import recipe

    return recipe(data).with_settings(["stages.learn.steps=8"])


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_never_been(files, tmp_path):
    from kill_and_resume import read_beforehand, traces, train, wait_for
    from ranks import finish, kill, start

    read_beforehand()
    recipe = steps(files.replace(workers=1))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    running = start(1, train, recipe, killed, False, 1)
    wait_for(killed / "state" / "learn-step=3.ckpt")
    kill(running)
    assert not (killed / "state" / "learn").exists()
    for out, resume in ((killed, True), (whole, False)):
        assert finish(start(1, train, recipe, out, resume, 1)) == [0], out.with_suffix(".log").read_text()[-3000:]
    assert dict(traces(killed)) == dict(traces(whole))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["see-step=3", "learn-step=3"])
def test_a_run_on_clips_that_is_killed_in_either_stage_goes_on_as_if_it_had_never_been(where, tiny_of_clips, tmp_path):
    from kill_and_resume import traces, train, wait_for
    from ranks import finish, kill, start

    recipe = tiny_of_clips.with_settings(["data.workers=1", "stages.see.steps=4"])
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    running = start(1, train, recipe, killed, False, 1)
    wait_for(killed / "state" / f"{where}.ckpt")
    kill(running)
    stage, _, _ = where.partition("-")
    assert not (killed / "state" / stage).exists()
    for out, resume in ((killed, True), (whole, False)):
        assert finish(start(1, train, recipe, out, resume, 1)) == [0], out.with_suffix(".log").read_text()[-3000:]
    assert (killed / "state" / "see").read_bytes() == (whole / "state" / "see").read_bytes()
    assert dict(traces(killed)) == dict(traces(whole))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scenes", "files"])
def test_a_killed_command_goes_on_as_if_it_had_never_been(kind, files, tmp_path):
    scenes = SceneData(scenes=64, validation_scenes=4, calibration_scenes=4)
    (tmp_path / "tiny.yaml").write_text(steps(scenes if kind == "scenes" else files.replace(workers=1)).to_yaml())

    def started(out, *more):
        command = [sys.executable, "-m", "refseg", "train", str(tmp_path / "tiny.yaml"), "--out", str(out), *more]
        with out.with_suffix(".log").open("a") as log:
            return subprocess.Popen([*command, "--accelerator=cpu", "--save-every=3"], stdout=log, stderr=log)

    def ended(out, *more):
        assert started(out, *more).wait(timeout=900) == 0, out.with_suffix(".log").read_text()[-3000:]

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = started(killed)
    while not (killed / "state" / "learn-step=3.ckpt").exists():
        assert process.poll() is None, killed.with_suffix(".log").read_text()[-3000:]
        time.sleep(0.01)
    process.kill()  # it alone: its worker ends by itself
    assert process.wait() == -9 and not (killed / "state" / "learn").exists()
    ended(killed, "--resume")
    ended(whole)
    for folder in ("weights", "last", "best"):
        of_both = [(out / folder / "model.safetensors").read_bytes() for out in (killed, whole)]
        assert of_both[0] == of_both[1], folder
