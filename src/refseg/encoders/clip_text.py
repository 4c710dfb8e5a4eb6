"""The text side of CLIP: its Transformer through transformers, and its byte pairs through tokenizers.

Source     A. Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.
           https://arxiv.org/abs/2103.00020
Vocabulary clip_byte_pairs.txt.gz beside this file: the 48,894 merges that CLIP uses, in their order, out of the 262,144
           of its bpe_simple_vocab_16e6.txt.gz (OpenAI, MIT: clip_byte_pairs.LICENSE).
Departs    Text is not repaired by ftfy, except for what people type: curly quotes and composed letters.
"""

import gzip
import html
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from refseg.encoders import ClipTextConfig
from refseg.encoders.vocabulary import require_words
from refseg.encoders.word_encoder import WordEncoder

if TYPE_CHECKING:
    import tokenizers

VOCABULARY = Path(__file__).parent / "clip_byte_pairs.txt.gz"
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_STRAIGHT = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201b": "'", "\u201c": '"', "\u201d": '"'})


class ClipWords(WordEncoder):
    """Tokens to words: the states after the last norm; a word sees those before it and never those behind."""

    def __init__(self, config: ClipTextConfig, vocabulary_size: int):
        super().__init__()
        import transformers  # seconds to import

        self.channels, self.sentence_channels = config.width, config.joint
        self.clip = transformers.CLIPTextModelWithProjection(
            transformers.CLIPTextConfig(
                vocab_size=vocabulary_size,
                hidden_size=config.width,
                intermediate_size=4 * config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                max_position_embeddings=config.positions,
                projection_dim=config.joint,
                hidden_act="quick_gelu",
                pad_token_id=0,
                bos_token_id=vocabulary_size - 2,
                eos_token_id=vocabulary_size - 1,
            )
        )

    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, L, D) of tokens (M, L); `word_mask` is not needed, since padding lies behind the words."""
        return self.clip.text_model(input_ids=tokens).last_hidden_state

    def sentence(self, words: Tensor, word_mask: Tensor) -> Tensor:
        """The sentence (M, S): the state of the last word, which is the end token and has seen all, projected.

        Args:
            words: (M, L, D), from `forward`.
            word_mask: (M, L).
        """
        place = torch.arange(word_mask.shape[1], device=words.device)
        last = (place * word_mask).argmax(1)
        return self.clip.text_projection(words[torch.arange(len(words), device=words.device), last])


class BytePairs:
    """The tokenizer of CLIP: start, lower-case pieces of words, end, padding; what is too long ends earlier.

    Piece 0 is a "!" that other characters follow; in "a !=" it reads as padding, as in the published networks.

    >>> tokens, word_mask = BytePairs(max_words=6)(["A giraffe!"])
    >>> tokens.tolist(), word_mask.sum().item()
    ([[49406, 320, 22826, 256, 49407, 0]], 5)
    """

    def __init__(self, max_words: int = 17):
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers

        self.max_words = max_words
        lines = gzip.decompress(VOCABULARY.read_bytes()).decode().splitlines()
        merges = [(first, second) for first, second in map(str.split, lines)]
        letters = [chr(code) for code in _byte_codes()]
        pieces = [*letters, *(letter + WORD_END for letter in letters), *map("".join, merges), START, END]
        vocabulary = {piece: i for i, piece in enumerate(pieces)}
        self._start, self._end = vocabulary[START], vocabulary[END]
        self._tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix=WORD_END))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    def __len__(self) -> int:
        """Number of pieces, start and end included."""
        return self._tokenizer.get_vocab_size()

    def ids(self, expression: str) -> list[int]:
        """At most `max_words` ids, start and end included; a longer expression loses what is before its end.

        Raises:
            InvalidInput: if the expression has no words.
        """
        require_words(expression)
        return [self._start, *self._read(expression).ids[: self.max_words - 2], self._end]

    def pieces(self, expression: str) -> list[str]:
        """The pieces of an expression, start and end included; the last one of a word says so."""
        return [START, *self._read(expression).tokens[: self.max_words - 2], END]

    def remarks(self, expression: str) -> list[str]:
        """What the network does not read of an expression, a line for people each."""
        excess = len(self._read(expression).ids) + 2 - self.max_words
        if excess <= 0:
            return []
        return [f"{expression!r} is cut: these weights read {self.max_words} pieces, it has {excess} more; shorten it"]

    def unknown_words(self, expression: str) -> list[str]:
        """None: every word is made of pieces."""
        return []

    def __call__(self, expressions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens (M, max_words) int64, 0 on padding, and word_mask (M, max_words) bool."""
        tokens = torch.zeros(len(expressions), self.max_words, dtype=torch.int64)
        for row, expression in zip(tokens, expressions, strict=True):
            ids = self.ids(expression)
            row[: len(ids)] = torch.tensor(ids)
        return tokens, tokens != 0

    def _read(self, expression: str) -> "tokenizers.Encoding":
        text = html.unescape(html.unescape(expression)).translate(_STRAIGHT)
        return self._tokenizer.encode(" ".join(unicodedata.normalize("NFC", text).split()).lower())


def _byte_codes() -> list[int]:
    """The character that stands for each byte: itself if it can be seen, in the order in which CLIP counts them."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("\xa1"), ord("\xac") + 1), *range(ord("\xae"), ord("\xff") + 1)]
    return seen + [256 + i for i in range(256 - len(seen))]
