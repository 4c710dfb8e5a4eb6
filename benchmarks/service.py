"""The HTTP service under load, under rubbish, and under kills; one service for all parts, one row of a table each.

Parts, each of which `--parts` can leave out:
throughput   different images, one expression each, by so many clients at once, beside calls of the library one by one
expressions  an image with 16 expressions, and with one; images that the service has not seen
fuzz         damaged and nonsensical requests: no 500, no traceback, and the service answers afterwards
overload     ten times as many clients as the queue holds: accepted requests are answered rightly, memory stays
kill         `kill -9` of the worker under load: its requests are told, it is started again
term         `kill -TERM` under load: what was accepted is answered, the exit code is 0

python benchmarks/service.py --parts throughput expressions
python benchmarks/service.py --weights reader --images PHOTOGRAPHS --expressions "the dog" "the man on the left"
python benchmarks/service.py --tiny

The exit code is 1 if a part shows what must not be.
"""

import argparse
import asyncio
import io
import itertools
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any

import httpx2
import numpy as np
from PIL import Image

import refseg
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.masks.rle import decode_rle, parse_rle
from timing import print_table

PARTS = ("throughput", "expressions", "fuzz", "overload", "kill", "term")
SAME = 0.99  # IoU with the library's mask from which on an answer is right; batches differ in the last bit
WORKER = b"spawn_main"  # in the command line of a worker


@dataclass
class Sizes:
    """How much of each part is run."""

    clients: tuple[int, ...] = (1, 4, 16, 64)
    requests: int = 256  # at each number of clients
    repeats: int = 10  # of requests with 16 expressions, and with one
    fuzz: int = 1_000
    minutes: float = 10
    queue: int = 64
    load_seconds: float = 5  # before a signal


TINY = Sizes((1, 4), requests=8, repeats=2, fuzz=60, minutes=0.03, queue=4, load_seconds=0.7)


@dataclass
class Asked:
    """What requests are made of: contents of image files, and expressions about any of them."""

    images: list[bytes]
    expressions: list[str]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_image(self) -> bytes:
        """An image that no request has had: one of the images with a pixel changed."""
        number = next(self.numbers)
        pixels = np.array(Image.open(io.BytesIO(self.images[number % len(self.images)])).convert("RGB"))
        pixels[0, 0] = number % 256, number // 256 % 256, number // 65536
        return png(pixels)


@dataclass
class Outcome:
    """What a request came to: a status, or the name of an error, 0 if it was never sent."""

    status: int | str
    code: str
    begin: float
    seconds: float
    body: Any = None


class Running:
    """A running service."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str], url: str, ready_seconds: float):
        self.process, self.log, self.url, self.ready_seconds = process, log, url, ready_seconds

    def pids(self) -> dict[int, bytes]:
        """Command lines of the service and of its children."""
        found, waiting = {}, [self.process.pid]
        while waiting:
            pid = waiting.pop()
            try:
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
                for task in Path(f"/proc/{pid}/task").iterdir():
                    waiting += map(int, (task / "children").read_text().split())
            except OSError:  # ended meanwhile
                continue
        return found

    def megabytes(self) -> float:
        """Memory of the service and its worker."""
        pages = 0
        for pid in self.pids():
            try:
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def worker(self) -> int:
        """Process of the worker."""
        return next(pid for pid, line in self.pids().items() if WORKER in line)

    def logged(self) -> str:
        """What it has written to stderr."""
        self.log.flush()
        return Path(self.log.name).read_text()


@contextmanager
def running(weights: list[str], queue: int, threads: int) -> Iterator[Running]:
    """A service that is ready, on a free port; killed in the end, if it still runs."""
    named = [word for name in weights for word in ("--weights", name)]
    command = [sys.executable, "-m", "refseg", "serve", "--no-page", "--port", "0", "--queue", str(queue), *named]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        try:
            assert process.stdout is not None
            said = [process.stdout.readline()]
            while said[-1] and "is ready" not in said[-1]:
                said.append(process.stdout.readline())
            if not said[-1]:
                sys.exit(f"the service did not start: {''.join(said)}{Path(log.name).read_text()}")
            yield Running(process, log, said[0].split()[0], time.perf_counter() - begin)
        finally:
            process.kill()
            process.wait()


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


async def ask(client: httpx2.AsyncClient, image: bytes, expressions: list[str]) -> Outcome:
    begin = time.monotonic()
    try:
        answer = await client.post("/v1/segment", files={"image": ("a.png", image)}, data={"expressions": expressions})
        body = answer.json()
        return Outcome(answer.status_code, body.get("code", ""), begin, time.monotonic() - begin, body)
    except httpx2.ConnectError:
        return Outcome(0, "no connection", begin, time.monotonic() - begin)
    except httpx2.HTTPError as error:
        return Outcome(type(error).__name__, "no answer", begin, time.monotonic() - begin)


def connect(url: str) -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx2.AsyncClient(base_url=url, timeout=300, limits=limits)


async def ask_many(url: str, asked: Asked, count: int, clients: int) -> list[Outcome]:
    """So many requests about new images, by clients that ask again as soon as they are answered."""
    images = iter([asked.new_image() for _ in range(count)])
    outcomes: list[Outcome] = []

    async def ask_on(client: httpx2.AsyncClient, number: int) -> None:
        for k, image in enumerate(images):
            expression = asked.expressions[(number + k) % len(asked.expressions)]
            outcomes.append(await ask(client, image, [expression]))

    async with connect(url) as client:
        await asyncio.gather(*(ask_on(client, number) for number in range(clients)))
    return outcomes


async def keep_asking(client: httpx2.AsyncClient, asked: Asked, outcomes: list[Outcome], until: asyncio.Event) -> None:
    """Asks about known images until it is over; after a refusal it waits a little, as a client would."""
    while not until.is_set():
        number = next(asked.numbers)
        image = number % len(asked.images)
        outcome = await ask(client, asked.images[image], [asked.expressions[image % len(asked.expressions)]])
        outcome.body = (image, outcome.body) if outcome.status == 200 else None
        outcomes.append(outcome)
        if outcome.status != 200:
            await asyncio.sleep(random.uniform(0.5, 1.5))


def time_refusals(url: str, image: bytes, expression: str, until: float) -> list[float]:
    """Times the refusals that a client gets who has a process of its own, and a new connection for each request."""
    found = []
    while time.monotonic() < until:
        with httpx2.Client(base_url=url, timeout=300) as client:
            begin = time.monotonic()
            given = {"image": ("a.png", image)}
            if client.post("/v1/segment", files=given, data={"expressions": [expression]}).status_code == 503:
                found.append(time.monotonic() - begin)
        time.sleep(0.2)
    return found


def percentiles(seconds: list[float]) -> list[str]:
    """p50, p95 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
    return [f"{cuts[k - 1] * 1000:.0f}" for k in (50, 95, 99)]


def metric(url: str, name: str) -> float:
    text = httpx2.get(f"{url}/metrics", timeout=30).text
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def throughput(service: Running, asked: Asked, sizes: Sizes, weights: list[str], failures: list[str]) -> None:
    segmenter = refseg.load(weights[0] if weights else "selector")
    segmenter(asked.images[0], asked.expressions[0])  # not counted
    images, seconds = [asked.new_image() for _ in range(sizes.requests)], []
    for k, image in enumerate(images):
        begin = time.perf_counter()
        segmenter(image, asked.expressions[k % len(asked.expressions)]).to_dict()
        seconds.append(time.perf_counter() - begin)
    lines = [["the library, one by one", f"{len(seconds) / sum(seconds):.1f}", *percentiles(seconds), "1"]]
    for clients in sizes.clients:
        batches, answered = (
            metric(service.url, "refseg_batch_images_count"),
            metric(service.url, "refseg_batch_images_sum"),
        )
        begin = time.perf_counter()
        outcomes = asyncio.run(ask_many(service.url, asked, sizes.requests, clients))
        took = time.perf_counter() - begin
        good = [one.seconds for one in outcomes if one.status == 200]
        batches = metric(service.url, "refseg_batch_images_count") - batches
        size = (metric(service.url, "refseg_batch_images_sum") - answered) / max(batches, 1)
        lines.append([f"{clients} clients", f"{len(good) / took:.1f}", *percentiles(good), f"{size:.1f}"])
        if clients <= sizes.queue and len(good) < sizes.requests:
            failures.append(f"throughput: {sizes.requests - len(good)} requests of {clients} clients were not answered")
    head = ["", "images a second", "p50, ms", "p95, ms", "p99, ms", "images in a batch"]
    print_table(f"Throughput, {sizes.requests} new images with one expression", head, lines)


def expressions(service: Running, asked: Asked, sizes: Sizes, failures: list[str]) -> None:
    sixteen = [asked.expressions[k % len(asked.expressions)] for k in range(16)]
    seconds: dict[str, list[float]] = {}
    with httpx2.Client(base_url=service.url, timeout=300) as client:

        def time_of(name: str, image: bytes, some: list[str]) -> None:
            begin = time.perf_counter()
            answer = client.post("/v1/segment", files={"image": ("a.png", image)}, data={"expressions": some})
            if answer.status_code != 200 or len(answer.json()["results"]) != len(some):
                failures.append(f"expressions: {answer.text[:200]}")
            seconds.setdefault(name, []).append(time.perf_counter() - begin)

        for _ in range(sizes.repeats):
            image = asked.new_image()
            time_of("one, new image", image, sixteen[:1])
            time_of("one, the same image again", image, sixteen[:1])
            image = asked.new_image()
            time_of("16, new image", image, sixteen)
            time_of("16, the same image again", image, sixteen)
    first = statistics.median(seconds["one, new image"])
    lines = [
        [name, f"{statistics.median(some) * 1000:.0f}", f"{statistics.median(some) / first:.2f}"]
        for name, some in seconds.items()
    ]
    print_table(f"Expressions of a request, median of {sizes.repeats}", ["expressions", "ms", "of the first"], lines)


def rubbish(rng: random.Random, image: bytes) -> dict[str, Any]:
    """A request as httpx2 takes it that is damaged, nonsensical, or quite right."""
    texts = [
        "",
        "x",
        "the cup",
        "\x00",
        "\ud800",
        "é" * 600,
        "💥",
        "../../etc/passwd",
        "<script>",
        "{}",
        "%s%n",
        "a" * 9999,
    ]
    values = [*texts, None, -1, 0, 1e308, float("nan"), True, [], {}, [[]], 10**400, "0.5", "selector", "mask", "json"]
    cut, noise = image[: rng.randrange(len(image))], rng.randbytes(rng.randrange(2000))
    place = rng.randrange(len(image))
    files = [
        image,
        cut,
        noise,
        image[:place] + noise[:9] + image[place + 9 :],
        b"",
        b"\x89PNG\r\n\x1a\n" + noise,
        b"GIF89a" + noise,
    ]
    name = rng.choice(["image", "images", "file", "", "expressions", "a" * 200, 'x"; y="z'])
    kind = rng.randrange(6)
    query = {rng.choice(["weights", "threshold", "format", "x"]): str(rng.choice(values))} if rng.random() < 0.3 else {}
    path = rng.choice(["/v1/segment", "/v1/segment/batch"])
    if kind == 0:
        some = [rng.choice(texts).encode("utf-8", "replace").decode() for _ in range(rng.randrange(40))]
        return {
            "url": path,
            "params": query,
            "files": [(name or "image", ("a", rng.choice(files)))],
            "data": {"expressions": some},
        }
    if kind == 1:
        body = {
            rng.choice(["image", "images", "expressions", "weights", "threshold", "format", "x"]): rng.choice(values)
            for _ in range(4)
        }
        text = str(body).replace("'", '"').replace("None", "null").replace("True", "true").replace("nan", "NaN")
        return {
            "url": path,
            "params": query,
            "content": text.encode("utf-8", "replace"),
            "headers": {"content-type": "application/json"},
        }
    if kind == 2:
        content = rng.choice([b"[" * 5000, b'{"image":' * 500, b"null", b"\xff\xfe", b'"\\ud800"', noise])
        return {
            "url": path,
            "content": content,
            "headers": {
                "content-type": rng.choice(["application/json", "text/x", "", "multipart/form-data; boundary=a"])
            },
        }
    if kind == 3:
        whole = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image + b"\r\n--b--\r\n"
        place = rng.randrange(len(whole))
        damaged = whole[:place] + rng.choice([b"", noise[:20], b"\r\n--b\r\n"]) + whole[place + rng.randrange(20) :]
        return {"url": path, "content": damaged, "headers": {"content-type": "multipart/form-data; boundary=b"}}
    if kind == 4:
        where = rng.choice(["/", "/v1", "/v1/segment/../x", "/%00", "/openapi.json", "/v1/weights", "//", "/docs"])
        return {"url": where, "method": rng.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])}
    return {"url": path, "files": [("image", ("a.png", image))], "data": {"expressions": ["the red star"]}}


def fuzz(service: Running, asked: Asked, sizes: Sizes, failures: list[str], seed: int) -> None:
    rng, statuses = random.Random(seed), Counter[str]()

    async def send() -> None:
        gate = asyncio.Semaphore(4)
        async with connect(service.url) as client:

            async def one(number: int) -> None:
                request = rubbish(rng, rng.choice(asked.images))
                async with gate:
                    try:
                        answer = await client.request(**{"method": "POST", **request})
                    except (httpx2.InvalidURL, UnicodeError, ValueError):  # which the client itself refuses
                        statuses["not sent"] += 1
                        return
                    statuses[str(answer.status_code)] += 1
                    problem = answer.status_code >= 400 and request.get("method") != "HEAD"
                    if answer.status_code == 500 or (problem and "detail" not in answer.text):
                        failures.append(
                            f"fuzz: request {number} of seed {seed} got {answer.status_code} {answer.text[:200]}"
                        )

            await asyncio.gather(*(one(number) for number in range(sizes.fuzz)))
            last = await ask(client, asked.images[0], asked.expressions[:1])
            if last.status != 200:
                failures.append(f"fuzz: afterwards a good request got {last}")

    asyncio.run(send())
    if "Traceback" in service.logged():
        failures.append(f"fuzz: a traceback was logged: {service.logged()[-1500:]}")
    print_table(
        f"{sizes.fuzz} fuzzed requests, seed {seed}",
        ["status", "requests"],
        [[k, str(v)] for k, v in sorted(statuses.items())],
    )


def overload(service: Running, asked: Asked, sizes: Sizes, weights: list[str], failures: list[str]) -> None:
    segmenter = refseg.load(weights[0] if weights else "selector")
    true = [
        segmenter(image, asked.expressions[k % len(asked.expressions)]).mask for k, image in enumerate(asked.images)
    ]
    outcomes: list[Outcome] = []
    memory: list[float] = []

    async def press() -> None:
        over = asyncio.Event()
        async with connect(service.url) as client:
            clients = [asyncio.create_task(keep_asking(client, asked, outcomes, over)) for _ in range(10 * sizes.queue)]
            end = time.monotonic() + 60 * sizes.minutes
            while time.monotonic() < end:
                await asyncio.sleep(min(1, 6 * sizes.minutes))
                memory.append(await asyncio.to_thread(service.megabytes))
            over.set()
            await asyncio.gather(*clients)

    with ProcessPoolExecutor(1, get_context("spawn")) as processes:
        known = asked.images[0], asked.expressions[0]
        timed = processes.submit(time_refusals, service.url, *known, time.monotonic() + 60 * sizes.minutes)
        asyncio.run(press())
        alone = timed.result()
    good = [one for one in outcomes if one.status == 200]
    refused = [one for one in outcomes if one.status == 503 and one.code == "queue_full"]
    wrong = 0
    for one in good:
        image, answer = one.body
        mask, other = decode_rle(parse_rle(answer["results"][0]["rle"])), true[image]
        both = (mask | other).sum()
        wrong += bool(both and (mask & other).sum() / both < SAME)
    others = Counter(f"{one.status} {one.code}" for one in outcomes if one.status not in (200, 503))
    tenth = max(len(memory) // 10, 1)
    early, late = statistics.median(memory[tenth : 3 * tenth] or memory), statistics.median(memory[-2 * tenth :])
    lines = [
        ["clients", str(10 * sizes.queue)],
        ["accepted and answered rightly", f"{len(good) - wrong} of {len(good)}"],
        ["refused (503)", str(len(refused))],
        ["anything else", str(dict(others) or "none")],
        ["answers, p50, p95, p99, ms", " ".join(percentiles([one.seconds for one in good]))],
        ["refusals, p50, p95, p99, ms", " ".join(percentiles([one.seconds for one in refused] or [0.0]))],
        ["the same, of a client in a process of its own", " ".join(percentiles(alone)) if alone else "none"],
        ["memory after a tenth, in the end, at most, MB", f"{early:.0f} {late:.0f} {max(memory):.0f}"],
    ]
    print_table(f"Ten times what the queue holds, {sizes.minutes:g} minutes", ["", ""], lines)
    if wrong or others or not good or not refused:
        failures.append(f"overload: {wrong} wrong, {dict(others)}, {len(good)} answered, {len(refused)} refused")
    if sizes.minutes >= 5 and late > 1.05 * early + 20:
        failures.append(f"overload: memory grew from {early:.0f} to {late:.0f} MB")


async def under_load(
    service: Running, asked: Asked, sizes: Sizes, signal_: Any, seconds_after: float
) -> tuple[list[Outcome], float]:
    """Outcomes of clients, some of them beyond the queue, before and after a signal, and when that was sent."""
    outcomes: list[Outcome] = []
    over = asyncio.Event()
    async with connect(service.url) as client:
        clients = [asyncio.create_task(keep_asking(client, asked, outcomes, over)) for _ in range(2 * sizes.queue)]
        await asyncio.sleep(sizes.load_seconds)
        at = time.monotonic()
        await asyncio.to_thread(signal_)
        if seconds_after:
            end = time.monotonic() + seconds_after
            while time.monotonic() < end:
                await asyncio.sleep(0.2)
                if any(one.begin > at + 0.5 and one.status == 200 for one in list(outcomes)):
                    break  # it answers again
        else:
            await asyncio.to_thread(service.process.wait, 120)
        over.set()
        await asyncio.gather(*clients)
    return outcomes, at


def kill(service: Running, asked: Asked, sizes: Sizes, failures: list[str]) -> None:
    before = metric(service.url, "refseg_worker_restarts_total")
    pid = service.worker()
    outcomes, at = asyncio.run(under_load(service, asked, sizes, lambda: os.kill(pid, signal.SIGKILL), 300))
    counts = Counter(f"{one.status} {one.code}".strip() for one in outcomes)
    again = min((one.begin + one.seconds for one in outcomes if one.status == 200 and one.begin > at), default=None)
    lines = [[name, str(count)] for name, count in sorted(counts.items())]
    lines.append(["seconds until it answers again", "never" if again is None else f"{again - at:.1f}"])
    print_table("kill -9 of the worker under load", ["outcome", "requests"], lines)
    silent = [one for one in outcomes if one.status not in (200, 503)]
    restarts = metric(service.url, "refseg_worker_restarts_total") - before
    if silent or again is None or not counts["503 worker_died"] or restarts != 1:
        failures.append(
            f"kill: {dict(counts)}, {restarts:.0f} restarts, {'never' if again is None else 'again'} answered"
        )


def term(service: Running, asked: Asked, sizes: Sizes, failures: list[str]) -> None:
    outcomes, at = asyncio.run(under_load(service, asked, sizes, service.process.terminate, 0))
    code = service.process.returncode
    before = [one for one in outcomes if one.begin < at]
    counts = Counter(("before" if one.begin < at else "after", f"{one.status} {one.code}".strip()) for one in outcomes)
    held = sum(one.status == 200 and one.begin < at < one.begin + one.seconds for one in outcomes)
    lines = [[f"begun {when} the signal: {what}", str(count)] for (when, what), count in sorted(counts.items())]
    lines += [["accepted when the signal came, and answered", str(held)], ["exit code", str(code)]]
    print_table("kill -TERM under load", ["outcome", "requests"], lines)
    lost = [one for one in before if one.status not in (200, 503)]
    if lost or code or not held:
        failures.append(f"term: {len(lost)} of those that were accepted lost, {held} held, exit code {code}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments.add_argument("--weights", nargs="+", default=["selector"])
    arguments.add_argument("--images", type=Path, help="folder of photographs; drawn scenes if not given")
    arguments.add_argument("--expressions", nargs="+", help="with --images")
    arguments.add_argument("--threads", type=int, default=1, help="of torch")
    arguments.add_argument("--clients", type=int, nargs="+", default=Sizes.clients)
    arguments.add_argument("--requests", type=int, default=Sizes.requests)
    arguments.add_argument("--minutes", type=float, default=Sizes.minutes, help="of overload")
    arguments.add_argument("--queue", type=int, default=Sizes.queue)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--tiny", action="store_true", help="all of it in seconds: whether it runs")
    given = arguments.parse_args()
    sizes = Sizes(tuple(given.clients), given.requests, minutes=given.minutes, queue=given.queue)
    failures = measure(given.parts, given.weights, asked_about(given), TINY if given.tiny else sizes, given)
    print("\n".join(failures) or "nothing was wrong")
    sys.exit(bool(failures))


def asked_about(given: argparse.Namespace) -> Asked:
    """Photographs of a folder, or drawn scenes."""
    if given.images is None:
        scenes = [DrawnScenes("test", 32)[k] for k in range(32)]
        return Asked([png(scene.image) for scene in scenes], [scene.expressions[0].text for scene in scenes])
    files = sorted(file for file in given.images.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))[:32]
    if not files or not given.expressions:
        sys.exit("give a folder with .jpg or .png files, and --expressions about them")
    return Asked([file.read_bytes() for file in files], given.expressions)


def measure(parts: Any, weights: list[str], asked: Asked, sizes: Sizes, given: argparse.Namespace) -> list[str]:
    """Runs the parts on one service; returns what must not be."""
    failures: list[str] = []
    with running(weights, sizes.queue, given.threads) as service:
        print(f"ready after {service.ready_seconds:.1f} s, {service.megabytes():.0f} MB\n")
        if "throughput" in parts:
            throughput(service, asked, sizes, weights, failures)
        if "expressions" in parts:
            expressions(service, asked, sizes, failures)
        if "fuzz" in parts:
            fuzz(service, asked, sizes, failures, given.seed)
        if "overload" in parts:
            overload(service, asked, sizes, weights, failures)
        if "kill" in parts:
            kill(service, asked, sizes, failures)
        if "term" in parts:
            term(service, asked, sizes, failures)
    return failures


if __name__ == "__main__":
    main()
