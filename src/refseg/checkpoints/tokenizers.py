"""Builds the tokenizer that config.json describes, without torch."""

from refseg.checkpoints.schema import (
    BytePairsEntry,
    CharactersEntry,
    TokenizerEntry,
    VocabularyEntry,
    WordListEntry,
    WordPiecesEntry,
)
from refseg.text.characters import Characters
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import Vocabulary
from refseg.text.word_list import WordList


def build_tokenizer(entry: TokenizerEntry) -> Tokenizer:
    """Returns the tokenizer of an entry."""
    match entry:
        case VocabularyEntry():
            return Vocabulary(entry.words, entry.max_words)
        case WordListEntry():
            return WordList(entry.words, entry.max_words)
        case WordPiecesEntry():
            from refseg.text.word_pieces import WordPieces

            return WordPieces(entry.max_words)
        case CharactersEntry():
            return Characters(entry.max_words)
        case BytePairsEntry():
            from refseg.text.byte_pairs import BytePairs

            return BytePairs(entry.max_words)
