import io
import sys

import pytest

from refseg.commands.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stdout", "stays"), [(io.StringIO(), True), (Terminal(), False)])
def test_a_bar_takes_what_is_printed_to_the_terminal_and_nothing_else(monkeypatch, stdout, stays):
    monkeypatch.setattr(sys, "stderr", stderr := Terminal())
    monkeypatch.setattr(sys, "stdout", stdout)
    with progress(3) as advance:
        advance(1)
        print("an answer")
    assert ("an answer" in stdout.getvalue(), "an answer" in stderr.getvalue()) == (stays, not stays)
