"""The worker: a process that loads weights and answers jobs until nobody is at the other end any more.

Nothing is imported at the top that reads the environment, which `run` sets.
"""

import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from refseg.errors import RefsegError, command_line, first_line, speaking_to
from refseg.service.messages import Failed, Ready, Setup

if TYPE_CHECKING:
    from refseg.service.answering import Answering

OFFLINE_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Environment in which libraries leave the network alone."""
IGNORED_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that are often sent to all processes; the service ends its workers itself."""


def run(connection: Connection, setup: Setup) -> None:
    """Answers the jobs of a connection until it is closed, or gives None."""
    if threading.current_thread() is threading.main_thread():
        for number in IGNORED_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
        os.environ.update(OFFLINE_ENVIRONMENT)
    from refseg.service.answering import Answering

    with connection, command_line():
        try:
            answering = Answering(setup, connection.send)
        except Exception as error:
            told = isinstance(error, RefsegError)
            connection.send(Failed(str(error) if told else f"{type(error).__name__}: {first_line(error)}"))
            return
        with answering, speaking_to("page", setup.weights):  # jobs say who asks; videos are asked about on the page
            connection.send(Ready(setup.device, answering.facts))
            threading.Thread(target=_receive, args=(connection, answering), daemon=True).start()
            answering.loop()


def _receive(connection: Connection, answering: "Answering") -> None:
    try:
        while (job := connection.recv()) is not None:
            answering.prepare(job)
    except (EOFError, OSError):  # the service has died
        pass
    answering.stop()
