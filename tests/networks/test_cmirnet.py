import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from tests.networks.tables import rows_of
from torch.utils.flop_counter import FlopCounterMode

from refseg import networks
from refseg.batch import Batch, Objects
from refseg.blocks import cpu_convolution as fast
from refseg.encoders.configs import BertConfig, ClipTextConfig, SmallConfig
from refseg.errors import InvalidInput
from refseg.networks.cmirnet.cmirnet import CMIRNet, box_loss, soft_box
from refseg.networks.cmirnet.config import (
    PRESETS,
    CGIConfig,
    CGIPConfig,
    CMAEConfig,
    CMIRNetConfig,
    CrossAttentionConfig,
    LossConfig,
    SVLAConfig,
    TGMMConfig,
    WPAConfig,
)
from refseg.networks.cmirnet.graph import nearest_words

TINY = CMIRNetConfig(
    image_encoder=SmallConfig(finder=(8, 8, 8, 12), top=16),
    word_encoder=BertConfig(width=16, layers=1, heads=2, feed_forward=32, positions=16),
    max_words=8,
    width=64,
)
VOCABULARY_SIZE = 20
VARIANTS = rows_of(*(f"cmirnet_table{table}" for table in ("2", "3", "5a", "5b", "5c", "6", "7", "8")))


def built(config=TINY):
    """A network away from its first weights, of which some are 0."""
    torch.manual_seed(0)
    network = networks.build("cmirnet", config, VOCABULARY_SIZE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


def small(config):
    """The variant with encoders and width of `TINY`."""
    return config.replace(
        **{name: getattr(TINY, name) for name in ("image_encoder", "word_encoder", "max_words", "width")}
    )


def asked(height=64, width=96):
    torch.manual_seed(1)
    image, tokens = torch.randn(2, 3, height, width), torch.randint(2, VOCABULARY_SIZE, (2, 5))
    return image, tokens, torch.tensor([[True] * 5, [True] * 3 + [False] * 2])


def batch():
    torch.manual_seed(2)
    image, tokens, word_mask = asked(64, 64)
    id_map = torch.zeros(2, 64, 64, dtype=torch.long)
    id_map[:, 10:30, 20:50] = 1
    present = torch.ones(2, 1, dtype=torch.bool)
    nothing = torch.zeros(2, 1, 2)
    objects = Objects(id_map, nothing, nothing[..., 0], nothing.long(), present)
    return Batch(image, tokens, word_mask, torch.arange(2), torch.tensor([[True], [False]]), objects)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_row_of_the_tables_answers_and_learns_with_all_of_its_parameters(name):
    network = built(small(VARIANTS[name]))
    with torch.no_grad():
        assert network(*asked()).logits.shape == (2, 1, 64, 96)
    network.train().loss(batch())["loss"].backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    "changed",
    [
        {"stem": True},
        {"fine_projections": False},
        {"aspp_rates": (1, 2)},
        {"max_words": 10},
        {"tgmm": TGMMConfig(first_stage=4)},
        {"tgmm": TGMMConfig(activation="relu")},
        {"tgmm": TGMMConfig(heads=4)},
        {"tgmm": TGMMConfig(aspp_heads=2)},
        {"tgmm": TGMMConfig(keys="width")},
        {"tgmm": TGMMConfig(visual_words="original")},
        {"tgmm": TGMMConfig(sentence="gated")},
        {"tgmm": TGMMConfig(sentence="gated", keys="width")},
        {"tgmm": WPAConfig()},
        {"tgmm": WPAConfig(heads=4)},
        {"tgmm": SVLAConfig()},
        {"tgmm": SVLAConfig(heads=4)},
        {"tgmm": None},
        {"cgip": CGIPConfig(cgi=CGIConfig(neighbours=3))},
        {"cgip": CGIPConfig(cgi=CGIConfig(heads=2))},
        {"cgip": CGIPConfig(cgi=CGIConfig(kernel=1))},
        {"cgip": CGIPConfig(cgi=CGIConfig(head_weights=False))},
        {"cgip": CGIPConfig(cgi=CGIConfig(mask_padding_words=True))},
        {"cgip": CGIPConfig(cgi=CGIConfig(words="original"))},
        {"cgip": CGIPConfig(cgi=None)},
        {"cgip": CGIPConfig(igr=None)},
        {"cgip": CrossAttentionConfig()},
        {"cgip": CrossAttentionConfig(words="original")},
        {"cgip": None},
        {"cmae": CMAEConfig(channel=False)},
        {"cmae": CMAEConfig(sentence="original")},
        {"cmae": None},
    ],
    ids=str,
)
def test_a_field_changes_the_answer(changed):
    with torch.no_grad():
        before, after = (built(TINY.replace(**fields))(*asked()).logits for fields in ({}, changed))
    assert not torch.allclose(before, after)


def test_off_of_yaml_is_none():
    config = CMIRNetConfig.model_validate({"tgmm": False, "cgip": {"kind": "graph", "cgi": False}, "cmae": False})
    assert config.tgmm is config.cgip.cgi is config.cmae is None


def test_what_excludes_itself_is_refused():
    with pytest.raises(ValidationError, match="switch cgip off instead"):
        CGIPConfig(cgi=None, igr=None)
    with pytest.raises(ValidationError, match="nothing is left to learn"):
        LossConfig(mask=0, box=0)
    with pytest.raises(ValidationError, match="set stem=true or first_stage=2"):
        CMIRNetConfig(tgmm=TGMMConfig(first_stage=1))
    narrow = ClipTextConfig(width=16, layers=1, heads=2, joint=8)
    with pytest.raises(InvalidInput, match="have 16 channels, its sentences 8; CMIRNet needs as many"):
        CMIRNet(TINY.replace(word_encoder=narrow), 50)


class TestNearestWords:
    def near(self, pixels, words, count=3, mask=None):
        mask = torch.ones(words.shape[:2], dtype=torch.bool) if mask is None else mask
        return nearest_words(pixels, words, mask, count)

    def test_each_head_equals_a_search_one_pixel_at_a_time(self):
        torch.manual_seed(0)
        pixels, words = torch.randn(2, 7, 4, 8), torch.randn(2, 9, 4, 8)
        near = self.near(pixels, words)
        for m in range(2):
            for n in range(7):
                for head in range(4):
                    x, y = F.normalize(pixels[m, n, head], dim=0), F.normalize(words[m, :, head], dim=1)
                    distance = (x - y).square().sum(1)
                    assert near[m, n, :, head].tolist() == distance.argsort()[:3].tolist()

    def test_of_equally_near_words_the_first_wins(self):
        torch.manual_seed(0)
        word = torch.randn(1, 1, 2, 8)
        words = torch.cat([-word, word, word, -word, word, word], 1)
        assert self.near(word, words)[0, 0].tolist() == [[1, 1], [2, 2], [4, 4]]

    def test_a_pixel_without_features_takes_the_first_words(self):
        torch.manual_seed(0)
        assert self.near(torch.zeros(1, 5, 2, 8), torch.randn(1, 6, 2, 8)).unique(dim=1).tolist() == [
            [[[0, 0], [1, 1], [2, 2]]]
        ]

    def test_the_batch_does_not_matter(self):
        torch.manual_seed(0)
        pixels, words = torch.randn(3, 5, 2, 8).round(), torch.randn(3, 20, 2, 8).round()
        together = self.near(pixels, words)
        assert all(torch.equal(self.near(pixels[m : m + 1], words[m : m + 1])[0], together[m]) for m in range(3))

    def test_where_words_are_few_the_farthest_is_repeated(self):
        torch.manual_seed(0)
        mask = torch.tensor([[True, True, False, False, False]])
        pixels, words = torch.randn(1, 6, 2, 8), torch.randn(1, 5, 2, 8)
        near = self.near(pixels, words, count=4, mask=mask)
        assert near.max() == 1
        assert torch.equal(near[:, :, 1], near[:, :, 2]) and torch.equal(near[:, :, 2], near[:, :, 3])


def test_padding_words_do_not_reach_the_graph_if_they_are_masked():
    network = built(TINY.replace(cgip=CGIPConfig(cgi=CGIConfig(mask_padding_words=True))))
    torch.manual_seed(3)
    x, words, mask = torch.randn(1, 64, 4, 5), torch.randn(1, 8, 64), torch.arange(8)[None] < 4
    other = words.clone()
    other[:, 4:] = torch.randn(1, 4, 64)
    interact = network.cgip.interact
    assert torch.equal(interact(x, words, mask), interact(x, other, mask))


class TestLosses:
    def test_every_stage_is_supervised(self):
        network, data = built(), batch()
        words = network.encode_words(data.tokens, data.word_mask)
        outputs = network.decode(network.encode_image(data.image), words, data.word_mask, data.image_of_expression)
        assert [tuple(logits.shape) for logits in outputs] == [(2, 1, 64, 64)] * 5
        each = [
            F.cross_entropy(
                torch.cat([torch.zeros_like(logits), logits], 1), data.masks().long(), torch.tensor([0.9, 1.1])
            )
            for logits in outputs
        ]
        torch.testing.assert_close(network.loss(data)["loss"], torch.stack(each).mean())

    def test_the_finest_stage_is_the_answer(self):
        network, data = built(), batch()
        words, features = network.encode_words(data.tokens, data.word_mask), network.encode_image(data.image)
        finest = network.decode(features, words, data.word_mask, data.image_of_expression)[0]
        with torch.no_grad():
            answer = network(data.image, data.tokens, data.word_mask)
        torch.testing.assert_close(answer.exists, finest.flatten(1).amax(1), rtol=1e-4, atol=1e-4)

    def test_weights_of_masks_and_boxes(self):
        data = batch()
        mask, box, both = (
            built(TINY.replace(loss=LossConfig(mask=m, box=b))).loss(data) for m, b in ((1, 0), (0, 1), (2, 3))
        )
        assert mask.keys() == {"loss", "mask"} and box.keys() == {"loss", "box"}
        torch.testing.assert_close(both["loss"], 2 * mask["loss"] + 3 * box["loss"])

    def test_pretraining_learns_from_boxes_alone_whatever_comes_afterwards(self):
        data = batch()
        boxes = built(TINY.replace(loss=LossConfig(mask=0, box=1))).loss(data)
        torch.testing.assert_close(built().box_only_loss(data), boxes)


class TestBoxLoss:
    masks = torch.zeros(2, 12, 16)
    masks[0, 3:7, 5:11] = 1

    def test_a_perfect_hard_mask_costs_nothing(self):
        assert box_loss(200 * self.masks[:, None] - 100, self.masks.bool()).item() == 0

    def test_the_box_of_a_hard_mask_is_exact(self):
        assert soft_box(self.masks).tolist() == [[5, 3, 11, 7], [16, 12, 0, 0]]

    def test_a_box_of_half_the_area_costs_a_half(self):
        found = self.masks.clone()
        found[0, :, 8:] = 0
        assert box_loss(200 * found[:, None] - 100, self.masks.bool()).item() == pytest.approx(0.5)

    def test_following_the_gradient_finds_the_box(self):
        logits = torch.zeros(2, 1, 12, 16, requires_grad=True)
        optimiser = torch.optim.Adam([logits], lr=0.3)
        losses = []
        for _ in range(150):
            loss = box_loss(logits, self.masks.bool())
            losses.append(loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert losses[0] > 0.5 > 0.2 > losses[-1]

    def test_without_any_true_box_it_is_nothing(self):
        logits = torch.randn(2, 1, 12, 16, requires_grad=True)
        loss = box_loss(logits, torch.zeros(2, 12, 16, dtype=torch.bool))
        loss.backward()
        assert loss.item() == 0 and not logits.grad.any()


def test_views_have_the_shapes_that_they_promise():
    network = built()
    seen = {}
    views = network.views()
    for view in views:
        view.module.register_forward_hook(lambda _, __, out, view=view: seen.__setitem__(view.name, view.read(out)))
    with torch.no_grad():
        network(*asked())
    assert {view.kind for view in views} == {"words", "map"}
    assert all(seen[view.name].shape == (2, 8) for view in views if view.kind == "words")
    assert all(seen[view.name].ndim == 3 for view in views if view.kind == "map")
    assert list(seen) == [view.name for view in views]
    fig_10 = {view.source.removesuffix(", Fig. 10") for view in views if view.source.endswith("Fig. 10")}
    assert fig_10 == {"Fig. 10"} | {
        f"{f}{stage}" for f in ("f_v^", "f_v,e^", "f^dc,", "f^cmae,") for stage in range(3, 7)
    }
    assert [view.name for view in views if view.source == "Fig. 6"] == [
        f"pixels, stage {stage}" for stage in range(6, 2, -1)
    ]


@pytest.mark.parametrize("size", [(50, 70), (200, 170)])
def test_strips_equal_whole_maps_at_any_size(size, monkeypatch):
    network = built(TINY.replace(stem=True))
    with torch.no_grad():
        strips = network(*asked(*size)).logits
        monkeypatch.setattr(fast, "is_faster", lambda x: False)
        whole = network(*asked(*size)).logits
    torch.testing.assert_close(strips, whole, rtol=1e-4, atol=1e-5 * whole.abs().max().item())


MILLIONS = {  # image encoder, TGMM, ASPP, CGIP, decoder, heads, all
    "cmirnet_resnet50": (23.508, 33.586, 33.567, 13.848, 73.728, 0.055, 178.291),
    "cmirnet_resnet101": (42.500, 33.586, 33.567, 13.848, 73.728, 0.055, 197.284),
    "cmirnet_swin_base": (None, 18.504, 8.395, 9.129, 68.517, 0.046, 191.472),
    "cmirnet_swin_large": (None, None, None, 11.488, 69.271, 0.046, 329.132),
}


def imagined(name, config=None):
    with torch.device("meta"):
        return networks.build(name, {"word_encoder": BertConfig(layers=0), **(config or {})}, 2)


def parameters(*modules):
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


@pytest.mark.parametrize("name", MILLIONS)
def test_parts_have_as_many_parameters_as_the_authors(name):
    network = imagined(name)
    parts = network.image_encoder, network.tgmm, network.aspp, network.cgip, network.decoder, network.heads
    unused_norms = 2 * sum(network.image_encoder.channels) / 1e6 if "swin" in name else 0
    counts = [*map(parameters, parts), parameters(*parts) + unused_norms]
    for counted, published in zip(counts, MILLIONS[name], strict=True):
        assert published is None or round(counted, 3) == published


def test_components_have_as_many_parameters_as_in_table_ix():
    network = imagined("cmirnet_swin_base")
    counts = {name: parameters(*modules) for name, modules in network.components().items()}
    tables_of_positions = sum(
        p.numel() for key, p in network.named_parameters() if key.endswith("relative_position_bias_table")
    )
    assert tables_of_positions == 198_904
    counts["baseline"] -= tables_of_positions / 1e6
    published = {"TGMM": 18.504, "CGIP": 9.129, "CMAE": 31.603, "baseline": 132.033}
    assert {name: round(count, 3) for name, count in counts.items()} == published
    assert round(sum(counts.values()), 3) == 191.269


def test_components_share_nothing_and_leave_nothing_out():
    network = built()
    found = [id(p) for modules in network.components().values() for module in modules for p in module.parameters()]
    own = {id(p) for key, p in network.named_parameters() if not key.startswith("word_encoder.")}
    assert len(found) == len(set(found)) and set(found) == own


def test_the_small_preset_is_small():
    network = networks.build("cmirnet_small", {}, 100)
    others = [module for name, module in network.named_children() if name not in ("image_encoder", "word_encoder")]
    assert parameters(*others) < 2.4


@pytest.mark.parametrize("name, published", [("cmirnet_resnet50", 491.0), ("cmirnet_resnet101", 508.0)])
def test_multiplications_are_those_of_the_authors(name, published):
    network = imagined(name).eval()
    words, mask = torch.empty(1, 20, 768, device="meta"), torch.empty(1, 20, dtype=torch.bool, device="meta")
    with FlopCounterMode(display=False) as counter:
        features = network.encode_image(torch.empty(1, 3, 480, 480, device="meta"))
        network.decode(features, words, mask, torch.zeros(1, dtype=torch.long, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(published, rel=0.01)


def test_presets_are_told_apart_by_their_encoders():
    assert len({str(config.image_encoder) for config in PRESETS.values()}) == len(PRESETS)
