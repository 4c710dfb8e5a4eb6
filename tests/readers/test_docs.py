"""What docs/readers.md prints is what is printed."""

import doctest
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "readers.md"


def test_worked_sentences_are_read_as_the_page_says():
    result = doctest.testfile(str(DOCS), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0
