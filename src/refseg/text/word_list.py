"""CMPC's word list and sentence splitting."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.text.vocabulary import Vocabulary, require_words

SPECIAL = ("<pad>", "<go>", "<eos>", "<unk>")  # ids 0 to 3
UNKNOWN = SPECIAL.index("<unk>")
_MAX_FILE_SIZE = 2**26  # bytes
_BETWEEN_WORDS = re.compile(r"(\W+)")


class WordList(Vocabulary):
    """A closed vocabulary, special words first; a sentence is truncated at `max_words`.

    >>> words = WordList([*SPECIAL, "hat", "red", "the"], max_words=3)
    >>> words.ids("The red, red hat.")
    [6, 5, 3]
    >>> words.pieces("The red, red hat.")
    ['the', 'red', ', ']
    """

    def __init__(self, words: Sequence[str], max_words: int = 20):
        self.words = tuple(words)
        self.max_words = max_words
        self._id = {word: i for i, word in enumerate(self.words)}

    @classmethod
    def of(cls, expressions: Iterable[str], max_words: int = 20, at_least: int = 1) -> "WordList":
        """Builds a list of the words with `at_least` occurrences in expressions, in alphabetical order."""
        counts = Counter(word for text in expressions for word in split_sentence(text))
        known = sorted(word for word, count in counts.items() if count >= at_least and word == word.strip())
        return cls([*SPECIAL, *known], max_words)

    @classmethod
    def read(cls, file: Path, max_words: int = 20) -> "WordList":
        """Reads a text file of one word a line.

        Raises:
            MissingFile, InvalidInput: if there is none, or it is no list of words with the special ones first.
        """
        try:
            if file.stat().st_size > _MAX_FILE_SIZE:
                raise InvalidInput(f"{file} has more than {_MAX_FILE_SIZE >> 20} MiB; give a list of words, one a line")
            words = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
        except FileNotFoundError as error:
            raise MissingFile(f"{file} is missing; give a list of words, one a line") from error
        except OSError as error:
            raise InvalidInput(f"{file} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{file} is no text file of words ({first_line(error)}); save it as UTF-8") from error
        if tuple(words[: len(SPECIAL)]) != SPECIAL:
            raise InvalidInput(f"{file} does not begin with the lines {', '.join(SPECIAL)}; give a list of words")
        return cls(words, max_words)

    def write(self, file: Path) -> None:
        """Writes a file that `read` reads."""
        file.write_text("\n".join(self.words) + "\n", encoding="utf-8")

    def __len__(self) -> int:
        """Number of ids, the special ones included."""
        return len(self.words)

    def ids(self, expression: str) -> list[int]:
        """Returns one id per word, of the first `max_words`.

        Raises:
            InvalidInput: if the expression has no words.
        """
        require_words(expression)
        return [self._id.get(word, UNKNOWN) for word in self.pieces(expression)]

    def pieces(self, expression: str) -> list[str]:
        """Returns the words of an expression that are read."""
        return split_sentence(expression)[: self.max_words]

    def unknown_words(self, expression: str) -> list[str]:
        """Returns the words of an expression that the list lacks, in order, without punctuation."""
        return [word for word in self.pieces(expression) if word not in self._id and re.search(r"\w", word)]

    def remarks(self, expression: str) -> list[str]:
        """Returns warnings about parts of an expression that are not read."""
        too_long = len(split_sentence(expression)) > self.max_words
        cut = [f"{expression!r}: only its first {self.max_words} words are read"] if too_long else []
        return [*super().remarks(expression), *cut]


def split_sentence(sentence: str) -> list[str]:
    """Splits a sentence to lower-case words and visible separators; a final full stop is dropped.

    >>> split_sentence("Man's hat, left side.")
    ['man', "'", 's', 'hat', ', ', 'left', 'side']
    """
    words = [word.lower() for word in _BETWEEN_WORDS.split(sentence.strip()) if word.strip()]
    return words[:-1] if words and words[-1] == "." else words
