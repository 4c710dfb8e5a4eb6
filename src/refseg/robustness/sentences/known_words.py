"""Words: those that the drawn grammar writes, and those that a typing error must not turn into one another."""

import re
from functools import cache

from refseg.readers.nouns import CLASSES, SINGULARS
from refseg.readers.words import LOOKS, PARTS, REAL_WORDS, WORDS
from refseg.robustness.sentences.drawn_wording import grammar_words
from refseg.text.word_pieces import VOCABULARY

_WORD = re.compile(r"\w+(?:'\w+)?")


def words_in(text: str) -> list[str]:
    """Returns the words of a text in lower case.

    >>> words_in("The man's 2nd, medium-sized hat.")
    ['the', "man's", '2nd', 'medium', 'sized', 'hat']
    """
    return _WORD.findall(text.lower())


def has_new_words(text: str, original: str) -> bool:
    """Whether a text holds words that are neither in the grammar of drawn scenes nor in the original.

    >>> has_new_words("the scarlet ring", "the red ring"), has_new_words("the hoop", "the ring")
    (True, False)
    """
    return not set(words_in(text)) <= drawn_words() | set(words_in(original))


@cache
def drawn_words() -> frozenset[str]:
    """Returns all words that the grammar of drawn scenes can write."""
    return grammar_words()


@cache
def telling_words() -> frozenset[str]:
    """Returns words that tell objects apart: nouns, attributes, places, relations."""
    names = (word for compound in (*CLASSES, *SINGULARS) for word in compound.split("_"))
    return frozenset({*drawn_words(), *(word for word in WORDS if word.isalpha()), *names, *PARTS, *LOOKS})


@cache
def english_words() -> frozenset[str]:
    """Returns some 24,000 English words: those of BERT's vocabulary, and all others that are known here."""
    lines = VOCABULARY.read_text(encoding="utf-8").splitlines()
    return frozenset({*(line for line in lines if line.isalpha()), *telling_words(), *REAL_WORDS})
