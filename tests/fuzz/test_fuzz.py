import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_damaged_inputs_are_used_or_refused_in_one_line(tmp_path):
    command = [sys.executable, str(Path(__file__).parent), "--cases", "2000", "--keep", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert "2,000 cases" in ended.stdout
