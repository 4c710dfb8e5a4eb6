"""Commands in this process."""

import pytest
from typer.testing import CliRunner

from refseg.cli import app


@pytest.fixture(scope="session")
def run():
    """What `refseg WORDS` prints; errors are raised."""

    def invoked(*words: object) -> str:
        return CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False, standalone_mode=False).output

    return invoked
