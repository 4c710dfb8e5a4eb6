"""Checks of the sentences of a data set, for `refseg data check`."""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from refseg.datasets.tools.findings import Finding, Track, make_finding
from refseg.errors import shortened
from refseg.text.byte_pairs import BytePairs
from refseg.text.left_right import mirrored
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import split_words
from refseg.text.word_pieces import WordPieces

TOKENS = (("BERT word pieces", 20), ("CLIP byte pairs", 17), ("CLIP byte pairs", 22))
"""Limits of the papers' networks, special tokens included: most of them, CRIS, CRIS on RefCOCOg."""

_NO_LIMIT = 1_000_000
_HIDDEN_SIDE = re.compile(r"\b\w*(?:left|right)\w*\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SentenceEntry:
    """An expression to check.

    Attributes:
        id: its id.
        text: the sentence.
        about: the image or video, in words.
        targets: its referents there; None where they are not published.
    """

    id: str
    text: str
    about: str
    targets: Hashable


def check_sentences(entries: Sequence[SentenceEntry], tokens: Sequence[int], track: Track) -> Iterator[Finding]:
    """Runs all checks of the sentences of a data set.

    Args:
        entries: its expressions.
        tokens: further limits of BERT's word pieces.
        track: gives the same items again, and may show progress.
    """
    texts = [one.text for one in entries]
    yield from _words(entries)
    yield from _token_limits(texts, tokens, track)
    yield from _sides(texts)


def _words(entries: Sequence[SentenceEntry]) -> Iterator[Finding]:
    """Finds sentences without words, repeated ids, and sentences that occur twice in an image or video."""
    empty, repeated, ambiguous = [], [], []
    ids = Counter(one.id for one in entries)
    meant: dict[tuple[str, str], set[Hashable]] = defaultdict(set)
    for one in entries:
        words = " ".join(split_words(one.text))
        if not words:
            empty.append(f"expression {one.id} about {one.about}")
            continue
        if one.targets is None:
            continue
        before = meant[one.about, words]
        if one.targets in before:
            repeated.append(f"{one.text!r} about {one.about}")
        elif before:
            ambiguous.append(f"{one.text!r} about {one.about}")
        before.add(one.targets)
    advice = "leave them out: networks refuse them"
    yield make_finding("empty expressions", empty, "expressions without a word", advice)
    twice = [f"{id} ({count} times)" for id, count in ids.items() if count > 1]
    advice = "rows of an evaluation cannot be told apart; make sent_id unique within its ref and ref_id in the file"
    yield make_finding("ids", twice, "ids of expressions that occur more than once", advice)
    advice = "they weigh double in every mean; leave as it is to compare with papers"
    yield make_finding("repeated", repeated, "sentences said again about the same referents", advice, "note")
    advice = "nobody can answer both; leave as it is to compare with papers"
    what = f"sentences said about different referents of one {'image' if not entries else entries[0].about.split()[0]}"
    yield make_finding("ambiguous", ambiguous, what, advice, "note")


def _token_limits(texts: Sequence[str], tokens: Sequence[int], track: Track) -> Iterator[Finding]:
    tokenizers: dict[str, Tokenizer] = {
        "BERT word pieces": WordPieces(_NO_LIMIT),
        "CLIP byte pairs": BytePairs(_NO_LIMIT),
    }
    counts = Counter(text for text in texts if text)
    lengths = {
        name: {text: len(tokenizer.pieces(text)) for text in track(list(counts), name)}
        for name, tokenizer in tokenizers.items()
    }
    for name, limit in [*TOKENS, *(("BERT word pieces", limit) for limit in tokens if limit != TOKENS[0][1])]:
        long = sorted((text for text, length in lengths[name].items() if length > limit), key=lambda text: -len(text))
        cut = sum(counts[text] for text in long)
        most = max(lengths[name].values(), default=0)
        what = f"expressions of more than {limit} {name}, the special ones included; the longest has {most}"
        advice = "their ends are not read; raise the network's max_words, or say so beside the figures"
        yield make_finding(f"{limit} {name}", [shortened(text) for text in long], what, advice, "note", cut)


def _sides(texts: Sequence[str]) -> Iterator[Finding]:
    """Finds words for left and right, which have to change where images are mirrored."""
    with_sides = [text for text in texts if mirrored(text) != text]
    lost = [text for text in with_sides if mirrored(mirrored(text)) != text]
    advice = "mirroring an image must swap these words, whole words only; recipes that flip do"
    yield make_finding("left and right", with_sides, "expressions that a mirrored image makes wrong", advice, "note")
    yield make_finding(
        "swapped words", lost, "expressions that are not themselves after two swaps", "train without flips"
    )
    words = Counter(word.lower() for text in texts for word in _HIDDEN_SIDE.findall(text) if mirrored(word) == word)
    found = [f"{word} ({count})" for word, count in words.most_common()]
    advice = "right for bright and upright; where a word here is a side after all, train without flips"
    what = "words with left or right inside, which swapping leaves alone"
    yield make_finding("words left alone", found, what, advice, "note", words.total())
