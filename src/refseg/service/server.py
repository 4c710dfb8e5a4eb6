"""Serving: a service on an address until it is asked to stop."""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from refseg.checkpoints import bundled
from refseg.checkpoints.config_file import check_weights
from refseg.counting import counted
from refseg.errors import InvalidInput, first_line, for_caller, shown
from refseg.finders.installed import installed_finder
from refseg.hardware import check_device_name, check_precision_name, choose_device
from refseg.service.app import create_app
from refseg.service.limits import Limits
from refseg.service.messages import Loaded, Setup
from refseg.service.service import Service
from refseg.service.worker import OFFLINE_ENVIRONMENT

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_SHUTDOWN_SECONDS = 3  # in which answers that are written already may still be read
KEEP_ALIVE_SECONDS = 75
"""Time for which a connection stays open without a request.

It is longer than clients and load balancers keep one (5 to 60 s), which would send on one that is being closed, and
than a client pauses in a body that has been refused already: it would find a reset in place of its answer.
"""


def serve(
    weights: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    devices: Sequence[str] = ("auto",),
    limits: Limits | None = None,
    token: str | None = None,
    origins: Sequence[str] = (),
    networks: Sequence[str] = (),
    access_log: bool = False,
    page: bool = True,
    on_message: Callable[[str], None] = print,
    precision: str = "f32",
) -> None:
    """Serves weights over HTTP until SIGTERM, SIGHUP or Ctrl-C, after which what was accepted is finished.

    Nothing is fetched from elsewhere: weights must be on this machine.

    Args:
        weights: names of weights; the first ones answer where a request names none. Without any, the bundled ones, and
            those for photographs where a finder is installed: each image gets those that suit it. The page's videos
            get the bundled ones for videos.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        devices: devices on which the weights run; one worker each.
        limits: limits of requests and of the queue.
        token: token that requests must bring; None lets everybody ask.
        origins: origins whose pages may read answers in a browser.
        networks: networks of the weights, defined in own files, each `FILE.py:NAME`.
        access_log: whether each request is logged.
        page: whether there is a web page at "/"; there is none where requests must bring a token.
        on_message: function that receives lines on the start and the end.
        precision: of the networks' arithmetic: "f32", "bf16" or "auto".

    Raises:
        MissingFile, InvalidInput: for weights, devices or an address that cannot be used.
    """
    os.environ.update(OFFLINE_ENVIRONMENT)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # damaged forms would fill the log
    for device in devices:
        check_device_name(device)
    check_precision_name(precision)
    chosen, by_image = list(dict.fromkeys(weights)), False
    for_videos: str | None = None
    if not chosen:
        by_image = installed_finder() is not None
        chosen = [bundled.FOR_IMAGES, bundled.FOR_PHOTOGRAPHS] if by_image else [bundled.FOR_IMAGES]
        if page and token is None:  # programs cannot ask about videos
            for_videos = bundled.FOR_VIDEOS
            chosen.append(for_videos)
    for name in chosen:
        check_weights(name, precision if weights else "f32")
    limits = limits or Limits()
    places = list(dict.fromkeys(choose_device(device) for device in devices))
    setups = [Setup(tuple(chosen), place, limits, tuple(networks), by_image, for_videos, precision) for place in places]
    with listen(host, port) as address:
        asyncio.run(_serve(Service(setups), address, host, token, origins, access_log, page, on_message))


async def _serve(
    service: Service,
    address: socket.socket,
    host: str,
    token: str | None,
    origins: Sequence[str],
    access_log: bool,
    page: bool,
    on_message: Callable[[str], None],
) -> None:
    begin = time.perf_counter()

    def tell_progress(loaded: Loaded) -> None:
        if not service.weights:  # later a worker is started again, which the log tells
            on = f" on {loaded.device}" if len(service.setups) > 1 else ""
            on_message(f"{loaded.weights} is loaded{on} after {time.perf_counter() - begin:.1f} s")

    url = f"http://{f'[{host}]' if ':' in host else host}:{address.getsockname()[1]}"
    names, devices = ", ".join(service.setups[0].weights), ", ".join(one.device for one in service.setups)
    on_message(f"{url} loads {names} on {devices}")
    service.on_loaded = tell_progress
    service.start()  # while the page is imported, which takes seconds
    await asyncio.sleep(0)
    config = uvicorn.Config(
        create_app(service, token, origins, page and token is None),
        log_config=None,
        log_level=logging.INFO if access_log else logging.WARNING,
        access_log=access_log,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws="none",
    )
    server = _Server(config, service.hurry)
    running = asyncio.create_task(server.serve(sockets=[address]))
    while not server.started and not running.done():
        await asyncio.sleep(0.01)
    ready, stop = asyncio.create_task(service.wait_until_ready()), asyncio.create_task(server.asked.wait())
    try:
        await asyncio.wait([ready, stop, running], return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            ready.result()  # raises if weights cannot be loaded
            how = "open it in a browser, or ask it as docs/service.md says" if page and token is None else "ask it"
            on_message(f"{url} is ready after {time.perf_counter() - begin:.1f} s: {how}; Ctrl-C stops it")
            await asyncio.wait([stop, running], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            on_message(f"stopping: what was accepted is finished within {service.limits.grace:g} s")
        late = await service.stop()
        on_message(f"stopped; without an answer in time: {counted(late, 'image')}" if late else "stopped")
    finally:
        ready.cancel()
        stop.cancel()
        server.should_exit = True
        await running


class _Server(uvicorn.Server):
    """A server that answers on while the service finishes, and whose signals end it well.

    Attributes:
        asked: set once it was asked to stop.
    """

    def __init__(self, config: uvicorn.Config, hurry: Callable[[], None]):
        """Makes a server, which calls `hurry` when it is asked to stop for the second time."""
        super().__init__(config)
        self.asked, self._hurry = asyncio.Event(), hurry
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles the signals, those that are ignored (`nohup`) apart."""
        is_main = threading.current_thread() is threading.main_thread()  # no other one may handle signals
        before = {number: signal.getsignal(number) for number in _SIGNALS if is_main}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in before.items():
                if handler is not None:
                    signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Asks to stop; a second time, without a grace."""
        self._loop.call_soon_threadsafe(self._ask)

    def _ask(self) -> None:
        if self.asked.is_set():
            self._hurry()
        self.asked.set()


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens.

    Raises:
        InvalidInput: if there is no such address, or it is taken.
    """
    if not 0 <= port <= 65535:
        raise InvalidInput(f"port {port} is none; give one from 0, for a free one, to 65535")
    try:
        found: Any = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        address = socket.create_server(found[0][4][:2], family=found[0][0], backlog=2048)
    except (OSError, UnicodeError, OverflowError) as error:
        is_of_system = isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno
        reason = os.strerror(is_of_system) if is_of_system else getattr(error, "strerror", None) or first_line(error)
        raise InvalidInput(
            f"port {port} of {shown(host)} cannot be listened on ({reason}); give {for_caller('--port', 'port')} or "
            f"{for_caller('--host', 'host')} another value"
        ) from error
    with address:
        yield address
