"""Services whose workers are threads: no process is started, and what a worker does is seen."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest
from fastapi.testclient import TestClient

from refseg.service.app import create_app
from refseg.service.limits import Limits
from refseg.service.messages import Setup
from refseg.service.service import Service
from refseg.service.workers import Start


class ThreadAsProcess:
    """A thread that is ended as a process would be: its connection breaks."""

    def __init__(self, work: Callable[[Connection, Setup], None], connection: Connection, setup: Setup):
        self.exitcode: int | None = None
        self._connection = connection

        def run() -> None:
            try:
                work(connection, setup)
            finally:
                connection.close()
                self.exitcode = self.exitcode or 0

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        self.exitcode = -9
        self._connection.close()

    def join(self, timeout: float | None = None) -> None:
        if self.exitcode is None:
            self._thread.join(timeout)


@contextmanager
def serving(
    work: Callable[[Connection, Setup], None],
    limits: Limits | None = None,
    weights: tuple[str, ...] = ("selector",),
    by_image: bool = False,
    start: Start | None = None,
    **settings: object,
) -> Iterator[TestClient]:
    """A client of a service whose worker does this; `client.service` is the service."""
    service = Service(
        [Setup(weights, "cpu", limits or Limits(), by_image=by_image)],
        start=start or (lambda connection, setup: ThreadAsProcess(work, connection, setup)),
    )
    with TestClient(create_app(service, **settings), raise_server_exceptions=False) as client:
        client.service = service
        wait_until(lambda: client.service.is_ready)
        yield client


def wait_until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def serve() -> Callable[..., object]:
    serving.process = ThreadAsProcess
    return serving


@pytest.fixture(scope="module", name="wait_until")
def wait() -> Callable[..., None]:
    return wait_until
