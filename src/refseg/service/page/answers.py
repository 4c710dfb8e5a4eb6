"""Asking a service for the page, and the answers while they are looked at."""

import asyncio
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from refseg.array_types import Mask, RgbImage
from refseg.errors import InvalidInput
from refseg.inference.verdicts import verdict
from refseg.masks.pictures import reduced
from refseg.masks.rle import decode_rle, parse_rle
from refseg.preprocessing.images import read_image
from refseg.service.limits import Limits
from refseg.service.problems import Problem
from refseg.service.requests import check_expressions
from refseg.service.run_aside import run_aside
from refseg.service.service import Service, Slots

LARGEST_SIDE = 1600  # pixels of the pictures that the browser shows
EXPIRED = "the answers are no longer kept: click Find again"


@dataclass(frozen=True)
class ExpressionAnswer:
    """The answer of one network to one expression.

    Attributes:
        facts: `Result.to_dict()`.
    """

    facts: dict[str, Any]

    @property
    def expression(self) -> str:
        """The expression."""
        return str(self.facts["expression"])

    @property
    def verdict(self) -> str:
        """The answer in words."""
        reason = (self.facts.get("reading") or {}).get("reason") or ""
        count = len(self.facts["instances"]) or int(self.facts["found"])
        return verdict(count, self.facts["exists"], self.facts["exists_threshold"], reason, self.familiar)

    @property
    def familiar(self) -> bool:
        """Whether the image is like those that the network was trained on."""
        return bool(self.facts["familiar"])

    @property
    def boxes(self) -> list[list[int]]:
        """Boxes of the masks of the objects; of the whole mask where the network knows no objects."""
        whole = [self.facts["box"]] if self.facts["found"] else []
        return [thing["box"] for thing in self.facts["instances"]] or whole

    def decode_mask(self) -> Mask:
        """Returns the mask (H, W) at the size of the image; computed anew each time."""
        return decode_rle(parse_rle(self.facts["rle"]))


@dataclass(frozen=True)
class WeightsAnswers:
    """All that one network says of an image.

    Attributes:
        weights: its name.
        answers: to the expressions, in their order; () if it could not answer.
        problem: why not.
    """

    weights: str
    answers: tuple[ExpressionAnswer, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Answered:
    """An image and what networks say of it.

    Attributes:
        image: (h, w, 3), reduced to `LARGEST_SIDE`.
        columns: one for each of the weights.
    """

    image: RgbImage
    columns: tuple[WeightsAnswers, ...]

    @property
    def expressions(self) -> list[str]:
        """The expressions."""
        return next(([one.expression for one in column.answers] for column in self.columns if column.answers), [])

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        facts = 0
        for one in (answer for column in self.columns for answer in column.answers):
            rows = (one.facts.get("words") or {"rows": []})["rows"]
            facts += len(one.facts["rle"]["counts"]) + 1000 + 20 * sum(len(row["values"]) for row in rows)
        return self.image.nbytes + 2 * facts


class Kept:
    """The latest answers, each for some time, in a bounded memory; may be used by several threads.

    Args:
        seconds: after which an answer is dropped.
        most_bytes: of all of them.
    """

    def __init__(self, seconds: float, most_bytes: float):
        self.seconds, self.most_bytes = seconds, most_bytes
        self._answers: OrderedDict[str, tuple[float, Answered]] = OrderedDict()
        self._lock = Lock()

    def put(self, answered: Answered) -> str:
        """Keeps an answer; returns the key, which nobody guesses, to get it by."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._answers[key] = time.monotonic(), answered
            self._drop()
        return key

    def get(self, key: str | None) -> Answered | None:
        """Returns the answer; None if it is no longer there."""
        with self._lock:
            self._drop()
            return self._answers[key][1] if key is not None and key in self._answers else None

    def _drop(self) -> None:
        oldest = time.monotonic() - self.seconds
        total = sum(answered.size for _, answered in self._answers.values())
        while self._answers:
            put_at, answered = next(iter(self._answers.values()))
            if put_at >= oldest and total <= self.most_bytes:
                break
            total -= answered.size
            self._answers.popitem(last=False)


def split_expressions(text: str) -> list[str]:
    r"""Returns the expressions of a text: one a line, each once.

    >>> split_expressions(" the red star \n\nboth circles\nthe red star")
    ['the red star', 'both circles']
    """
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


async def ask(service: Service, image: bytes, expressions: Sequence[str], weights: Sequence[str | None]) -> Answered:
    """Asks a service about an image; each of the weights takes a place in its queue, as any request does.

    Args:
        service: the service.
        image: content of an image file.
        expressions: about it.
        weights: names; None is the default.

    Raises:
        InvalidInput: if there is no expression.
        Problem: if the service has no place, or there are more expressions than it allows, or longer ones, or none of
            the weights can answer.
    """
    check_asked("image", len(image), expressions, service.limits)
    with service.request("/") as slots:
        service.widen(slots, len(weights))
        found = await asyncio.gather(*(_ask_one(service, slots, image, expressions, one) for one in weights))
        problems = [one for one in found if isinstance(one, Problem)]
        if len(problems) == len(found):
            raise problems[0]
        columns = [
            WeightsAnswers(name or "the default", problem=one.detail) if isinstance(one, Problem) else one
            for name, one in zip(weights, found, strict=True)
        ]
        once = {column.weights: column for column in columns}  # the default may be weights that are named as well
        return Answered(await asyncio.to_thread(lambda: reduced(read_image(image), LARGEST_SIDE)), tuple(once.values()))


def check_asked(kind: str, size: int, expressions: Sequence[str], limits: Limits) -> None:
    """Checks the size of a file in bytes, and the expressions about it.

    Raises:
        InvalidInput: if the file is too large, or there is no expression.
        Problem: if there are more expressions than the service allows, or longer ones.
    """
    if not expressions:
        raise InvalidInput("say what to find: one expression a line")
    check_expressions(expressions, limits)
    if size > limits.megabytes * 1e6:
        raise InvalidInput(f"the {kind} has {size / 1e6:.1f} MB; at most {limits.megabytes:g} are taken")


async def _ask_one(
    service: Service, slots: Slots, image: bytes, expressions: Sequence[str], weights: str | None
) -> WeightsAnswers | Problem:
    try:
        said = await service.answer(slots, image, expressions, weights, words=True, caller="page")
    except Problem as problem:
        return problem
    facts = await run_aside(len(said.body), lambda: json.loads(said.body))
    return WeightsAnswers(said.weights, tuple(map(ExpressionAnswer, facts)))
