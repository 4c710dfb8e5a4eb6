import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from refseg.networks.cmirnet.alternatives import SVLA, WPA, sine_code
from refseg.networks.cmirnet.config import SVLAConfig, TGMMConfig, WPAConfig
from refseg.networks.cmirnet.guidance import TGMM

PLACES = {
    256: (1, 60),
    512: (1, 30),
    1024: (1, 15),
}  # channels -> heads and side of Swin-B's blocks; the last one twice


def counted(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(autouse=True)
def _without_memory():
    with torch.device("meta"):
        yield


def made(kind, channels, heads=1):
    if kind is SVLA:
        return SVLA(SVLAConfig(), channels, 768, 512, words=True, sentence=True)
    config = WPAConfig() if kind is WPA else TGMMConfig()
    return kind(config, heads, channels, 768, 512, words=True, sentence=True)


@pytest.mark.parametrize("channels", PLACES)
def test_wpa_is_tgmm_with_one_more_projection(channels):
    assert counted(made(WPA, channels)) == counted(made(TGMM, channels)) + channels**2 + channels


@pytest.mark.parametrize("kind, millions", [(TGMM, 18.504), (WPA, 20.932), (SVLA, 95.982)])
def test_parameters_are_those_of_table_viii(kind, millions):
    assert round(sum(counted(made(kind, channels)) for channels in (*PLACES, 1024)) / 1e6, 3) == millions


@pytest.mark.parametrize("kind, billions", [(TGMM, 3.9), (WPA, 4.84), (SVLA, 56.6)])
def test_multiplications_are_nearly_those_of_table_viii(kind, billions):
    total = 0
    for channels, (_, side) in [*PLACES.items(), (1024, (8, 15))]:
        module, x = made(kind, channels), torch.empty(1, channels, side, side)
        text, mask = torch.empty(1, 20, 768), torch.ones(1, 20, dtype=torch.bool)
        with FlopCounterMode(display=False) as counter:
            module(x, text, text[:, 0], mask)
        counts = counter.get_flop_counts()["Global"]
        total += sum(flops for operator, flops in counts.items() if "addmm" in str(operator) or ".mm" in str(operator))
    assert total / 2e9 == pytest.approx(billions, rel=0.02)


def test_rivals_give_what_tgmm_gives():
    with torch.device("cpu"):
        x, text, mask = torch.randn(2, 32, 4, 5), torch.randn(2, 7, 24), torch.arange(7) < torch.tensor([[7], [3]])
        for module in (
            WPA(WPAConfig(), 4, 32, 24, 16, words=True, sentence=True),
            SVLA(SVLAConfig(), 32, 24, 16, words=True, sentence=True),
        ):
            visual, words, sentence = module(x, text, text[:, 0], mask)
            assert visual.shape == x.shape and words.shape == (2, 7, 16) and sentence.shape == (2, 16)
            other = torch.where(mask[..., None], text, torch.randn_like(text))
            torch.testing.assert_close(module(x, other, text[:, 0], mask)[0], visual)


def test_the_sine_code_of_a_place_is_made_of_its_row_and_its_column():
    with torch.device("cpu"):
        code = sine_code(3, 4, 8, torch.empty(0)).view(3, 4, 8)
        assert torch.equal(code[:, :1, :4].expand(-1, 4, -1), code[..., :4])
        assert torch.equal(code[:1, :, 4:].expand(3, -1, -1), code[..., 4:])
        torch.testing.assert_close(code[-1, -1, :2], torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)
        assert len(code.flatten(0, 1).unique(dim=0)) == 12
