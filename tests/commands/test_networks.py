import json

import pytest
from typer.testing import CliRunner

from refseg.cli import app
from refseg.errors import InvalidInput
from refseg.networks import PRESETS


def networks(*arguments: str) -> str:
    asked = ["networks", *arguments]
    return CliRunner().invoke(app, asked, catch_exceptions=False, standalone_mode=False).output


def test_every_preset_is_listed_with_its_costs_and_its_paper():
    rows = json.loads(networks("--json"))
    assert {row["preset"] for row in rows} == {*PRESETS, "selector", "selector_video"}
    for row in rows:
        assert row["parameters"] > 0 and row["multiply_adds"] > 0
        assert bool(row["paper"]) == (row["network"] not in ("selector", "selector_video"))
    by_name = {row["preset"]: row for row in rows}
    assert by_name["dmmi_swin_base"]["licence"] == "not stated"
    assert by_name["dmmi_swin_base"]["published_weights"] == ["dmmi_swin_base/refcocog_umd", "dmmi_swin_base/refzom"]
    assert by_name["dmmi_small"]["licence"] == "none published"
    assert len(by_name["cmpc_release"]["published_weights"]) == 1
    sides = {"cmpc": 320, "cmpc_video_small": 128, "dcmfnet_darknet53": 480, "vlt_darknet53": 416, "vlt_swin": 480}
    assert {name: by_name[name]["image_size"] for name in sides} == sides
    assert "selector_quick" in by_name["selector"]["recipes"]


def test_one_preset_is_shown_beside_its_paper():
    out = networks("cmirnet_swin_base")
    for said in ("IEEE TCSVT", "10.1109/TCSVT.2024.3508752", "191.5", "191.3", "266.0", "swin_base + bert_base", "480"):
        assert said in out
    assert "dmmi" not in out


def test_a_figure_that_counts_something_else_says_what():
    out = networks("eavl_swin_base")
    assert "202.1" in out and "* EAVL's Table VI counts BERT's layers too" in out
    assert "Table VI" not in networks("lavt_small")


def test_parts_stand_beside_the_papers():
    out = networks("cmirnet_swin_base", "--parts")
    for part, ours, paper in (("TGMM", "18.50 M", "18.51 M"), ("CMAE", "31.60 M", "31.60 M")):
        (line,) = [line for line in out.splitlines() if line.startswith(part) and " M" in line]
        assert ours in line and paper in line
    assert "As thop counts" in out


def test_what_a_paper_does_not_give_is_said_so():
    assert "not given" in networks("cmirnet_resnet50", "--parts")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cmirnetz"], "no presets match 'cmirnetz'; choose one of: cmirnet_small"),
        (["--parts"], "--parts is about one preset"),
        (["selector", "--parts"], "selector names no parts"),
    ],
)
def test_a_mistake_is_one_error(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        networks(*arguments)
