"""A tiny data set of files, tiny recipes, and processes that train together."""

import sys
from pathlib import Path

import pytest

from refseg.recipe import Files, Recipe, Scenes

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def refer(tmp_path_factory) -> Path:
    """13 drawn scenes in the refer layout, 10 of split train and 3 of split val."""
    from kill_and_resume import refer_folder

    return refer_folder(tmp_path_factory.mktemp("refer") / "refer")


@pytest.fixture(scope="session")
def files(refer) -> Files:
    from refseg.preprocessing import Preprocessing

    return Files(
        dataset="refer",
        settings={"root": str(refer)},
        item="image",
        preprocessing=Preprocessing(side=64),
        workers=0,
    )


@pytest.fixture(scope="session")
def tiny_of():
    """A short recipe of DMMI without anything random in it, on these data; settings as for `Recipe.with_settings`."""
    from kill_and_resume import read_beforehand, recipe

    read_beforehand()

    def made(data: Files | Scenes, *settings: str) -> Recipe:
        plain = ["config.dropout=0", "config.image_encoder.drop_path=0", "stages.learn.unknown_words=0"]
        plain += ["stages.learn.ema=null", "stages.learn.steps=4", "stages.learn.validate_every=4"]
        return recipe(data).with_settings([*plain, *settings])

    return made
