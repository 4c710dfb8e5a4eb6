"""What docs/service.md shows is so: clients, fields, options, statuses."""

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import get_args

import pytest
import uvicorn
import yaml
from PIL import Image
from typer.testing import CliRunner

from refseg.cli import app
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.service.limits import Limits
from refseg.service.problems import Code
from refseg.service.worker import run

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "service.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


@pytest.fixture(scope="module")
def address(serve, tmp_path_factory):
    """A service on a true socket."""
    with serve(run) as client, socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(client.app, lifespan="off", log_level="warning"))
        client.portal.start_task_soon(server._serve, [listening])
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(DrawnScenes("test", 1)[0].image).save("scene.png")
    return tmp_path


def test_the_client_in_python_gets_results(address, folder, capsys):
    (client,) = blocks("py")
    names = {}
    exec(compile(client.replace("http://127.0.0.1:8000", address), "service.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert [line.rsplit(maxsplit=1)[0].split("True")[0].split("False")[0].strip() for line in lines] == [
        "the red star",
        "both circles",
    ]
    assert Image.open("star.png").width == 640
    for options, first in (({"format": "mask"}, b"\x89PNG"), ({"format": "overlay", "threshold": 0.9}, b"\x89PNG")):
        assert names["segment"]("scene.png", ["the star"], **options).startswith(first)
        assert names["segment"]("scene.png", ["the star", "the ring"], **options).startswith(b"PK")
    assert names["segment"]("scene.png", ["the star"], format="json", words=True)[0]["words"]["pieces"] == [
        "the",
        "star",
    ]
    with pytest.raises(ValueError, match="choose one of: selector"):
        names["segment"]("scene.png", ["the star"], format="mask", weights="other")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_commands_of_curl_get_answers(address, folder):
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("curl ")]
    assert len(lines) == 5
    for line in lines:
        command = ["bash", "-c", line.replace("http://127.0.0.1:8000", address).replace("curl", "curl -sS --fail", 1)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0 and (" -o " in line or json.loads(done.stdout)), (line, done.stderr)
    assert Image.open("mask.png").size == (128, 128) and Image.open("overlay.png").format == "PNG"


def test_the_options_and_their_defaults_are_those_of_the_command():
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    rows = re.findall(r"^\| `--([\w-]+)` \| ([\d.]+) \|", TEXT, re.M)
    names = {"megabytes", "megapixels", "expressions", "characters", "images", "frames"}
    fields = {(f"max-{name}" if name in names else name.replace("_", "-")): name for name in Limits.model_fields}
    assert dict(rows) == {option: f"{getattr(Limits(), name):g}" for option, name in fields.items()}
    for option, default in rows:
        found = re.search(rf"--{option} .*?\[default: ([\d.]+)", shown, re.S)
        assert found and float(found[1]) == float(default), option


def test_all_codes_of_problems_are_told():
    table = TEXT.split("| status | `code` | when |")[1].split("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) - {"retry_after"} == set(get_args(Code))


def test_the_deployment_is_yaml_and_its_grace_suffices():
    (text,) = blocks("yaml")
    pod = yaml.safe_load(text)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= Limits().grace + wait + 3
    assert {container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("readiness", "liveness")} == {
        "/readyz",
        "/healthz",
    }
    (unit,) = blocks("ini")
    assert int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]) > Limits().grace + 3
