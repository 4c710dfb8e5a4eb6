"""The server: what it says while it starts, and connections that stay open."""

import re
import socket
import threading

import pytest

from refseg.service import server as server_module
from refseg.service.messages import Loaded, Ready, WeightsFacts
from refseg.service.service import Service

FACTS = tuple(WeightsFacts(name, "abc", name, "drawn scenes", name == "selector") for name in ("selector", "reader"))
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


def refused_upload(size: int) -> bytes:
    """The head of a request whose body follows."""
    head = f"POST /v1/segment HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    return head.encode()


def read_answer(client: socket.socket) -> bytes:
    """Reads head and body of one answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    (size,) = re.findall(rb"content-length: (\d+)", head)
    return head + client.recv(int(size), socket.MSG_WAITALL)


@pytest.fixture(scope="module")
def running(serve, wait_until):
    """A service on a true socket that refuses all requests: its address, what it said, and its server."""

    def work(connection, setup):
        for name in setup.weights:
            connection.send(Loaded(name, setup.device))
        connection.send(Ready(setup.device, FACTS))
        while connection.recv() is not None:
            pass

    def refusing(setups):
        service = Service(setups, start=lambda connection, setup: serve.process(work, connection, setup))
        service._held = service.limits.queue
        services.append(service)
        return service

    services, servers, said = [], [], []

    class Server(server_module._Server):
        def __init__(self, *given):
            super().__init__(*given)
            servers.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_module, "Service", refusing)
        patch.setattr(server_module, "_Server", Server)
        patch.setattr(server_module, "check_weights", lambda *_: None)
        settings = {"port": 0, "page": False, "on_message": said.append}
        thread = threading.Thread(target=server_module.serve, args=(["selector", "reader"],), kwargs=settings)
        thread.start()
        wait_until(lambda: any("is ready" in line for line in said))
        port = int(said[0].split()[0].rpartition(":")[2])
        yield ("127.0.0.1", port), said, servers[0]
        services[0]._held = 0
        servers[0].handle_exit(15, None)
        thread.join(20)
        assert not thread.is_alive() and said[-1] == "stopped"


def test_the_start_tells_what_is_loaded(running):
    _, said, _ = running
    assert "loads selector, reader on cpu" in said[0] and len(said) == 4
    assert said[1].startswith("selector is loaded after ") and said[2].startswith("reader is loaded after ")


def test_a_refusal_comes_before_the_body_and_the_connection_lives_on(running):
    address, _, _ = running
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(refused_upload(8_000_000))
        answer = read_answer(client)
        assert answer.startswith(b"HTTP/1.1 503") and b"queue_full" in answer
        client.sendall(bytes(8_000_000))
        client.sendall(GET)
        assert read_answer(client).startswith(b"HTTP/1.1 200")


def test_connections_stay_open_for_longer_than_clients_keep_them(running):
    address, _, server = running
    assert server.config.timeout_keep_alive == server_module.KEEP_ALIVE_SECONDS > 60
    server.config.timeout_keep_alive = 0.2  # of connections that begin now: what cuts a body that pauses is the setting
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(refused_upload(100) + bytes(50))
        assert read_answer(client).startswith(b"HTTP/1.1 503")
        assert client.recv(10) == b""
