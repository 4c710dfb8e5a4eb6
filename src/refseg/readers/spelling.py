"""Words at distance one from a list: one letter more, less, wrong, or two neighbours swapped."""

from collections.abc import Iterable, Iterator

SHORTEST = 4  # letters of a word that is corrected


class Spelling:
    """A list of words, indexed by what is left when one letter is taken away.

    >>> Spelling(["second", "bottom"]).correct("bottm")
    'bottom'
    """

    def __init__(self, words: Iterable[str], never: Iterable[str] = ()):
        self.words = dict.fromkeys(word for word in words if len(word) >= SHORTEST)
        self.never = frozenset(never)
        self._shortened: dict[str, list[str]] = {}
        for word in self.words:
            for rest in {word, *_deletions(word)}:
                self._shortened.setdefault(rest, []).append(word)

    def correct(self, word: str) -> str | None:
        """Returns the first word of the list at distance one, or None; a word that is right is its own."""
        if word in self.words:
            return word
        if len(word) < SHORTEST - 1 or len(word) > 24 or word in self.never or not word.isalpha():
            return None
        best: str | None = None
        for rest in (word, *_deletions(word)):
            for other in self._shortened.get(rest, ()):
                if other[0] == word[0] and _is_near(word, other):
                    return other
                if best is None and len(word) > SHORTEST and _is_near(word, other):
                    best = other
        return best


def _deletions(word: str) -> Iterator[str]:
    return (word[:i] + word[i + 1 :] for i in range(len(word)))


def _is_near(word: str, other: str) -> bool:
    """Whether two words that share a form with one letter less are at distance one, or equal but for two neighbours."""
    if abs(len(word) - len(other)) == 1:
        return True
    different = [i for i, (a, b) in enumerate(zip(word, other, strict=True)) if a != b]
    if len(different) == 1:
        return True
    return len(different) == 2 and different[1] == different[0] + 1 and sorted(word) == sorted(other)
