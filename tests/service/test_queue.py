"""The queue between requests and workers, with workers that do what a test says."""

import asyncio
import hashlib
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from refseg.errors import InvalidInput
from refseg.service.limits import Limits
from refseg.service.messages import Answer, BatchDone, Failed, Ready, Setup, WeightsFacts
from refseg.service.service import Service

READY = Ready("cpu", (WeightsFacts("selector", "abc", "selector", "drawn scenes", True),))


class Scripted:
    """A worker that answers while `open` is set; `dies` ends it at the next job."""

    def __init__(self) -> None:
        self.open, self.starts, self.dies, self.jobs = threading.Event(), 0, False, []
        self.open.set()

    def __call__(self, connection, setup) -> None:
        self.starts += 1
        connection.send(READY)
        try:
            while (job := connection.recv()) is not None:
                self.jobs.append(job)
                if self.dies:
                    self.dies = False
                    return
                self.open.wait()
                connection.send(Answer(job.number, "selector", job.digest, "application/json", b'[{"found": true}]'))
                connection.send(BatchDone(1, 1, 0, 0.01))
        except (EOFError, OSError):
            pass


@pytest.fixture
def worker():
    scripted = Scripted()
    yield scripted
    scripted.open.set()


def ask(client):
    return client.post("/v1/segment", files={"image": ("a.png", b"bytes")}, data={"expressions": ["the cup"]})


def ask_at_once(client, count) -> list[Future]:
    threads = ThreadPoolExecutor(count)
    return [threads.submit(ask, client) for _ in range(count)]


def in_queue(client) -> float:
    return next(
        float(line.split()[1]) for line in client.get("/metrics").text.splitlines() if line[:13] == "refseg_queue "
    )


def test_what_the_queue_cannot_hold_is_refused_at_once_and_what_it_holds_is_answered(serve, worker, wait_until):
    with serve(worker, Limits(queue=5, batch_size=1)) as client:
        worker.open.clear()
        accepted = ask_at_once(client, 5)
        wait_until(lambda: in_queue(client) == 5)
        begin = time.monotonic()
        refused = ask(client)
        assert time.monotonic() - begin < 1 and refused.status_code == 503
        assert refused.json()["code"] == "queue_full" and int(refused.headers["retry-after"]) >= 1
        worker.open.set()
        assert [one.result().status_code for one in accepted] == [200] * 5
        assert ask(client).status_code == 200 and in_queue(client) == 0


def test_the_digest_of_an_image_is_computed_where_it_is_not_given(serve, worker):
    with serve(worker) as client:
        assert ask(client).json()["image_sha256"] == hashlib.sha256(b"bytes").hexdigest() == worker.jobs[0].digest


def test_a_worker_gets_no_more_than_a_batch_and_the_next_one(serve, worker, wait_until):
    with serve(worker, Limits(batch_size=2)) as client:
        worker.open.clear()
        accepted = ask_at_once(client, 7)
        wait_until(lambda: in_queue(client) == 7)
        assert len(client.service.workers[0].jobs) == 4
        worker.open.set()
        assert [one.result().status_code for one in accepted] == [200] * 7


def test_a_request_that_is_not_answered_in_time_is_told_so_and_leaves_the_queue(serve, worker):
    with serve(worker, Limits(seconds=0.2)) as client:
        worker.open.clear()
        late = ask(client)
        assert late.status_code == 504 and late.json()["code"] == "timeout" and "0.2 seconds" in late.json()["detail"]
        assert in_queue(client) == 0


def test_the_requests_of_a_worker_that_dies_are_told_so_and_it_is_started_again(serve, worker, wait_until):
    with serve(worker) as client:
        worker.dies = True
        lost = ask(client)
        assert lost.status_code == 503 and lost.json()["code"] == "worker_died" and lost.headers["retry-after"]
        wait_until(lambda: client.service.is_ready)
        assert ask(client).status_code == 200 and worker.starts == 2
        assert "refseg_worker_restarts_total 1.0" in client.get("/metrics").text


def test_a_worker_that_cannot_be_started_again_is_tried_again(serve, worker, wait_until, monkeypatch):
    monkeypatch.setattr("refseg.service.workers.MIN_DELAY", 0.01)
    tries = []

    def start(connection, setup):
        tries.append(connection)
        if len(tries) in (2, 3):
            raise OSError(12, "Cannot allocate memory")
        return serve.process(worker, connection, setup)

    with serve(worker, start=start) as client:
        worker.dies = True
        assert ask(client).status_code == 503
        wait_until(lambda: client.service.is_ready)
        assert ask(client).status_code == 200 and len(tries) == 4


def test_while_a_worker_starts_again_requests_wait_for_it(serve, worker, wait_until):
    again = threading.Event()

    def slow_start(connection, setup):
        if worker.starts:
            again.wait()
        worker(connection, setup)

    with serve(slow_start) as client:
        worker.dies = True
        assert ask(client).status_code == 503
        assert client.get("/readyz").status_code == 503
        (waits,) = ask_at_once(client, 1)
        wait_until(lambda: in_queue(client) == 1)
        again.set()
        assert waits.result().status_code == 200


def test_a_worker_that_falls_silent_is_ended_and_started_again(serve, worker, wait_until, monkeypatch):
    monkeypatch.setattr("refseg.service.service._WATCH_EVERY", 0.05)
    with serve(worker, Limits(seconds=0.2)) as client:
        worker.open.clear()
        assert ask(client).status_code == 504
        wait_until(lambda: worker.starts == 2)
        worker.open.set()
        wait_until(lambda: client.service.is_ready)
        assert ask(client).status_code == 200


def test_a_service_that_is_stopped_finishes_what_it_accepted_and_refuses_the_rest(serve, worker, wait_until):
    with serve(worker) as client:
        worker.open.clear()
        accepted = ask_at_once(client, 3)
        wait_until(lambda: in_queue(client) == 3)
        stopping = asyncio.run_coroutine_threadsafe(client.service.stop(), client.service._lives[0].get_loop())
        wait_until(lambda: client.service.stopping)
        refused = ask(client)
        assert refused.status_code == 503 and refused.json()["code"] == "stopping" and refused.headers["retry-after"]
        assert client.get("/readyz").status_code == 503 and client.get("/healthz").status_code == 200
        worker.open.set()
        assert [one.result().status_code for one in accepted] == [200] * 3 and stopping.result() == 0


@pytest.mark.parametrize("hurried", [False, True])
def test_what_is_not_finished_within_the_grace_is_told_so(serve, worker, wait_until, hurried):
    with serve(worker) as client:
        worker.open.clear()
        accepted = ask_at_once(client, 2)
        wait_until(lambda: in_queue(client) == 2)
        loop = client.service._lives[0].get_loop()
        stopping = asyncio.run_coroutine_threadsafe(client.service.stop(60 if hurried else 0.1), loop)
        if hurried:
            wait_until(lambda: client.service.stopping)
            loop.call_soon_threadsafe(client.service.hurry)
        assert stopping.result() == 2
        assert {one.result().json()["code"] for one in accepted} == {"stopping"}


def test_a_service_whose_weights_cannot_be_loaded_says_why():
    class Ended:
        exitcode = 0

        def join(self, timeout=None):
            pass

    def fail(connection, setup):
        connection.send(Failed("the weights are damaged; get them again"))
        connection.close()
        return Ended()

    async def start():
        service = Service([Setup(("selector",), "cpu", Limits())], start=fail)
        service.start()
        try:
            await asyncio.wait_for(service.wait_until_ready(), 10)
        finally:
            await service.stop()

    with pytest.raises(InvalidInput, match="the weights are damaged"):
        asyncio.run(start())
