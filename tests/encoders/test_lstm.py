import torch
from torch import nn

from refseg.encoders import build_word_encoder
from refseg.encoders.configs import LstmConfig
from refseg.encoders.lstm import FORGET_BIAS

TINY = LstmConfig(vector=6, width=4)


def encoder():
    torch.manual_seed(0)
    words = build_word_encoder(TINY, 12)
    nn.init.normal_(words.bias)
    return words.eval()


@torch.no_grad()
def test_it_is_the_lstm_of_pytorch_with_a_constant_in_the_forget_gate():
    words, theirs = encoder(), nn.LSTM(6, 4, batch_first=True)
    i, j, f, o = range(4)
    order = torch.cat([torch.arange(4) + 4 * gate for gate in (i, f, j, o)])
    weight, bias = words.weight[order], words.bias[order].clone()
    bias[4:8] += FORGET_BIAS
    theirs.load_state_dict(
        {
            "weight_ih_l0": weight[:, :6],
            "weight_hh_l0": weight[:, 6:],
            "bias_ih_l0": bias,
            "bias_hh_l0": torch.zeros(16),
        }
    )
    tokens = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
    wanted, _ = theirs(words.vectors(tokens))
    torch.testing.assert_close(words(tokens, torch.ones_like(tokens, dtype=torch.bool)), wanted)


@torch.no_grad()
def test_padding_changes_nothing_wherever_it_is():
    words = encoder()
    said = words(torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.bool))
    for places in ((0, 1, 2), (2, 3, 4), (0, 2, 4)):
        tokens, mask = torch.full((1, 5), 7), torch.zeros(1, 5, dtype=torch.bool)
        tokens[0, list(places)], mask[0, list(places)] = torch.tensor([3, 4, 5]), True
        padded = words(tokens, mask)
        torch.testing.assert_close(padded[:, list(places)], said)
        assert not padded[~mask].any()


def test_vectors_are_learned():
    words = encoder().train()
    words(torch.tensor([[3, 4]]), torch.ones(1, 2, dtype=torch.bool)).sum().backward()
    assert words.vectors.weight.grad[[3, 4]].any() and not words.vectors.weight.grad[5].any()
    assert words.weight.grad.any() and words.bias.grad.any()
