"""Access: a bearer token that requests must bring."""

from hmac import compare_digest
from pathlib import Path

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.service.problems import Problem

OPEN_PATHS = ("/healthz", "/readyz")  # for probes, which bring no token
_MIN_LENGTH = 16  # characters of a token
_MAX_FILE_BYTES = 4096


def read_token(path: Path) -> str:
    """Reads a token from a file; spaces and lines around it do not belong to it.

    Raises:
        MissingFile, InvalidInput: if there is none, or one that is easily guessed.
    """
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_FILE_BYTES + 1).decode("ascii").strip()
    except FileNotFoundError as error:
        raise MissingFile(f"{path} is missing; write one: openssl rand -hex 32 > {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} holds no token ({first_line(error)}); write one: openssl rand -hex 32") from error
    if not _MIN_LENGTH <= len(token) <= _MAX_FILE_BYTES or not token.isprintable() or " " in token:
        raise InvalidInput(
            f"{path} must hold one token of {_MIN_LENGTH} or more letters and digits; write one: openssl rand -hex 32"
        )
    return token


class TokenRequired:
    """Lets requests pass that bring the token, or are those of probes."""

    def __init__(self, app: ASGIApp, token: str):
        self.app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with 401."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            given = Request(scope).headers.get("authorization", "").encode("latin-1")
            kind, _, rest = given.partition(b" ")
            if not compare_digest(kind.title() + b" " + rest.strip(), self._expected):
                problem = Problem(
                    401,
                    "unauthorized",
                    "the request brings no valid token; send the header 'Authorization: Bearer TOKEN'",
                    headers={"www-authenticate": "Bearer"},
                )
                await problem.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)
