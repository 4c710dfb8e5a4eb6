"""Changed sentences: kinds of change, and what each does to the referent."""

from collections.abc import Sequence
from dataclasses import dataclass

from refseg.errors import InvalidInput, choose_one
from refseg.robustness.variant import Effect, Variant
from refseg.samples import Sample


@dataclass(frozen=True)
class SentenceKind:
    """A kind of change of a sentence.

    Attributes:
        about: what it does, in one line.
        effects: that its variants may have on the referent.
    """

    about: str
    effects: tuple[Effect, ...]


SENTENCE_KINDS: dict[str, SentenceKind] = {}
"""Kinds of changed sentences by name."""


def change_sentences(sample: Sample, kinds: Sequence[str] | None = None, seed: int = 0) -> list[Variant]:
    """Returns changed sentences about an image, a function of protocol, image id, expression, kind and seed alone.

    Args:
        sample: an image with its expressions.
        kinds: of SENTENCE_KINDS; all by default.
        seed: another seed gives other variants of the same kinds; published figures use 0.

    Raises:
        InvalidInput: for an unknown kind.
    """
    for kind in kinds or ():
        if kind not in SENTENCE_KINDS:
            raise InvalidInput(f"unknown kind of sentence {kind!r}; {choose_one(kind, SENTENCE_KINDS)}")
    return []
