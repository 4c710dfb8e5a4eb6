"""Goldens: what the authors' own code computes from weights and inputs that `generator.py` makes from names.

The files in tests/assets/parity hold, per module or network, the authors' state-dict layout, how to make inputs, and
samples of the outputs. After the tests a table shows the worst error of each golden.
"""

import importlib.util
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

ASSETS = Path(__file__).parents[1] / "assets" / "parity"
_spec = importlib.util.spec_from_file_location("parity_generator", Path(__file__).with_name("generator.py"))
generator = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generator)
SAMPLE_ERROR = "golden"


class Golden:
    """One pair of files; every check is recorded for the table."""

    def __init__(self, name, record):
        self.name, self.record = name, record
        self.about = json.loads((ASSETS / f"{name}.json").read_text())
        arrays = ASSETS / f"{name}.npz"
        self.stored = dict(np.load(arrays)) if arrays.exists() else {}

    def weights(self):
        """The authors' names with generated values."""
        values = generator.fill(self.about["state_dict"], self.about["prefix"])
        return {name: torch.from_numpy(value) for name, value in values.items()}

    def input(self, kind, name, *arguments):
        """A float32 tensor of "noise" or "image", an int64 one of "labels", a pair of them of "tokens"."""
        made = getattr(generator, kind)(name, *arguments)
        if kind == "tokens":
            return tuple(map(torch.from_numpy, made))
        return torch.from_numpy(made).float() if kind == "noise" else torch.from_numpy(made)

    def check(self, output, tensor, tolerance=1e-5):
        """Largest difference to the golden, relative to its largest value; shape and spread as well."""
        assert list(tensor.shape) == list(self._shape(output)), f"{output} has shape {tuple(tensor.shape)}"
        wanted = self.stored[output].astype(np.float64)
        values = tensor.detach().float().contiguous().numpy()
        error = np.abs(generator.sample(values, wanted.size) - wanted.reshape(-1)).max() / np.abs(wanted).max()
        self.record(SAMPLE_ERROR, (self.name, output, float(error), tolerance))
        assert error <= tolerance, f"{self.name} {output}: error {error:.1e} of the largest value, allowed {tolerance}"
        if f"{output}.summary" in self.stored:
            summary = generator.summary(values)
            np.testing.assert_allclose(
                summary, self.stored[f"{output}.summary"], atol=10 * tolerance * np.abs(wanted).max()
            )

    def check_mask(self, logits, most=20):
        """The mask of logits (1, 1, H, W) differs in few pixels."""
        mask = (logits > 0).numpy().reshape(-1)
        wanted = np.unpackbits(self.stored["mask"])[: mask.size].astype(bool)
        different = int((mask != wanted).sum())
        self.record(
            SAMPLE_ERROR,
            (self.name, f"mask ({different} of {mask.size} pixels differ)", different / mask.size, most / mask.size),
        )
        assert different <= most, f"{self.name}: {different} pixels of the mask differ"

    def _shape(self, output):
        return self.about["outputs"][output]["shape"]


@pytest.fixture
def golden(record_property):
    """`golden("dmmi_mba")`: the golden of that name."""
    return lambda name: Golden(name, record_property)


def pytest_terminal_summary(terminalreporter):
    worst = defaultdict(lambda: ("", 0.0, 0.0))
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key == SAMPLE_ERROR and report.when == "call":
                    name, output, error, tolerance = value
                    kind = name, output.startswith("mask")
                    if not worst[kind][0] or error / tolerance > worst[kind][1] / worst[kind][2]:
                        worst[kind] = output, error, tolerance
    if worst:
        terminalreporter.section("goldens: worst error relative to the largest value")
        for (name, _), (output, error, tolerance) in sorted(worst.items()):
            terminalreporter.write_line(f"{name:24} {output:48} {error:8.1e}  (allowed {tolerance:.0e})")
