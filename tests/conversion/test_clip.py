import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from refseg.conversion.clip import clip_name, from_clip, read_clip
from refseg.conversion.official_layout import TensorSlice
from refseg.encoders.configs import BertConfig, ClipImageConfig, ClipTextConfig, SmallConfig
from refseg.errors import InvalidInput, MissingFile
from refseg.networks.cris import CRIS, CRISConfig

CONFIG = CRISConfig(
    image_encoder=ClipImageConfig(depths=(1, 1, 1, 1), width=8, joint=12),
    word_encoder=ClipTextConfig(width=16, layers=1, heads=2, joint=12, positions=16),
    widths=(8, 8, 16),
    width=16,
    heads=2,
    feed_forward=32,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CRIS(CONFIG, 30)


def clip_of(network):
    """A CLIP's state dict with random values, as small as the network."""
    shapes = {"logit_scale": ()}
    for key, value in network.state_dict().items():
        if key.startswith(("image_encoder.", "pool.", "word_encoder.")):
            name = clip_name(key)
            piece = name if isinstance(name, TensorSlice) else TensorSlice(name)
            shape = (value.shape[0] * piece.of, *value.shape[1:]) if value.ndim else ()
            shapes[piece.name] = shape[::-1] if piece.transposed else shape
    generator = torch.Generator().manual_seed(1)
    names = [name for name in shapes if "connect" not in name and "num_batches" not in name]
    return {name: torch.randn(shapes[name], generator=generator).half() for name in names}


class Tree(nn.Module):
    """Tensors by their dotted names, for an archive like OpenAI's."""

    def __init__(self, tensors):
        super().__init__()
        for name, tensor in tensors.items():
            *path, leaf = name.split(".")
            module = self
            for part in path:
                if part not in module._modules:
                    module.add_module(part, Tree({}))
                module = module._modules[part]
            module.register_buffer(leaf, tensor)

    def forward(self, x):
        return x


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["RN50.pt", "state.pt", "training.pt", "clip.safetensors"])
def test_files_of_every_kind_hold_the_same(network, kind, tmp_path):
    clip, path = clip_of(network), tmp_path / kind
    if kind == "RN50.pt":
        torch.jit.script(Tree(clip)).save(path)
    elif kind == "training.pt":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in clip.items()}}, path)
    else:
        (save_file if path.suffix == ".safetensors" else torch.save)(clip, path)
    tensors = read_clip(path)
    assert tensors.keys() == clip.keys()
    assert all(torch.equal(tensors[name], value) for name, value in clip.items())


def test_a_network_starts_from_clip_in_all_that_clip_has(network):
    clip, fresh = clip_of(network), {key: value.clone() for key, value in network.state_dict().items()}
    state = from_clip(network, clip)
    missing, unknown = network.load_state_dict(state, strict=False)
    assert unknown == []
    for key in missing:
        assert key.startswith(("neck.", "decoder.", "projector.", "pool.shortcut.")) or "num_batches" in key
        assert torch.equal(network.state_dict()[key], fresh[key])
    in_proj = clip["transformer.resblocks.0.attn.in_proj_weight"].float()
    layer = network.word_encoder.clip.text_model.encoder.layers[0].self_attn
    assert torch.equal(torch.cat([layer.q_proj.weight, layer.k_proj.weight, layer.v_proj.weight]), in_proj)
    assert torch.equal(network.word_encoder.clip.text_projection.weight.mT, clip["text_projection"].float())
    assert torch.equal(network.pool.positions, clip["visual.attnpool.positional_embedding"].float())
    stage = network.image_encoder.net.stages[1][0]
    assert torch.equal(stage.conv2_kxk.conv.weight, clip["visual.layer2.0.conv2.weight"].float())
    assert torch.equal(stage.shortcut.conv.bn.running_var, clip["visual.layer2.0.downsample.1.running_var"].float())


def test_another_clip_is_refused(network):
    clip = clip_of(network)
    with pytest.raises(InvalidInput, match="does not fit: text_projection is 13x16 in place of 12x16"):
        from_clip(network, clip | {"text_projection": torch.zeros(16, 13)})
    del clip["visual.conv1.weight"]
    with pytest.raises(InvalidInput, match="it lacks visual.conv1.weight"):
        from_clip(network, clip)


def test_a_network_without_a_clip_is_refused(network):
    other = CONFIG.replace(
        image_encoder=SmallConfig(finder=(4, 4, 8, 8), top=8),
        word_encoder=BertConfig(width=16, layers=1, heads=2, feed_forward=16),
    )
    with pytest.raises(InvalidInput, match="no part of a CLIP"):
        from_clip(CRIS(other, 30), clip_of(network))


def test_files_that_are_no_clip_are_refused(tmp_path):
    with pytest.raises(MissingFile, match="RN50.pt is missing"):
        read_clip(tmp_path / "RN50.pt")
    for name in ("RN50.pt", "clip.safetensors"):
        (tmp_path / name).write_bytes(b"not a checkpoint")
        with pytest.raises(InvalidInput, match=r"is damaged .*download it again"):
            read_clip(tmp_path / name)
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(InvalidInput, match="holds a Tensor, not a state dict; give the file of a CLIP"):
        read_clip(tmp_path / "tensor.pt")


def test_a_tensor_that_clip_does_not_have_is_named():
    with pytest.raises(InvalidInput, match="neck.sum.0.weight has no name in CLIP"):
        clip_name("neck.sum.0.weight")
