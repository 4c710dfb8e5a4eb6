"""A tiny data set of files, tiny recipes, and processes that train together."""

import sys
from pathlib import Path

import pytest

from refseg.recipes.recipe import FileData, Recipe, SceneData

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="module")
def without_export(tmp_path_factory):
    """Trainings with a cache of their own, which end without calibrated weights."""
    from refseg.training import run

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(run, "export_weights", lambda out, *_: out)
        yield


@pytest.fixture(scope="session")
def refer(tmp_path_factory) -> Path:
    """13 drawn scenes in the refer layout, 10 of split train and 3 of split val."""
    from kill_and_resume import refer_folder

    return refer_folder(tmp_path_factory.mktemp("refer") / "refer")


@pytest.fixture(scope="session")
def files(refer) -> FileData:
    from refseg.preprocessing.transform import Preprocessing

    return FileData(
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

    def made(data: FileData | SceneData, *settings: str) -> Recipe:
        plain = ["config.dropout=0", "config.image_encoder.drop_path=0", "stages.learn.unknown_words=0"]
        plain += ["stages.learn.ema=null", "stages.learn.steps=4", "stages.learn.validate_every=4"]
        return recipe(data).with_settings([*plain, *settings])

    return made


@pytest.fixture(scope="session")
def tiny_of_clips() -> Recipe:
    """CMPC-V's small recipe with its two stages, a few steps each of a tiny network."""
    from refseg.recipes import find_recipe

    encoders = {
        "image_encoder": {"kind": "small_clips", "finder": [4, 8, 8, 8], "top": 8},
        "word_encoder": {"kind": "bert", "width": 8, "layers": 1, "heads": 2, "feed_forward": 8, "positions": 32},
    }
    settings = {"data.settings.count": 8, "data.validation_images": 4, "data.calibration_images": 5, "data.workers": 0}
    settings |= {"stages.see.steps": 2, "stages.see.images": 2}
    settings |= {"stages.learn.steps": 4, "stages.learn.images": 2, "stages.learn.validate_every": 2}
    return find_recipe("cmpc_video_small").with_settings(
        [
            f"config={encoders | {'width': 8, 'fused': 8, 'parser_hidden': 8, 'grid_hw': [16, 16]}}",
            "initial={}",
            *(f"{name}={value}" for name, value in settings.items()),
        ]
    )
