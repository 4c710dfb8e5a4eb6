"""A first stage that another run has finished is taken over, and never one of other data, seeds or initial weights."""

import pytest
from safetensors.torch import load_file

from refseg.training.run import train

pytestmark = pytest.mark.usefixtures("without_export")


@pytest.fixture(scope="module")
def taught(tiny_of_clips, tmp_path_factory):
    """A run, and what it says."""
    out = tmp_path_factory.mktemp("taught") / "run"
    train(tiny_of_clips, out)
    return out


def encoder(run):
    weights = load_file(run / "state" / "see")
    return {name: weight for name, weight in weights.items() if name.startswith("image_encoder.")}


def test_a_run_takes_over_the_encoder_and_does_not_run_the_stage(taught, tiny_of_clips, tmp_path, capfd):
    other = tiny_of_clips.with_settings(["config.fused=4"])  # a network that differs behind the encoder
    train(other, tmp_path / "run", others=[taught])
    assert f"stage see is that of {taught}" in capfd.readouterr().out.replace("\n", "")
    assert not (tmp_path / "run" / "logs" / "see").exists()
    before, now = encoder(taught), encoder(tmp_path / "run")
    assert before and all((before[name] == now[name]).all() for name in before)


@pytest.mark.parametrize("setting", ["seed=1", "stages.see.steps=1"])
def test_a_stage_of_another_seed_or_length_is_run(setting, taught, tiny_of_clips, tmp_path):
    train(tiny_of_clips.with_settings([setting]), tmp_path / "run", others=[taught])
    assert (tmp_path / "run" / "logs" / "see").is_dir()
