import pytest
import torch

from refseg.conversion.i3d import COUNTER, from_i3d, i3d_name, read_i3d
from refseg.encoders.configs import LstmConfig
from refseg.encoders.i3d import I3D
from refseg.errors import InvalidInput, MissingFile
from refseg.networks import build
from refseg.training.initial_weights import initialise

TINY = {"word_encoder": LstmConfig(vector=4, width=8), "parser_hidden": 8, "width": 8, "heads": 2, "fused": 8}


@pytest.fixture(scope="module")
def port():
    """A state dict as the port has it, with its classifier."""
    with torch.device("meta"):
        own = I3D().state_dict()
    generator = torch.Generator().manual_seed(0)
    made = {
        i3d_name(key): torch.rand(value.shape, generator=generator) + 0.1
        for key, value in own.items()
        if not key.endswith(COUNTER)
    }
    for name in [name for name in made if name.endswith("conv3d.weight")]:
        made[name] = (made[name] - 0.6) / made[name][0].numel() ** 0.5
    shifts = [name for name in made if name.endswith("bn.bias")]
    made |= {name.replace("bias", "weight"): torch.ones_like(made[name]) for name in shifts}
    made |= {"logits.conv3d.weight": torch.zeros(400, 1024, 1, 1, 1), "logits.conv3d.bias": torch.zeros(400)}
    return made


@pytest.mark.parametrize("wrapped", ["", "module."])
def test_a_network_starts_from_the_file(port, tmp_path, wrapped):
    torch.save({wrapped + name: value for name, value in port.items()}, tmp_path / "rgb_imagenet.pt")
    network = build("cmpc_video_i3d", TINY, 10)
    initialise(network, {"i3d": str(tmp_path / "rgb_imagenet.pt")})
    net = network.image_encoder.net
    assert torch.equal(net["Mixed_4f"].b1b.conv.weight, port["Mixed_4f.b1b.conv3d.weight"])
    assert torch.equal(net["Conv3d_1a_7x7"].shift, port["Conv3d_1a_7x7.bn.bias"])
    assert torch.equal(net["Mixed_5c"].b3b.norm.running_var, port["Mixed_5c.b3b.bn.running_var"])


@torch.no_grad()
def test_a_scale_of_the_file_goes_into_the_convolution(port):
    scales = {name: torch.rand(x.shape) + 0.5 for name, x in port.items() if name.endswith("bn.weight")}
    encoder, x = I3D().eval(), torch.randn(1, 3, 8, 16, 16)
    encoder.load_state_dict(from_i3d(encoder, port | scales), strict=False)
    layer = "Conv3d_1a_7x7"
    unscaled = I3D().eval()
    unscaled.load_state_dict(from_i3d(unscaled, port), strict=False)
    convolved = unscaled.net[layer].conv(torch.nn.functional.pad(x, (2, 3) * 3))
    normed = torch.nn.functional.batch_norm(
        convolved,
        port[f"{layer}.bn.running_mean"],
        port[f"{layer}.bn.running_var"],
        scales[f"{layer}.bn.weight"],
        port[f"{layer}.bn.bias"],
        eps=1e-3,
    )
    torch.testing.assert_close(encoder.stem(x), normed.relu(), rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_listed(port):
    other = dict(port) | {"Mixed_5d.b0.conv3d.weight": torch.zeros(1), "Mixed_3b.b0.bn.bias": torch.zeros(3)}
    del other["Mixed_4b.b0.bn.running_mean"]
    flow = port | {"Conv3d_1a_7x7.conv3d.weight": torch.zeros(64, 2, 7, 7, 7)}
    with pytest.raises(InvalidInput, match=r"no I3D for RGB: 1 missing \(Mixed_4b.b0.bn.running_mean\), 1 unexpected"):
        from_i3d(I3D(), other)
    with pytest.raises(InvalidInput, match=r"1 of another shape \(Conv3d_1a_7x7.*: 64x2x7x7x7 in place of 64x3x7x7x7"):
        from_i3d(I3D(), flow)


class Evil:
    def __reduce__(self):
        return open, ("touched", "w")


def test_other_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"Conv3d_1a_7x7.conv3d.weight": Evil()}, "evil.pt")
    torch.save([torch.zeros(3)], "list.pt")
    (tmp_path / "garbage.pt").write_bytes(b"PK garbage")
    for name, message in (
        ("evil", "never run"),
        ("list", "holds a list, not a state dict"),
        ("garbage", "rgb_imagenet.pt"),
    ):
        with pytest.raises(InvalidInput, match=message):
            read_i3d(tmp_path / f"{name}.pt")
    assert not (tmp_path / "touched").exists()
    with pytest.raises(MissingFile, match="nowhere.pt is missing"):
        read_i3d(tmp_path / "nowhere.pt")


def test_a_network_with_another_encoder_refuses_it(tmp_path):
    network = build("cmpc_video_small", TINY, 10)
    with pytest.raises(InvalidInput, match="initial.i3d: the network's image encoder is no I3D"):
        initialise(network, {"i3d": str(tmp_path / "rgb_imagenet.pt")})
