import dataclasses

import pytest
import torch
import torch.nn.functional as F

from refseg.batch import Batch, Objects
from refseg.encoders.configs import BertConfig, ClipImageConfig, ClipTextConfig, SmallConfig
from refseg.networks.cris import CRIS, PRESETS, CRISConfig, cubic_products, cubic_resize, to_image

SMALL = {"widths": (8, 8, 16), "width": 16, "heads": 2, "feed_forward": 32, "dropout": 0.0, "max_words": 8}
TINY = CRISConfig(
    image_encoder=ClipImageConfig(depths=(1, 1, 1, 1), width=8, joint=12),
    word_encoder=ClipTextConfig(width=16, layers=1, heads=2, joint=12, positions=16),
    **SMALL,
)
OTHERS = CRISConfig(
    image_encoder=SmallConfig(finder=(8, 8, 8, 12), top=16),
    word_encoder=BertConfig(width=12, layers=1, heads=2, feed_forward=32, positions=16),
    **SMALL,
)


def tiny(config=TINY):
    torch.manual_seed(0)
    network = CRIS(config, 30)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


def asked(count=2):
    torch.manual_seed(1)
    tokens = torch.randint(2, 30, (count, 6))
    word_mask = torch.arange(6) < torch.tensor([6, 4, 3][:count])[:, None]
    return torch.randn(count, 3, 64, 96), tokens * word_mask, word_mask


def batch():
    image, tokens, word_mask = asked()
    id_map = torch.zeros(2, 64, 96, dtype=torch.long)
    id_map[:, 8:40, 16:57] = 1
    nothing = torch.zeros(2, 1)
    objects = Objects(id_map, nothing[..., None], nothing, nothing[..., None].long(), nothing == 0)
    targets = torch.tensor([[True], [False]])
    return Batch(image, tokens, word_mask, torch.arange(2), targets, objects)


@pytest.mark.parametrize("name, millions", [("cris_resnet50", 146.849), ("cris_resnet101", 161.252)])
def test_parameters_are_those_of_the_release(name, millions):
    with torch.device("meta"):
        network = CRIS(PRESETS[name], 49408)
    count = sum(p.numel() for p in network.parameters()) + 1  # CLIP's temperature, which never acts
    assert round(count / 1e6, 3) == millions


def test_the_small_preset_is_small():
    network = CRIS(PRESETS["cris_small"], 100)
    own = [p for name, p in network.named_parameters() if not name.startswith(("image_encoder.", "word_encoder."))]
    assert sum(p.numel() for p in own) < 1.5e6


@pytest.mark.parametrize("config", [TINY, OTHERS])
@pytest.mark.parametrize("height, width", [(64, 96), (160, 32)])
def test_images_of_any_shape_get_masks_of_theirs(config, height, width):
    _, tokens, word_mask = asked()
    assert tiny(config)(torch.randn(2, 3, height, width), tokens, word_mask).logits.shape == (2, 1, height, width)


def test_the_image_is_encoded_once_for_all_expressions():
    network, (image, tokens, word_mask) = tiny(), asked(3)
    words, one = network.encode_words(tokens, word_mask), torch.zeros(3, dtype=torch.long)
    output = network.fuse(network.encode_image(image[:1]), words, word_mask, one)
    wanted = network(image[:1].expand(3, -1, -1, -1), tokens, word_mask)
    torch.testing.assert_close(output.logits, wanted.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", [TINY, OTHERS])
def test_padding_changes_nothing(config):
    network, (image, tokens, word_mask) = tiny(config), asked()
    longer = F.pad(tokens, (0, 5), value=7), F.pad(word_mask, (0, 5), value=False)
    one, other = network(image, *longer).logits, network(image, tokens, word_mask).logits
    torch.testing.assert_close(one.sigmoid(), other.sigmoid(), atol=1e-6, rtol=0)  # logits come of probabilities


def test_a_pixel_belongs_to_the_referent_above_the_threshold():
    network, (image, tokens, word_mask) = tiny(TINY.replace(threshold=0.35)), asked()
    features, words = network.encode_image(image), network.encode_words(tokens, word_mask)
    logits = network.logits(features, words, word_mask, torch.arange(2))
    probability = F.interpolate(logits.sigmoid(), (64, 96), mode="bicubic", align_corners=True)
    mask = network(image, tokens, word_mask).logits > 0
    assert ((probability > 0.35) == mask)[(probability - 0.35).abs() > 1e-5].all()
    assert 0 < mask.float().mean() < 1


def test_probabilities_beyond_0_and_1_stay_finite():
    logits = torch.tensor([[-40.0, 40.0], [40.0, -40.0]])[None, None].repeat(1, 1, 3, 3)
    assert to_image(logits, (24, 24)).isfinite().all()


@pytest.mark.parametrize(("size", "to"), [((16, 24), (64, 96)), ((1, 2), (5, 7)), ((7, 5), (1, 3))])
def test_an_export_interpolates_by_products_with_the_same_result(size, to):
    maps = torch.rand(2, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cubic_products(maps, to), cubic_resize(maps, to), rtol=0, atol=1e-14)
    graph = torch.export.export(Enlarge(), (maps.float(),)).graph
    assert not [node for node in graph.nodes if "bicubic" in str(node.target)], "ONNX Runtime has none in float64"


class Enlarge(torch.nn.Module):
    def forward(self, logits):
        return to_image(logits, (64, 96))


def test_the_loss_is_at_a_quarter_of_the_size():
    network, data = tiny(), batch()
    words = network.encode_words(data.tokens, data.word_mask)
    logits = network.logits(network.encode_image(data.image), words, data.word_mask, data.image_of_expression)
    wanted = F.binary_cross_entropy_with_logits(logits[:, 0], data.masks()[:, ::4, ::4].float())
    torch.testing.assert_close(network.loss(data)["loss"], wanted)


@pytest.mark.parametrize("config", [TINY, TINY.replace(mean_token=True), OTHERS])
def test_every_parameter_gets_a_gradient(config):
    network = tiny(config).train()
    network.loss(batch())["loss"].backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_frozen_batch_norms_train_on_a_single_expression():
    network, data = tiny(), batch()
    network.freeze_batch_norm()
    one = dataclasses.replace(
        data,
        tokens=data.tokens[:1],
        word_mask=data.word_mask[:1],
        image_of_expression=torch.zeros(1, dtype=torch.long),
        targets=data.targets[:1],
    )
    assert network.train().loss(one)["loss"].isfinite()


def test_the_mean_token_is_another_network():
    inputs = asked()
    assert not torch.allclose(tiny(TINY.replace(mean_token=True))(*inputs).logits, tiny()(*inputs).logits)


def test_pooling_is_trained_as_an_encoder_and_positions_as_what_is_new():
    network = tiny()
    part_of = {id(p): part for part, parameters in network.parts().items() for p in parameters}
    parts = {name: part_of[id(p)] for name, p in network.named_parameters()}
    assert parts["pool.key.weight"] == parts["pool.shortcut.0.weight"] == "image_encoder"
    assert parts["word_encoder.clip.text_projection.weight"] == "word_encoder"
    assert parts["pool.positions"] == parts["neck.sum.0.weight"] == "fusion"
    assert parts["word_encoder.clip.text_model.embeddings.position_embedding.weight"] == "fusion"


@pytest.mark.parametrize("config", [TINY, OTHERS])
def test_views_are_weights_of_words_and_a_map(config):
    network, seen = tiny(config), {}
    for view in network.views():
        view.module.register_forward_hook(lambda m, _, out: seen.update({id(m): out}))
    network(*asked())
    *layers, pixels = (view.read(seen[id(view.module)]) for view in network.views())
    assert len(layers) == 3 and pixels.shape == (2, 16, 24)
    for weights in layers:
        torch.testing.assert_close(weights.sum(1), torch.ones(2))
        assert (weights[1, 4:] == 0).all()


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="8 heads do not divide 20 channels"):
        CRISConfig(width=20)
