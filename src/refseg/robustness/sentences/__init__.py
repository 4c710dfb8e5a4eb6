"""Changed sentences: kinds of change, and the effect that each has on the referent."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from refseg.array_types import Mask
from refseg.datasets.drawn_scenes.balanced_sentences import object_ids
from refseg.datasets.drawn_scenes.dataset import Scene
from refseg.datasets.drawn_scenes.objects import SeededRandom
from refseg.datasets.drawn_scenes.programs import World
from refseg.errors import InvalidInput, choose_one
from refseg.robustness import PROTOCOL
from refseg.robustness.sentences import drawn_contradictions as drawn_other
from refseg.robustness.sentences import drawn_paraphrases as drawn
from refseg.robustness.sentences import surface
from refseg.robustness.sentences import written_contradictions as written_other
from refseg.robustness.sentences import written_paraphrases as written
from refseg.robustness.sentences.drawn_wording import take_apart
from refseg.robustness.sentences.known_words import has_new_words
from refseg.robustness.sentences.question import Change, Drawn, Question, SentenceKind
from refseg.robustness.sentences.typing_errors import typing_error
from refseg.robustness.variant import NEW_WORDS, Effect, Variant
from refseg.samples import Sample

STAY: tuple[Effect, ...] = ("stay",)
TURNED: tuple[Effect, ...] = ("change", "vanish")

SENTENCE_KINDS: dict[str, SentenceKind] = {
    "synonyms": SentenceKind("another word for a noun or an attribute", STAY, drawn.synonyms, written.synonyms),
    "adjective_order": SentenceKind(
        "another order of adjectives", STAY, drawn.adjective_order, written.adjective_order
    ),
    "relative_clause": SentenceKind(
        "a clause for an adjective, or back", STAY, drawn.relative_clause, written.relative_clause
    ),
    "place_phrase": SentenceKind(
        "a place or relation in other words, or from the other side", STAY, drawn.place_phrase, written.place_phrase
    ),
    "number_words": SentenceKind(
        "a number as digit or word, or how many all are", STAY, drawn.number_words, written.number_words
    ),
    "typing_errors": SentenceKind("one word mistyped", STAY, None, typing_error),
    "case": SentenceKind("capitals", STAY, None, surface.case),
    "punctuation": SentenceKind("a sign at the end, quotation marks, or none", STAY, None, surface.punctuation),
    "filler": SentenceKind("words of a conversation around it", STAY, None, surface.filler),
    "dropped_words": SentenceKind("articles and other small words left out", STAY, None, surface.dropped_words),
    "shuffled_words": SentenceKind("words in random order", STAY, None, surface.shuffled_words),
    "left_right": SentenceKind("left for right, and back", TURNED, drawn_other.left_right, written_other.left_right),
    "opposite": SentenceKind(
        "top for bottom, nearest for farthest, and the like", TURNED, drawn_other.opposite, written_other.opposite
    ),
    "rank": SentenceKind("third for second, and the like", TURNED, drawn_other.rank, written_other.rank),
    "attribute": SentenceKind(
        "another colour, size, pattern or shape, which fits another object",
        ("change",),
        drawn_other.attribute,
        written_other.attribute,
    ),
    "negation": SentenceKind('a "not" added or taken away', TURNED, drawn_other.negation, written_other.negation),
    "plural": SentenceKind("all for the extreme one, or back", ("change",), drawn_other.plural, written_other.plural),
    "absent_noun": SentenceKind(
        "a noun for what is not there", ("vanish",), drawn_other.absent_noun, written_other.absent_noun
    ),
    "absent_attribute": SentenceKind(
        "a colour, size or pattern that nothing fitting has", ("vanish",), drawn_other.absent_attribute, None
    ),
}
"""Kinds of changed sentences by name."""


def change_sentences(sample: Sample, kinds: Sequence[str] | None = None, seed: int = 0) -> list[Variant]:
    """Returns changed sentences about an image, a function of protocol, image id, expression, kind and seed alone.

    Each expression gives at most one variant of a kind.

    Args:
        sample: an image with its expressions.
        kinds: of SENTENCE_KINDS; all by default.
        seed: another seed gives other variants of the same kinds; published figures use 0.

    Raises:
        InvalidInput: for an unknown kind.
    """
    kinds = tuple(SENTENCE_KINDS) if kinds is None else kinds
    for kind in kinds:
        if kind not in SENTENCE_KINDS:
            raise InvalidInput(f"unknown kind of sentence {kind!r}; {choose_one(kind, SENTENCE_KINDS)}")
    world = World(sample.layout) if isinstance(sample, Scene) else None
    annotated = cache(sample.annotated_objects)
    variants = []
    for index in range(len(sample.expressions)):
        question = Question(sample, index, _drawn(sample, index, world), annotated)
        true_mask = sample.mask(index)
        for kind in dict.fromkeys(kinds):
            rng = SeededRandom(PROTOCOL, sample.image_id, index, kind, seed)
            change = SENTENCE_KINDS[kind].change(question, rng)
            if change is not None and change.text != question.text:
                target = _target(sample, change, true_mask)
                detail = _detail(change, question.text)
                variants.append(Variant(index, kind, change.text, change.effect, target, change.certain, detail))
    return variants


def _drawn(sample: Sample, index: int, world: World | None) -> Drawn | None:
    if world is None or not isinstance(sample, Scene):
        return None
    program, expression = sample.programs[index], sample.expressions[index]
    wording, referents = take_apart(expression.text, program), program.evaluate(world)
    if wording is None or referents is None or object_ids(referents) != expression.targets:
        return None
    return Drawn(wording, program, world, referents)


def _target(sample: Sample, change: Change, true_mask: Mask) -> Mask | None:
    if change.effect == "stay":
        return true_mask
    if change.effect == "vanish":
        return np.zeros_like(true_mask)
    if change.masks:
        return np.logical_or.reduce(change.masks)
    if change.referents is None or not isinstance(sample, Scene):
        return None
    return np.isin(sample.id_map, object_ids(change.referents))


def _detail(change: Change, original: str) -> str:
    parts = [change.form, NEW_WORDS if has_new_words(change.text, original) else ""]
    return ", ".join(part for part in parts if part)
