"""Finding and erasing noun phrases, for networks that learn to recover them (DMMI).

Source     Y. Hu et al. "Beyond One-to-One". ICCV 2023: one noun phrase at random. As in the authors' release, words are
           counted as tokens, so that words of several tokens shift the erased place, and erased tokens stay attended.
Departs    The release uses NLTK's tagger, a download; here it is textblob's, which comes with its lexicon.
"""

from collections.abc import Callable, Sequence
from functools import cache

from torch import Tensor

from refseg.errors import RefsegError
from refseg.text.vocabulary import PADDING

NOUNS = ("NN", "NNS")  # without proper names
LAST_POSITION = 18  # words after it are never erased: with [CLS] in front, the release reads 20 tokens


def noun_positions(expression: str) -> list[int]:
    """Returns the positions of nouns, counted from 0 without punctuation.

    Raises:
        RefsegError: if textblob is not installed.
    """
    words = [tag for _, tag in _tagger()(expression.lower()) if tag[:1].isalpha()]
    return [i for i, tag in enumerate(words) if tag in NOUNS and i <= LAST_POSITION]


def phrases(nouns: Sequence[int]) -> list[list[int]]:
    """Groups ascending positions into runs of neighbours.

    >>> phrases([0, 2, 3, 7])
    [[0], [2, 3], [7]]
    """
    found: list[list[int]] = []
    for position in nouns:
        if found and found[-1][-1] == position - 1:
            found[-1].append(position)
        else:
            found.append([position])
    return found


def erase(tokens: Tensor, words: Sequence[int], first: int = 1) -> Tensor:
    """Replaces the tokens of some words by padding.

    Args:
        tokens: (L,), of one expression.
        words: positions of words; those after the last token are ignored.
        first: position of the first word's token: 1 after [CLS], 0 without it.
    """
    places = [first + word for word in words if first + word < len(tokens)]
    erased = tokens.clone()
    erased[places] = PADDING
    return erased


@cache
def _tagger() -> Callable[[str], list[tuple[str, str]]]:
    try:
        from textblob.en import tag
    except ImportError as error:
        raise RefsegError("erasing phrases needs textblob; pip install 'refseg[text]'") from error
    found: Callable[[str], list[tuple[str, str]]] = tag
    return found
