"""`refseg serve`: what is refused before anything is loaded."""

import socket
import sys

import pytest
from typer.testing import CliRunner

from refseg.cli import app
from refseg.errors import RefsegError


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, ["serve", *words])
    assert isinstance(done.exception, RefsegError), done.output
    return str(done.exception)


def test_a_port_that_is_taken_is_told_before_weights_are_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused("--port", str(port)) == (
            f"port {port} of '127.0.0.1' cannot be listened on (Address already in use); give --port or --host another "
            "value"
        )


@pytest.mark.parametrize("token", ["", "short", "two words of length", "not\x07printable-token", "x" * 5000])
def test_a_token_that_is_easily_guessed_or_damaged_is_refused(tmp_path, token):
    file = tmp_path / "token"
    file.write_text(token)
    assert "openssl rand -hex 32" in refused("--token-file", str(file))


@pytest.mark.parametrize("name", ["fastapi", "gradio"])
def test_the_extra_that_is_missing_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    assert refused() == f"refseg serve needs {name}; install it with: pip install 'refseg[serve]'"


def test_without_a_page_its_library_is_not_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert "unknown device" in refused("--no-page", "--device", "none")
