"""Figures in the documents are those of the files that hold them: costs.json, and the bundled weights."""

import re
from pathlib import Path

import pytest

from refseg.adapters.hub_model import size_text
from refseg.checkpoints.bundled import FOLDER
from refseg.checkpoints.io import load_checkpoint
from refseg.inspection.costs import read_costs

ROOT = Path(__file__).parent.parent
CARDS = sorted(path for path in FOLDER.glob("*/card.md") if path.with_name("model.safetensors").is_file())


def rows(file: str, header: str) -> list[list[str]]:
    """Cells of the table that begins with a header."""
    table = (ROOT / file).read_text(encoding="utf-8").split(header, 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()[2:]]


def test_sizes_of_the_bundled_weights_are_those_of_their_files():
    told = {}
    for cells in rows("README.md", "| weights | knows | oIoU |"):
        name, size = re.fullmatch(r"`(\w+)`.*, (\d+ MB)", cells[0]).groups()
        told[name] = size
    assert told == {card.parent.name: size_text(card.with_name("model.safetensors").stat().st_size) for card in CARDS}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.parent.name)
def test_parameters_on_a_card_are_those_that_answer(card):
    network = load_checkpoint(card.parent.name).network
    kept = [p for name, p in network.named_parameters() if not name.startswith(network.training_only)]
    told = re.search(r"([\d.]+) M parameters", card.read_text(encoding="utf-8"))[1]
    assert told == f"{sum(p.numel() for p in kept) / 1e6:.2f}"


def test_costs_of_cmirnets_parts_are_those_that_are_counted():
    parts = read_costs("cmirnet_swin_base")["parts"]
    table = rows("docs/results.md", "| part | multiply-adds | paper | parameters | paper |")
    assert {cells[0]: (cells[1], cells[3]) for cells in table} == {
        name: (f"{cost['multiply_adds'] / 1e9:.2f} G", f"{cost['parameters'] / 1e6:.2f} M")
        for name, cost in parts.items()
    }
    for _, adds, paper_adds, parameters, papers in table:  # docs/published_weights.md
        assert float(adds[:-2]) == pytest.approx(float(paper_adds[:-2]), rel=0.003)
        assert float(parameters[:-2]) == pytest.approx(float(papers[:-2]), rel=0.001)


def test_costs_of_presets_are_those_that_are_counted():
    header = "| | parameters | expected | multiply-adds | expected |"  # the first of two such tables
    checked = 0
    for cells in rows("docs/results.md", header):
        preset = re.fullmatch(r"`(\w+)`(?: \(\d+\))?", cells[0])
        if not preset:  # of a part, or with what is not built
            continue
        cost = read_costs(preset[1])
        if cost["word_encoder"] in ("gru", "lstm"):  # parameters depend on the words of the data
            continue
        everything = (cost["parameters"] + cost["word_encoder_parameters"]) / 1e6
        assert cells[1] == f"{everything:.3f} M" and cells[3] == f"{cost['multiply_adds'] / 1e9:.1f} G", preset[1]
        checked += 1
    assert checked == 5
