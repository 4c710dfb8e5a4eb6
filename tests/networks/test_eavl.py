import pytest
import torch
import torch.nn.functional as F
from tests.networks.tables import rows_of

from refseg.batch import Batch
from refseg.errors import InvalidInput
from refseg.networks.eavl import EAVL, PRESETS, EAVLConfig

SIZES = {
    "image_encoder": {"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
    "word_encoder": {"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 16},
    "decoder_layers": 1,
    "feed_forward": 32,
    "dropout": 0.0,
}
TINY_ALIGNER = {"width": 16, "heads": 2, "image_size": 64}
TINY = EAVLConfig.model_validate(SIZES | {"aligner": TINY_ALIGNER | {"queries": 6}})
TABLES = {
    table: [row.replace(**SIZES, aligner=row.aligner.replace(**TINY_ALIGNER)) for row in rows_of(table).values()]
    for table in ("eavl_table2", "eavl_table3", "eavl_table4")
}


def built(config, words=20):
    torch.manual_seed(0)
    return EAVL(config, words).eval()


def asked(count=2, height=64, width=64):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(count, 3, height, width, generator=generator)
    tokens = torch.randint(2, 20, (count, 5), generator=generator)
    return image, tokens, torch.ones_like(tokens, dtype=torch.bool)


# As the paper counts: Table VI has 202.11 M for Swin (thop, which skips embeddings) and 192.24 M for ResNet-101
@pytest.mark.parametrize(
    ("preset", "words", "parameters"),
    [
        ("eavl_swin_base", 30522, 237_835_665),
        ("eavl_clip_resnet101", 49408, 190_998_393),
        ("eavl_clip_resnet50", 49408, 176_202_105),
    ],
)
def test_parameters(preset, words, parameters):
    with torch.device("meta"):
        network = EAVL(PRESETS[preset], words)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_parameters_of_the_other_neck():
    with torch.device("meta"):
        network = EAVL(PRESETS["eavl_clip_resnet101"].replace(neck="linear"), 49408)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 3) == 157.701


@pytest.mark.parametrize("table", TABLES)
def test_rows_of_the_tables_are_networks_of_their_own(table):
    sizes = []
    for row in TABLES[table]:
        network = built(row)
        sizes.append(sum(p.numel() for p in network.parameters()))
        assert network(*asked()).logits.isfinite().all()
    if table == "IV":
        assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)


def test_a_fixed_convolution_has_neither_kernels_nor_estimator():
    network = built(TINY.replace(mask_head="fixed"))
    assert isinstance(network.masks, torch.nn.Conv2d) and not network.views()
    assert network(*asked()).logits.shape == (2, 1, 16, 16)


def test_other_sizes_than_that_of_the_training():
    assert built(TINY)(*asked(2, 64, 96)).logits.shape == (2, 1, 16, 24)
    assert built(TINY)(*asked(2, 128, 160)).logits.shape == (2, 1, 32, 40)


def test_sides_of_training_images_are_multiples_of_32():
    with pytest.raises(ValueError, match="multiple of 32"):
        TINY.replace(aligner={"image_size": 100})


class Masks(Batch):
    """A batch with masks of its own."""

    def masks(self):
        return torch.arange(64).expand(2, 64, 64) < torch.tensor([[[20]], [[50]]])


@pytest.mark.parametrize("place", ["full", "quarter"])
def test_the_loss_is_binary_cross_entropy_at_either_size(place):
    network, (image, tokens, word_mask) = built(TINY.replace(loss_at=place)), asked()
    batch = Masks(image, tokens, word_mask, torch.arange(2), targets=torch.ones(2, 1), objects=None)
    logits, masks = network(image, tokens, word_mask).logits, batch.masks().float()[:, None]
    if place == "full":
        logits = F.interpolate(logits, (64, 64), mode="bilinear")
    else:
        masks = masks[:, :, ::4, ::4]
    expected = F.binary_cross_entropy_with_logits(logits, masks)
    torch.testing.assert_close(network.loss(batch)["loss"], expected)


def test_the_threshold_is_that_of_the_config():
    high, low = (built(TINY.replace(threshold=threshold))(*asked()).logits for threshold in (0.5, 0.35))
    torch.testing.assert_close(low.sigmoid(), (high + torch.tensor(0.65 / 0.35).log()).sigmoid())


def test_the_image_is_encoded_once_for_all_expressions():
    network, (image, tokens, word_mask) = built(TINY), asked()
    features = network.encode_image(image)
    words = network.encode_words(tokens, word_mask)
    calls = []
    network.queries.dense.register_forward_hook(lambda *_: calls.append(1))
    network.fuse(features, words, word_mask, torch.tensor([1, 0]))
    assert not calls


def test_the_sentence_of_clip_is_its_end_token():
    config = TINY.replace(
        image_encoder={"kind": "clip_resnet", "width": 4, "depths": (1, 1, 1, 1), "joint": 16},
        word_encoder={"kind": "clip_text", "width": 16, "layers": 1, "heads": 2, "joint": 16},
        pool_heads=4,
        neck="cris",
        aligner={"queries": 6, "width": 16, "heads": 2, "image_size": 64},
    )
    unasked = built(config.replace(global_language=False)).word_encoder.clip.text_projection
    assert not unasked.weight.requires_grad
    wider = config.replace(aligner=config.aligner.replace(width=32))  # than the words
    assert built(wider)(*asked()).logits.isfinite().all()
    with pytest.raises(InvalidInput, match="3 heads do not divide 128 channels"):
        built(config.replace(pool_heads=3))
    network, (image, tokens, word_mask) = built(config), asked()
    words = network.encode_words(tokens, word_mask)
    torch.testing.assert_close(
        network.sentence_of(words, word_mask), network.word_encoder.clip.text_projection(words[:, -1])
    )
    assert network(image, tokens, word_mask).logits.shape == (2, 1, 16, 16)
