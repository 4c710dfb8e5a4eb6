import hashlib

import pytest
import torch

from refseg.encoders import build_word_encoder
from refseg.encoders.configs import BertConfig
from refseg.errors import InvalidInput
from refseg.text.word_pieces import VOCABULARY, WordPieces


def test_the_word_pieces_are_those_of_bert_base_uncased():
    assert hashlib.sha256(VOCABULARY.read_bytes()).hexdigest().startswith("07eced375cec144d")
    assert len(WordPieces()) == 30522


def test_expressions_are_padded_to_a_fixed_length():
    tokens, word_mask = WordPieces(20)(["the left dog", "Both PEOPLE in hats!"])
    assert tokens.shape == word_mask.shape == (2, 20)
    assert tokens[0, :6].tolist() == [101, 1996, 2187, 3899, 102, 0]
    assert word_mask.sum(1).tolist() == [5, 7]


def test_what_is_too_long_is_cut_as_the_releases_do_and_said():
    pieces = WordPieces(6)
    tokens, word_mask = pieces(["the dog left of the red chair"])
    assert tokens.shape == (1, 6) and word_mask.all() and 102 not in tokens
    (remark,) = pieces.remarks("the dog left of the red chair")
    assert "is cut: these weights read 6 word pieces, it has 3 more" in remark
    assert pieces.remarks("the dog") == []
    assert pieces.pieces("the giraffes") == ["[CLS]", "the", "gi", "##raf", "##fe", "##s"]


def test_an_empty_expression_is_refused():
    with pytest.raises(InvalidInput, match="is empty"):
        WordPieces()(["  !"])


def test_nobody_looks_at_padding_and_dropout_is_not_active_unless_asked_for():
    encoder = build_word_encoder(BertConfig(width=16, layers=2, heads=2, feed_forward=32), 50).train()
    tokens, word_mask = torch.tensor([[5, 6, 7, 0, 0]]), torch.tensor([[True, True, True, False, False]])
    words = encoder(tokens, word_mask)
    torch.testing.assert_close(words, encoder(tokens, word_mask), rtol=0, atol=0)
    other = torch.tensor([[5, 6, 7, 9, 3]])
    torch.testing.assert_close(encoder(other, word_mask)[:, :3], words[:, :3])
    dropping = BertConfig(width=16, layers=2, heads=2, feed_forward=32, dropout=0.5)
    encoder = build_word_encoder(dropping, 50).train()
    assert not torch.allclose(encoder(tokens, word_mask), encoder(tokens, word_mask))


@pytest.mark.parametrize("kind", ["first", "mean"])
def test_the_sentence_is_the_first_state_or_the_mean_of_the_words_without_padding(kind):
    config = BertConfig(width=16, layers=1, heads=2, feed_forward=32, sentence=kind)
    encoder = build_word_encoder(config, 50)
    words, word_mask = torch.randn(1, 4, 16), torch.tensor([[True, True, True, False]])
    wanted = {"first": words[:, 0], "mean": words[:, :3].mean(1)}
    torch.testing.assert_close(encoder.sentence(words, word_mask), wanted[kind])
