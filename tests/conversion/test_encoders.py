"""Encoders start from weights as others give them out; files are made here, in their layouts."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.networks.test_network import TINY
from timm.models.resnet import Bottleneck, ResNet
from timm.models.swin_transformer import SwinTransformer
from transformers import BertConfig, BertForPreTraining

from refseg.encoders.darknet import DarkNet
from refseg.errors import InvalidInput, MissingFile
from refseg.networks import build
from refseg.training.initial_weights import initialise

SWIN = "timm/swin_base_patch4_window12_384.ms_in22k"
RESNET = "timm/resnet101.tv_in1k"
SWIN_CONFIG = {"kind": "swin", "width": 8, "depths": (1, 1, 2, 1), "heads": (1, 1, 2, 2), "window": 2}


def network(image_encoder, words=20):
    torch.manual_seed(0)
    return build("lavt", TINY["lavt"] | {"image_encoder": image_encoder}, words)


def weights_of(module, file, wrap=None):
    """Saves random weights of a network that has the classifier of ImageNet; returns them."""
    torch.manual_seed(1)
    state = {name: torch.rand_like(v) if v.is_floating_point() else v for name, v in module.state_dict().items()}
    save_file(state, file) if file.suffix == ".safetensors" else torch.save(wrap(state), file)
    return state


def swin():
    return SwinTransformer(
        img_size=64,
        embed_dim=8,
        depths=(1, 1, 2, 1),
        num_heads=(1, 1, 2, 2),
        window_size=2,
        num_classes=5,
        always_partition=True,
    )


@pytest.mark.parametrize(
    ("name", "wrap"), [("model.safetensors", None), ("authors.pth", lambda state: {"model": state})]
)
def test_a_swin_starts_from_a_file_of_timm(tmp_path, name, wrap):
    state = weights_of(swin(), tmp_path / name, wrap)
    ours = network(SWIN_CONFIG)
    initialise(ours, {"image_encoder": f"{SWIN}:{tmp_path / name}"})
    loaded = ours.image_encoder.net.state_dict()
    assert loaded.keys() == {name for name in state if not name.startswith(("head.", "norm."))}
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_a_resnet_starts_from_a_file_of_timm(tmp_path):
    state = weights_of(ResNet(Bottleneck, (1, 1, 1, 1), num_classes=5), tmp_path / "model.safetensors")
    ours = network({"kind": "resnet", "depths": (1, 1, 1, 1)})
    initialise(ours, {"image_encoder": f"{RESNET}:{tmp_path / 'model.safetensors'}"})
    assert torch.equal(ours.image_encoder.net.layer4[0].conv3.weight, state["layer4.0.conv3.weight"])


def test_weights_of_timm_that_are_not_here_are_named_with_the_way_out(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network\nat all")

    monkeypatch.setattr("timm.models.load_state_dict_from_hf", offline)
    by_hand = (
        f"initial.image_encoder: {SWIN[5:]} cannot be downloaded (no network); download https://huggingface.co/{SWIN}/"
        f"resolve/main/model.safetensors by hand as model.safetensors and set this to {SWIN}:model.safetensors"
    )
    ours = network(SWIN_CONFIG)
    with pytest.raises(MissingFile, match=f"^{re.escape(by_hand)}$"):
        initialise(ours, {"image_encoder": SWIN})
    with pytest.raises(MissingFile, match="initial.image_encoder: .*none.safetensors is missing"):
        initialise(ours, {"image_encoder": f"{SWIN}:{tmp_path / 'none.safetensors'}"})
    with pytest.raises(InvalidInput, match="timm has no weights 'resnet101.tv_in'; near to it: .*resnet101"):
        initialise(ours, {"image_encoder": "timm/resnet101.tv_in"})
    (tmp_path / "cut.safetensors").write_bytes(b"123")
    with pytest.raises(InvalidInput, match="cut.safetensors is damaged"):
        initialise(ours, {"image_encoder": f"{SWIN}:{tmp_path / 'cut.safetensors'}"})


def test_weights_of_another_encoder_are_refused(tmp_path):
    weights_of(ResNet(Bottleneck, (1, 1, 1, 1), num_classes=5), tmp_path / "model.safetensors")
    with pytest.raises(InvalidInput, match="initial.image_encoder: timm/resnet101.tv_in1k:.* does not fit: it lacks"):
        initialise(network({"kind": "resnet"}), {"image_encoder": f"{RESNET}:{tmp_path / 'model.safetensors'}"})


def bert(words=20):
    torch.manual_seed(1)
    config = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return BertForPreTraining(BertConfig(vocab_size=words, max_position_embeddings=16, **config)).state_dict()


@pytest.mark.parametrize("where", ["model.safetensors", "pytorch_model.bin", "folder", "old folder"])
def test_a_bert_starts_from_hugging_faces_layout(tmp_path, where):
    state = bert()
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): value for name, value in state.items()}
    old["bert.embeddings.position_ids"] = torch.arange(16)
    if where in ("model.safetensors", "folder"):
        save_file({name: value.clone() for name, value in state.items()}, tmp_path / "model.safetensors")
    else:
        torch.save(old, tmp_path / "pytorch_model.bin")
    ours = network(SWIN_CONFIG)
    initialise(ours, {"word_encoder": str(tmp_path if "folder" in where else tmp_path / where)})
    for name, value in ours.word_encoder.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_a_bert_of_other_words_is_refused(tmp_path):
    save_file({name: value.clone() for name, value in bert(28).items()}, tmp_path / "model.safetensors")
    message = "initial.word_encoder: .* knows 28 word pieces, the network's tokenizer 20; take an uncased BERT"
    with pytest.raises(InvalidInput, match=message):
        initialise(network(SWIN_CONFIG), {"word_encoder": str(tmp_path)})


def test_a_bert_that_cannot_be_downloaded_is_named_with_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    by_hand = "download https://huggingface.co/google-bert/bert-base-uncased/resolve/main/model.safetensors by hand"
    with pytest.raises(MissingFile, match=f"no weights 'google-bert/bert-base-uncased'; {by_hand} and give that file"):
        initialise(network(SWIN_CONFIG), {"word_encoder": "google-bert/bert-base-uncased"})


def test_a_darknet_starts_from_a_file_of_yolo(tmp_path):
    ours = network({"kind": "darknet", "width": 2, "blocks": (1, 1, 1, 1, 1), "pairs": 1})
    encoder, rng, parts = ours.image_encoder, np.random.default_rng(0), []
    convolutions = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    for conv in convolutions:  # offsets, scales, means, variances, kernels
        parts += [rng.random(conv.out_channels, np.float32) for _ in range(4)] + [
            rng.random(conv.weight.shape, np.float32)
        ]
    head = np.array([0, 2, 0, 1, 0], "<i4")
    rest = rng.random(100).astype(np.float32)  # of the detector
    file = tmp_path / "yolov3.weights"
    file.write_bytes(b"".join(part.tobytes() for part in (head, *parts, rest)))
    initialise(ours, {"image_encoder": str(file)})
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert isinstance(encoder, DarkNet) and len(norms) == len(convolutions) == 18
    for number, (conv, norm) in enumerate(zip(convolutions, norms, strict=True)):
        own = norm.bias, norm.weight, norm.running_mean, norm.running_var, conv.weight
        for mine, theirs in zip(own, parts[5 * number : 5 * number + 5], strict=True):
            np.testing.assert_array_equal(mine.detach().numpy(), theirs)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(InvalidInput, match=r"initial.image_encoder: .*weights is too short: it ends before net\."):
        initialise(ours, {"image_encoder": str(file)})
    with pytest.raises(MissingFile, match="none.weights is missing; download yolov3.weights by hand"):
        initialise(ours, {"image_encoder": "none.weights"})
