import pytest
from typer.testing import CliRunner

from refseg.cli import app
from refseg.errors import RefsegError


def train(*arguments: str):
    return CliRunner().invoke(app, ["train", *arguments], catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["selectr"], "choose one that `refseg recipes` lists, such as selector"),
        (["none.yaml"], "no recipe"),
        (["selector", "--set", "data.scenes=none"], "data.scenes"),
        (["selector", "--precision", "16"], "precision"),
        (["selector", "--accelerator", "tpu"], "choose one of: cpu, gpu, auto"),
        (["selector", "--devices", "7"], "7 devices cannot share evenly"),
        (["selector", "--resume"], "no run to resume"),
    ],
)
def test_a_mistake_is_refused_before_anything_starts(tmp_path, arguments, message):
    out = tmp_path / "run"
    with pytest.raises(RefsegError, match=message):
        train(*arguments, "--out", str(out))
    assert not out.exists()
