import math

import pytest
import torch
from tests.networks.tables import row_of, rows_of

from refseg.batch import Batch, Objects
from refseg.encoders.configs import LstmConfig
from refseg.errors import InvalidInput
from refseg.inspection.flops import complexity
from refseg.networks import build
from refseg.networks.cmpc import CMPCConfig, EncodedExpression, l2_normalize
from refseg.networks.cmpc_video import PRESETS, TYPES, ActionReasoning, CMPCVideo, CMPCVideoConfig, compare

VOCABULARY_SIZE = 20
SIZES = dict(
    image_encoder={"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
    freeze_image_encoder=False,
    word_encoder=LstmConfig(vector=6, width=12),
    max_words=8,
    parser_hidden=10,
    width=16,
    heads=2,
    fused=12,
    grid_hw=(4, 4),
    l2=0,  # it would give each weight a gradient
)
TINY = CMPCVideoConfig(**SIZES, exchange_rounds=2)
ROWS = {name: config.replace(**SIZES) for name, config in rows_of("cmpc_table6", "cmpc_table7").items()}
SWITCHES = {
    "as it is": {},
    "visual skip": {"skip": "visual"},
    "visual skip without relations": {"skip": "visual", "graph_layers": 0},
    "entities alone join": {"output_sentence": "entities"},
    "all words": {"sentence": "all_words"},
    "two frames": {"frames": 2},
    "actions alone": {"entity_perception": False, "graph_layers": 0},
    "two graph layers": {"graph_layers": 2},
    "as released": {"skip": "visual", "resize": "corner", "reduction": "sum", "l2": 5e-4},
}
SHIFTS = ".act.pixel.bias", ".act.graph.key.bias", ".act.context.bias"  # their gradient is 0, but for rounding
I3D = {"image_encoder": "i3d", "frames": 8, "freeze_image_encoder": True}


def tiny(config=TINY):
    """A small network away from its first weights."""
    torch.manual_seed(0)
    network = CMPCVideo(config, VOCABULARY_SIZE)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not (name.startswith("image_encoder.") and config.freeze_image_encoder):
                parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


def asked(count=3, height=32, width=32, words=5, frames=5):
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn(count, frames, 3, height, width, generator=generator)
    tokens = torch.randint(2, VOCABULARY_SIZE, (count, words), generator=generator)
    word_mask = torch.arange(words) < torch.arange(words, words - count, -1)[:, None]
    return clips, tokens * word_mask, word_mask


def batch(frames=5):
    clips, tokens, word_mask = asked(2, frames=frames)
    id_map = torch.zeros(2, 32, 32, dtype=torch.long)
    id_map[:, 10:20, 5:15] = 1
    nothing = torch.zeros(2, 1, 2)
    objects = Objects(id_map, nothing, nothing[..., 0], nothing.long(), torch.ones(2, 1, dtype=torch.bool))
    return Batch(clips, tokens, word_mask, torch.arange(2), torch.ones(2, 1, dtype=torch.bool), objects)


def silent(network, data):
    network.train().loss(data)["loss"].backward()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    return {name for name, p in trained.items() if p.grad is None or not p.grad.any() and not name.endswith(SHIFTS)}


def count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def meta(name, **changes):
    with torch.device("meta"):
        return CMPCVideo(PRESETS[name].replace(**changes), 12112)


class TestSize:
    @pytest.mark.parametrize(("preset", "giga"), [("cmpc_video", 531.2), ("cmpc_video_i3d", 128.3)])
    def test_what_a_clip_of_320_pixels_costs(self, preset, giga):
        assert complexity(preset, (320, 320), 12112).multiply_adds / 1e9 == pytest.approx(giga, abs=0.1)

    def test_the_parts_of_videos_have_the_parameters_of_the_release(self):
        network = meta("cmpc_video_release")
        levels = network.levels.values()
        assert count(network.parser) == 503_005
        assert count(*(level.act for level in levels)) == 21_033_000
        assert count(*(level.join for level in levels)) == 6_013_500

    @pytest.mark.parametrize(
        ("preset", "changes", "trained"),
        [
            ("cmpc_video_release", {}, 98_589_109),
            ("cmpc_video", {}, 106_099_609),
            ("cmpc_video", {"temporal_graph": "words"}, 106_099_609),
            ("cmpc_video_i3d", {}, 106_099_609 - 1_248_000),  # laterals of fewer channels
        ],
    )
    def test_what_is_trained(self, preset, changes, trained):
        assert sum(p.numel() for p in meta(preset, **changes).parameters() if p.requires_grad) == trained

    def test_the_small_preset_is_small(self):
        network = meta("cmpc_video_small")
        assert count(network) - count(network.image_encoder, network.word_encoder) < 1_700_000


class TestAction:
    """Against the equations written out."""

    @pytest.fixture(params=["direct", "words"])
    def parts(self, request):
        torch.manual_seed(0)
        act = ActionReasoning(16, 12, request.param)
        for parameter in act.parameters():
            torch.nn.init.normal_(parameter)
        words, word_mask = l2_normalize(torch.randn(3, 5, 12)), asked()[2]
        types = dict(zip(TYPES, (torch.rand(3, 5, 5).softmax(-1) * word_mask[..., None]).unbind(-1), strict=True))
        expression = EncodedExpression(words, word_mask, types, words[:, 0], words[:, 0], words[:, 0])
        return act, expression, l2_normalize(torch.randn(3, 4, 6, 7, 16))

    @torch.no_grad()
    def test_frames_are_gathered_where_the_action_is(self, parts):
        act, expression, named = parts
        action = act.action(l2_normalize((expression.types["action"].unsqueeze(-1) * expression.words).sum(1)))
        pixels = named.flatten(2, 3)
        shares = torch.einsum("mknc,mc->mkn", act.pixel(pixels), action).div(4).softmax(-1)
        wanted = torch.einsum("mkn,mknc->mkc", shares, pixels)
        torch.testing.assert_close(act.gather(pixels, expression, (6, 7)), wanted)

    @torch.no_grad()
    def test_pixels_attend_to_the_frames_after_the_graph(self, parts):
        act, expression, named = parts
        vertices = act.graph(act.gather(named.flatten(2, 3), expression, (6, 7)), expression)
        middle = named[:, 2]
        scores = act.place(middle.flatten(1, 2)) @ act.context(vertices).mT / 4
        wanted = l2_normalize(scores.softmax(-1) @ vertices).view(3, 6, 7, 16)
        torch.testing.assert_close(act(named, middle, expression), wanted)

    @torch.no_grad()
    def test_the_graph_through_words_has_the_paper_s_adjacency(self):
        torch.manual_seed(0)
        graph = ActionReasoning(16, 12, "words").graph
        words, word_mask = l2_normalize(torch.randn(3, 5, 12)), asked()[2]
        action = torch.rand(3, 5) * word_mask
        expression = EncodedExpression(words, word_mask, {"action": action}, words[:, 0], words[:, 0], words[:, 0])
        frames = torch.randn(3, 4, 16)
        scores = graph.vertex(frames) @ graph.word(words).mT / 4 * action[:, None]
        to_words = scores.masked_fill(~word_mask[:, None], -torch.inf).softmax(-1)
        adjacency = to_words @ scores.softmax(1).mT
        wanted = l2_normalize(graph.layers[0](frames, adjacency @ frames))
        torch.testing.assert_close(graph(frames, expression), wanted)

    @torch.no_grad()
    def test_a_comparison_without_projecting_the_many_is_the_same(self):
        layer, many, few = torch.nn.Linear(4, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 1, 5, 4)
        torch.testing.assert_close(compare(many, layer, few), layer(many) @ few.mT)


class TestClips:
    @torch.no_grad()
    @pytest.mark.parametrize("size_hw", [(32, 32), (16, 48), (40, 24)])
    def test_a_batch_equals_its_members_at_any_size(self, size_hw):
        network, inputs = tiny(), asked(3, *size_hw)
        together = network(*inputs).logits
        assert together.shape == (3, 1, *size_hw)
        alone = torch.cat([network(*(each[i : i + 1] for each in inputs)).logits for i in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)

    @torch.no_grad()
    def test_over_frames_that_are_encoded_one_by_one_their_order_is_not_known(self):
        network, (clips, *words) = tiny(), asked()
        torch.testing.assert_close(network(clips.flip(1), *words).logits, network(clips, *words).logits)

    @torch.no_grad()
    def test_padding_behind_is_as_padding_in_front(self):
        network, (clips, tokens, word_mask) = tiny(), asked()
        front = torch.stack([row.roll(-int(mask.sum())) for row, mask in zip(tokens, word_mask, strict=True)])
        mask = torch.stack([row.roll(-int(row.sum())) for row in word_mask])
        torch.testing.assert_close(network(clips, front, mask).logits, network(clips, tokens, word_mask).logits)

    @torch.no_grad()
    def test_what_needs_no_words_is_computed_once_for_a_clip(self):
        network, (clips, tokens, word_mask) = tiny(), asked()
        seen = []
        for level in network.levels.values():
            level.perceive.visual.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        words = network.encode_words(tokens, word_mask)
        output = network.fuse(network.encode_image(clips[:1]), words, word_mask, torch.zeros(3, dtype=torch.long))
        assert seen == [5, 5, 5]
        torch.testing.assert_close(output.logits, network(clips[[0, 0, 0]], tokens, word_mask).logits)

    @torch.no_grad()
    def test_the_middle_frame_is_answered_and_the_others_matter(self):
        network, (clips, tokens, word_mask) = tiny(), asked(1)
        assert (network.frames, network.annotated) == (5, 2) and network.image_shape((32, 32)) == clips.shape[1:]
        logits = network(clips, tokens, word_mask).logits
        for frame in range(5):
            other = clips.clone()
            other[:, frame] = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
            changed = (network(other, tokens, word_mask).logits - logits).abs().max()
            assert changed > 1e-4, frame

    @torch.no_grad()
    def test_without_a_temporal_graph_only_the_middle_frame_is_read(self):
        network, (clips, tokens, word_mask) = tiny(TINY.replace(temporal_graph="none")), asked(1)
        seen = []
        network.image_encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        others = torch.randn_like(clips)
        others[:, 2] = clips[:, 2]
        torch.testing.assert_close(network(others, tokens, word_mask).logits, network(clips, tokens, word_mask).logits)
        assert seen == [1, 1]

    @torch.no_grad()
    @pytest.mark.parametrize("frames", [1, 2, 7])
    def test_clips_of_other_lengths_are_answered_too(self, frames):
        network = tiny()
        assert network(*asked(frames=frames)).logits.isfinite().all()

    def test_what_is_no_clip_is_refused(self):
        network, (clips, *_) = tiny(), asked(1)
        with pytest.raises(InvalidInput, match="takes clips of 5 frames, not single images"):
            network.encode_image(clips[:, 0])
        with pytest.raises(InvalidInput, match="a clip of 0 frames"):
            network.encode_image(clips[:, :0])


class TestSwitches:
    @pytest.mark.parametrize("row", [*ROWS, *SWITCHES])
    def test_every_parameter_gets_a_gradient(self, row):
        network = tiny(ROWS[row] if row in ROWS else TINY.replace(**SWITCHES[row]))
        assert silent(network, batch()) == set()

    def test_what_shifts_all_scores_of_a_softmax_has_no_effect(self):
        network, data = tiny(), batch()
        loss = network.loss(data)["loss"].detach()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith(SHIFTS):
                    parameter += 1
        torch.testing.assert_close(network.loss(data)["loss"].detach(), loss)

    @pytest.mark.parametrize("row", sorted(SWITCHES.keys() - {"as it is", "two frames"}))
    def test_it_changes_the_loss(self, row):
        network, other = tiny(), tiny(TINY.replace(**SWITCHES[row]))
        own = other.state_dict()
        same = {key: v for key, v in network.state_dict().items() if key in own and v.shape == own[key].shape}
        other.load_state_dict(same, strict=False)
        losses = [each.loss(batch())["loss"] for each in (network, other)]
        assert not torch.equal(*losses)

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"frames": 1}, "greater than or equal to 2"),
            ({"skip": "visual", "graph_layers": 0, "temporal_graph": "none"}, "skip='multimodal'"),
            ({"temporal_graph": "both"}, "temporal_graph"),
        ],
    )
    def test_what_cannot_be_is_refused(self, setting, message):
        with pytest.raises(ValueError, match=message):
            TINY.replace(**setting)

    def test_tables_are_those_of_the_paper(self):
        config = CMPCVideoConfig()
        full = row_of("cmpc_table6", 5)
        assert full.replace(image_encoder=config.image_encoder) == config == PRESETS["cmpc_video"]
        assert full == row_of("cmpc_table7", 2) and not row_of("cmpc_table6", 2).parses
        assert config.skip == "multimodal" and PRESETS["cmpc_video_release"].skip == "visual"


class TestI3D:
    def test_every_parameter_gets_a_gradient_but_those_that_choose_among_one_step(self):
        network = tiny(TINY.replace(**I3D))
        one_step = {"graph.query", "graph.key", "place", "context"}
        wanted = {f"levels.c5.act.{layer}.{leaf}" for layer in one_step for leaf in ("weight", "bias")}
        assert silent(network, batch(8)) == {name for name in wanted if not name.endswith(SHIFTS)}

    @torch.no_grad()
    def test_levels_have_the_steps_of_their_maps_and_one_grid(self):
        network, inputs = tiny(TINY.replace(**I3D)), asked(1, 64, 96, frames=16)
        features = network.encode_image(inputs[0])
        shapes = [tuple(level.projected.shape[1:4]) for level in features.levels.values()]
        assert shapes == [(8, 8, 12), (4, 8, 12), (2, 8, 12)]
        assert network(*inputs).logits.shape == (1, 1, 64, 96)

    def test_frames_that_make_no_whole_step_are_refused(self):
        with pytest.raises(InvalidInput, match="a clip of 5 frames; this image encoder takes 8, or a multiple"):
            CMPCVideo(TINY.replace(**I3D | {"frames": 5}), VOCABULARY_SIZE)
        network = tiny(TINY.replace(**I3D))
        with pytest.raises(InvalidInput, match="a clip of 12 frames"):
            network.encode_image(asked(1, frames=12)[0])

    def test_networks_for_images_refuse_it_by_name(self):
        with pytest.raises(InvalidInput, match="unknown encoder 'i3d'; choose one of: swin_tiny"):
            build("cmpc", {"image_encoder": "i3d"}, 10)
        with pytest.raises(ValueError, match="image_encoder"):
            CMPCConfig(image_encoder={"kind": "i3d"})


@torch.no_grad()
def test_views_show_where_and_when_the_action_is():
    network, inputs = tiny(), asked(1)
    views = network.views()
    assert [view.name for view in views][:5] == [f"words: {name}" for name in TYPES]
    assert len(views) == 5 + 3 * 3 + 3 * (5 + 1)
    seen = {}
    for view in views:
        view.module.register_forward_hook(lambda m, _, out: seen.update({id(m): out}))
    network(*inputs)
    values = {view.name: view.read(seen[id(view.module)]) for view in views}
    for frame in range(5):
        view = next(view for view in views if view.name == f"c4: action in frame {frame}")
        assert view.frame == frame and values[view.name].shape == (1, 4, 4)
        assert math.isclose(values[view.name].sum().item(), 1, rel_tol=1e-5)
    torch.testing.assert_close(values["c4: frames"].sum(), torch.ones(()))
    assert values["c4: frames"].shape == (5,)
    none = tiny(TINY.replace(temporal_graph="none"))
    assert len(none.views()) == 5 + 3 * 3


def test_steps_of_i3d_are_shown_over_their_first_frame():
    with torch.device("meta"):
        views = CMPCVideo(TINY.replace(**I3D), 20).views()
    frames = {name: [view.frame for view in views if view.name.startswith(f"{name}: action")] for name in ("c3", "c5")}
    assert frames == {"c3": [0, 2, 4, 6], "c5": [0]}
