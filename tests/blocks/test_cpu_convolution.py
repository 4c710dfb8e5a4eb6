import pytest
import torch
import torch.nn.functional as F

from refseg.blocks import cpu_convolution as fast
from refseg.blocks.upsample_concat import JoinScales


def rows(x):
    return x.permute(1, 2, 0).contiguous()


@pytest.mark.parametrize("outputs", [3, 16])
@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_convolution_of_rows_is_that_of_the_map(outputs, size, dtype):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(12, *size), torch.randn(outputs, 12, 3, 3), torch.randn(outputs)
    wanted = F.conv2d(x[None], weight, bias, padding=1)[0]
    got = fast.convolution(weight, bias, dtype)(rows(F.pad(x, (1, 1, 1, 1))).to(dtype))
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(got.permute(2, 0, 1).float(), wanted, rtol=0, atol=tolerance * wanted.abs().max().item())


@pytest.mark.parametrize("before, after", [((5, 6), (10, 12)), ((20, 40), (39, 80)), ((7, 7), (7, 7))])
def test_a_doubled_convolution_is_that_of_the_interpolated_map(before, after):
    torch.manual_seed(0)
    x, weight = torch.randn(6, *before), torch.randn(9, 6, 3, 3)
    wanted = F.conv2d(F.interpolate(x[None], after, mode="bilinear", align_corners=True), weight, padding=1)[0]
    doubled = fast.DoubledConvolution(x, fast.taps_by_row(weight, torch.float32), after)
    strips = []
    for start in range(0, after[0], fast.STRIP_ROWS):
        strips.append(torch.zeros(min(fast.STRIP_ROWS, after[0] - start), after[1], 9))
        doubled.add_to(strips[-1], start)
    torch.testing.assert_close(
        torch.cat(strips).permute(2, 0, 1), wanted, rtol=0, atol=1e-5 * wanted.abs().max().item()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("coarse", [(21, 30), (41, 60)])
def test_joined_scales_are_the_same_in_strips(coarse, native, dtype, monkeypatch):
    torch.manual_seed(0)
    join = JoinScales(20, 16).eval()
    maps = torch.randn(2, 12, *coarse), torch.randn(2, 8, 41, 60)
    monkeypatch.setattr(fast, "supports_bfloat16", lambda: native)
    with torch.no_grad():
        with torch.autocast("cpu", enabled=False):
            monkeypatch.setattr(fast, "is_faster", lambda x: False)
            wanted = join(*maps)
        monkeypatch.setattr(fast, "is_faster", lambda x: True)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            got = join(*maps)
    tolerance = 1e-5 if dtype == torch.float32 or not native else 3e-2
    torch.testing.assert_close(got.float(), wanted, rtol=0, atol=tolerance * wanted.abs().max().item())


def test_strips_are_for_inference_on_a_cpu_alone():
    x = torch.randn(1, 4, 64, 64)
    assert not fast.is_faster(x)  # gradients may be wanted
    with torch.no_grad():
        assert fast.is_faster(x)
        assert not fast.is_faster(x[..., :8])
        assert not fast.is_faster(x.to("meta"))
