import torch

from refseg.encoders import build_word_encoder
from refseg.encoders.configs import WORD_ENCODERS, GruConfig

TINY = GruConfig(vector=6, width=4)


def encoder(**changes):
    torch.manual_seed(0)
    return build_word_encoder(TINY.replace(**changes), 12)


def test_padding_has_no_vector_whatever_its_token_is():
    words = encoder().eval()
    mask = torch.tensor([[True, True, False, False]])
    with torch.no_grad():
        one, other = (words(torch.tensor([tokens]), mask) for tokens in ([3, 4, 0, 0], [3, 4, 5, 6]))
        vectors = words.vectors(torch.tensor([[3, 4, 0, 0]]))
        assert not vectors[0, 2:].any()
        torch.testing.assert_close(one, other, rtol=0, atol=0)
        torch.testing.assert_close(one, words.read(vectors), rtol=0, atol=0)


def test_the_state_is_reset_before_its_product():
    """Written out for one channel and two words."""
    words = build_word_encoder(GruConfig(vector=1, width=1), 3).eval()
    for direction in words.ahead, words.back:
        direction.weight_input.data = torch.tensor([[0.3], [-0.4], [0.5]])
        direction.weight_hidden.data = torch.tensor([[0.6], [0.7], [-0.8]])
        direction.bias.data = torch.tensor([0.1, -0.2, 0.3])

    def step(x, h):
        keep = (0.3 * x + 0.6 * h + 0.1).sigmoid()
        reset = (-0.4 * x + 0.7 * h - 0.2).sigmoid()
        return keep * h + (1 - keep) * (0.5 * x - 0.8 * (reset * h) + 0.3).tanh()

    a, b, nothing = torch.tensor(2.0), torch.tensor(-1.0), torch.tensor(0.0)
    ahead = [step(a, nothing), step(b, step(a, nothing))]
    back = [step(a, step(b, nothing)), step(b, nothing)]
    with torch.no_grad():
        read = words.read(torch.stack([a, b]).view(1, 2, 1))
    torch.testing.assert_close(read.flatten(), torch.stack(ahead) + torch.stack(back))


def test_vectors_are_fixed_unless_they_are_to_be_learned():
    tokens, mask = torch.tensor([[3, 4]]), torch.ones(1, 2, dtype=torch.bool)
    for learned in (False, True):
        words = encoder(learn_vectors=learned)
        words(tokens, mask).sum().backward()
        assert (words.vectors.weight.grad is not None) == learned
        assert all(p.grad.any() for d in (words.ahead, words.back) for p in d.parameters())


def test_dropout_takes_the_same_channels_of_all_words():
    direction = encoder(dropout=0.5, width=6).ahead
    torch.nn.init.zeros_(direction.weight_hidden)
    direction.weight_input.data = torch.eye(6).repeat(3, 1)
    states = direction(torch.ones(1, 5, 6))
    new = states[0].diff(dim=0) != 0  # a channel without input stays at 0
    assert (new == new[:1]).all() and new.any() and not new.all()


def test_the_published_one_has_a_state_of_1024_channels():
    with torch.device("meta"):
        words = build_word_encoder(WORD_ENCODERS["gru"], 10)
    assert words.channels == 1024
    assert sum(p.numel() for d in (words.ahead, words.back) for p in d.parameters()) == 8_140_800
