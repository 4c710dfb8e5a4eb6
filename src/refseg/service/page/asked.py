"""What the page asks a service, and what it keeps of the answers while they are looked at."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from refseg.array_types import Mask, RgbImage
from refseg.errors import InvalidInput
from refseg.inference.verdicts import verdict
from refseg.masks.rle import decode_rle, parse_rle
from refseg.preprocessing.images import read_image
from refseg.service.problems import Problem
from refseg.service.service import Service, Slots


@dataclass(frozen=True)
class Answer:
    """The answer of one network to one expression.

    Attributes:
        facts: `Result.to_dict()`.
        mask: (H, W) bool.
    """

    facts: dict[str, Any]
    mask: Mask

    @property
    def expression(self) -> str:
        """The expression."""
        return str(self.facts["expression"])

    @property
    def verdict(self) -> str:
        """The answer in words."""
        reason = (self.facts.get("reading") or {}).get("reason") or ""
        count = len(self.facts["instances"]) or int(self.facts["found"])
        return verdict(count, self.facts["exists"], self.facts["exists_threshold"], reason)


@dataclass(frozen=True)
class Column:
    """All that one network says of an image.

    Attributes:
        weights: its name.
        answers: to the expressions, in their order; () if it could not answer.
        problem: why not.
    """

    weights: str
    answers: tuple[Answer, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Answered:
    """An image and what networks say of it.

    Attributes:
        image: (H, W, 3).
        columns: one for each of the weights.
    """

    image: RgbImage
    columns: tuple[Column, ...]

    @property
    def expressions(self) -> list[str]:
        """The expressions."""
        return next(([one.expression for one in column.answers] for column in self.columns if column.answers), [])


def expressions_of(text: str) -> list[str]:
    r"""Returns the expressions of a text: one a line, each once.

    >>> expressions_of(" the red star \n\nboth circles\nthe red star")
    ['the red star', 'both circles']
    """
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


async def ask(
    service: Service, image: bytes, expressions: Sequence[str], weights: Sequence[str | None], threshold: float | None
) -> Answered:
    """Asks a service about an image; each of the weights takes a place in its queue, as any request does.

    Args:
        service: the service.
        image: content of an image file.
        expressions: about it.
        weights: names; None is the default.
        threshold: of existence; None for that of the weights.

    Raises:
        InvalidInput: if there is no image or no expression, or more than the service allows.
        Problem: if the service has no place.
    """
    limits = service.limits
    if not expressions:
        raise InvalidInput("say what to find: one expression a line")
    if len(expressions) > limits.expressions:
        raise InvalidInput(f"these are {len(expressions)} expressions; at most {limits.expressions} are answered")
    if any(len(one) > limits.characters for one in expressions):
        raise InvalidInput(f"an expression may have {limits.characters} characters")
    if len(image) > limits.megabytes * 1e6:
        raise InvalidInput(f"the image has {len(image) / 1e6:.1f} MB; at most {limits.megabytes:g} are taken")
    digest = hashlib.sha256(image).hexdigest()
    with service.accepted() as slots:
        service.widen(slots, len(weights))
        columns = await asyncio.gather(
            *(_column(service, slots, image, digest, expressions, one, threshold) for one in weights)
        )
    if all(column.problem for column in columns):
        raise InvalidInput(columns[0].problem)
    pixels = await asyncio.to_thread(read_image, image)
    return Answered(pixels, tuple(columns))


async def _column(
    service: Service,
    slots: Slots,
    image: bytes,
    digest: str,
    expressions: Sequence[str],
    weights: str | None,
    threshold: float | None,
) -> Column:
    try:
        said = await service.answer(slots, image, digest, expressions, weights, threshold)
    except Problem as problem:
        return Column(weights or "the default", problem=problem.detail)
    facts = json.loads(said.body)
    return Column(said.weights, tuple(Answer(one, decode_rle(parse_rle(one["rle"]))) for one in facts))
