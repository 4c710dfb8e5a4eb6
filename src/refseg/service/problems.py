"""Problems: errors of requests as problem details for HTTP (RFC 9457)."""

import json
from http import HTTPStatus
from typing import Any, Literal

from starlette.responses import Response

Code = Literal[
    "bad_request",
    "unauthorized",
    "not_found",
    "method_not_allowed",
    "too_large",
    "not_supported",
    "not_valid",
    "internal_error",
    "queue_full",
    "not_ready",
    "worker_died",
    "stopping",
    "out_of_memory",
    "timeout",
]
"""Codes by which programs tell problems apart."""


class Problem(Exception):
    """A request that gets no answer.

    Attributes:
        status: status of HTTP.
        code: code for programs.
        detail: one line: what was given, what is allowed, the way out.
        retry_after: seconds after which the same request may succeed; None if it will not.
        headers: further headers.
    """

    def __init__(
        self,
        status: int,
        code: Code,
        detail: str,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(detail)
        self.status, self.code, self.detail, self.retry_after = status, code, detail, retry_after
        self.headers = headers or {}

    def to_dict(self) -> dict[str, Any]:
        """The problem details, ready for JSON."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **({"retry_after": self.retry_after} if self.retry_after is not None else {}),
        }

    def response(self) -> Response:
        """The response, with Retry-After where that helps."""
        again = {"retry-after": str(self.retry_after)} if self.retry_after is not None else {}
        content = json.dumps(self.to_dict())  # ASCII: a detail may quote what is no valid text
        return Response(content, self.status, {**self.headers, **again}, "application/problem+json")
