import gzip
import hashlib

import pytest
import torch

from refseg.encoders import build_word_encoder
from refseg.encoders.configs import ClipTextConfig
from refseg.errors import InvalidInput
from refseg.text.byte_pairs import VOCABULARY, BytePairs


@pytest.fixture(scope="module")
def pairs():
    return BytePairs()


def test_the_byte_pairs_are_those_of_clip(pairs):
    merges = gzip.decompress(VOCABULARY.read_bytes())
    assert hashlib.sha256(merges).hexdigest().startswith("d308b7377a8ceaa9")
    assert len(merges.splitlines()) == 48894 and len(pairs) == 49408


@pytest.mark.parametrize(
    "expression, ids",
    [
        ("the left dog", [518, 1823, 1929]),
        ("Both PEOPLE in hats!", [2212, 1047, 530, 9812, 256]),
        ("woman w/ red shirt, 2nd", [2308, 342, 270, 736, 2523, 267, 273, 1764]),
        ("the giraffe's ear", [518, 22826, 568, 8373]),
        ("the giraffe\u2019s ear", [518, 22826, 568, 8373]),
        ("cafe\u0301 &amp; 日本", [15304, 261, 39121, 19277, 361]),
    ],
)
def test_ids_are_those_of_clip(pairs, expression, ids):
    assert pairs.ids(expression) == [49406, *ids, 49407]


def test_expressions_are_padded_to_a_fixed_length(pairs):
    tokens, word_mask = pairs(["the left dog", "a dog"])
    assert tokens.shape == word_mask.shape == (2, 17)
    assert tokens[0].tolist() == [49406, 518, 1823, 1929, 49407] + 12 * [0]
    assert word_mask.sum(1).tolist() == [5, 4]


def test_what_is_too_long_is_cut_before_its_end_and_said():
    pairs = BytePairs(5)
    tokens, word_mask = pairs(["the dog left of the red chair"])
    assert tokens.tolist() == [[49406, 518, 1929, 1823, 49407]] and word_mask.all()
    (remark,) = pairs.remarks("the dog left of the red chair")
    assert "is cut: these weights read 5 pieces, it has 4 more" in remark
    assert pairs.remarks("the dog") == []
    assert pairs.pieces("the giraffes") == ["<|startoftext|>", "the</w>", "gira", "ffes</w>", "<|endoftext|>"]


def test_piece_0_reads_as_padding(pairs):
    tokens, word_mask = pairs(["a !="])
    assert tokens[0, :5].tolist() == [49406, 320, 0, 284, 49407]
    assert word_mask[0, :5].tolist() == [True, True, False, True, True]


def test_an_empty_expression_is_refused(pairs):
    with pytest.raises(InvalidInput, match="is empty"):
        pairs(["  !"])


def test_a_word_never_sees_what_is_behind_it():
    encoder = build_word_encoder(ClipTextConfig(width=16, layers=2, heads=2, joint=12, positions=8), 50).eval()
    word_mask = torch.tensor([[True, True, True, False, False]])
    words = encoder(torch.tensor([[5, 6, 7, 0, 0]]), word_mask)
    torch.testing.assert_close(encoder(torch.tensor([[5, 6, 7, 9, 3]]), word_mask)[:, :3], words[:, :3])
    assert not torch.allclose(encoder(torch.tensor([[4, 6, 7, 0, 0]]), word_mask)[:, 1:3], words[:, 1:3])


def test_the_sentence_is_the_last_word_projected():
    encoder = build_word_encoder(ClipTextConfig(width=16, layers=1, heads=2, joint=12, positions=8), 50).eval()
    word_mask = torch.tensor([[True, True, True, False], [True, False, True, True]])
    words = torch.randn(2, 4, 16)
    wanted = encoder.clip.text_projection(torch.stack([words[0, 2], words[1, 3]]))
    torch.testing.assert_close(encoder.sentence(words, word_mask), wanted)
    assert encoder.sentence_channels == 12
