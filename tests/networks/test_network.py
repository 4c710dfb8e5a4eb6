"""What every network of the table must do; a new network adds its tiny config here."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from refseg.batch import Batch, Objects
from refseg.datasets.drawn_scenes.programs import STEPS
from refseg.errors import InvalidInput
from refseg.networks import NETWORKS, build

VOCABULARY_SIZE = 20
TINY = {
    "selector": {
        "stages": (8, 8, 12, 16),
        "coarse": 16,
        "fine": 8,
        "kernel": 4,
        "candidates": 64,
        "duplicate_distance": 14.0,
        "attributes": (3, 2),
        "width": 16,
        "heads": 2,
        "blocks": 2,
        "pair_width": 8,
        "pair_value": 4,
        "max_words": 8,
    },
    "dmmi": {
        "image_encoder": {"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
        "word_encoder": {"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 16},
        "max_words": 8,
        "hidden": 16,
        "heads": 2,
        "feed_forward": 32,
        "dropout": 0.0,
    },
    "cmirnet": {
        "image_encoder": {"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
        "word_encoder": {"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 16},
        "max_words": 8,
        "width": 64,  # with 16 times fewer inside of CM-CA, none of which may be silent
    },
    "eavl": {
        "image_encoder": {"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
        "word_encoder": {"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 16},
        "aligner": {"queries": 6, "width": 16, "heads": 2, "image_size": 64},
        "decoder_layers": 1,
        "feed_forward": 32,
        "dropout": 0.0,
    },
    "vlt": {
        "image_encoder": {"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
        "freeze_image_encoder": False,
        "word_encoder": {"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 16},
        "max_words": 8,
        "image_size": 64,
        "channels": 16,
        "queries": 3,
        "width": 16,
        "heads": 2,
        "dropout": 0.0,
        "output_stride": 4,
    },
}
TINY["selector_video"] = TINY["selector"] | {
    "frames": 3,
    "crop": 8,
    "appearance": 4,
    "motions": 2,
    "motion_weight": 0.1,
}
TINY["lavt"] = {key: TINY["dmmi"][key] for key in ("image_encoder", "word_encoder", "max_words")} | {
    "heads": (1, 2, 1, 4),
    "hidden": 16,
}
TINY["cris"] = {key: TINY["dmmi"][key] for key in ("image_encoder", "word_encoder", "max_words")} | {
    "widths": (8, 8, 16),
    "width": 16,
    "heads": 2,
    "feed_forward": 32,
    "dropout": 0.0,
}
TINY["dcmfnet"] = {key: TINY["dmmi"][key] for key in ("image_encoder", "word_encoder", "max_words")} | {
    "width": 16,
    "detail_width": 8,
    "layers": 2,
    "heads": 2,
    "dropouts": (0, 0, 0),
}
TINY["cmpc"] = {key: TINY["dmmi"][key] for key in ("image_encoder", "word_encoder", "max_words")} | {
    "freeze_image_encoder": False,
    "parser_hidden": 16,
    "width": 16,
    "heads": 2,
    "fused": 16,
    "exchange_rounds": 2,
    "grid_hw": (8, 8),
}
TINY["cmpc with lstm"] = TINY["cmpc"] | {
    "word_encoder": {"kind": "lstm", "vector": 8, "width": 16},
    "graph_layers": 2,
    "skip": "visual",
    "resize": "corner",
    "peephole": "channel",
}
TINY["cmpc_video"] = TINY["cmpc"] | {"frames": 3}
SHIFTS = ".act.pixel.bias", ".act.graph.key.bias", ".act.context.bias"  # of all scores of a softmax: of no effect
AS_IT_IS = {"selector_video": ("finder.", "finder_criterion.")}  # what a network's loss does not teach
ALIGNER = {"queries": 6, "width": 16, "heads": 2, "image_size": 64}
TINY["lavt with aligner"] = TINY["lavt"] | {"aligner": ALIGNER}
TINY["cris with aligner"] = TINY["cris"] | {"aligner": ALIGNER}
TINY["vlt with aligner"] = TINY["vlt"] | {"aligner": {"queries": 3, "width": 16, "heads": 2}}


def tiny(name):
    """A small network away from its first weights, where some layers are silent and nothing is found."""
    torch.manual_seed(0)
    network = build(name.split()[0], TINY[name], VOCABULARY_SIZE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    if name.startswith("selector"):
        torch.nn.init.zeros_(network.finder.centre.bias)
    return network.eval()


def asked(name, count=3, height=64, width=96, words=5):
    """Images, or clips for a network that takes those, and an expression for each."""
    generator = torch.Generator().manual_seed(1)
    clip = [TINY[name]["frames"]] if "frames" in TINY[name] else []
    image = torch.randn(count, *clip, 3, height, width, generator=generator)
    tokens = torch.randint(2, VOCABULARY_SIZE, (count, words), generator=generator)
    lengths = torch.randint(1, words + 1, (count, 1), generator=generator)
    lengths[0] = words
    word_mask = torch.arange(words) < lengths
    return image, tokens * word_mask, word_mask


def batch(name, images=2, per_image=3, objects=2):
    """Discs on noise, with expressions that mean some of them."""
    image, *_ = asked(name, images, 64, 64)
    _, tokens, word_mask = asked(name, images * per_image)
    generator = torch.Generator().manual_seed(2)
    centres = torch.tensor([[18.0, 20.0], [44.0, 41.0]])[:objects].expand(images, -1, -1)
    radii = torch.full((images, objects), 9.0)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    id_map = torch.zeros(images, 64, 64, dtype=torch.long)
    for k in range(objects):
        id_map[:, (columns - centres[0, k, 0]) ** 2 + (rows - centres[0, k, 1]) ** 2 < 81] = k + 1
    attributes = torch.stack([torch.randint(c, (images, objects), generator=generator) for c in (3, 2)], dim=-1)
    present = torch.ones(images, objects, dtype=torch.bool)
    targets = torch.rand(images * per_image, objects, generator=generator) < 0.5
    return Batch(
        image=image,
        tokens=tokens,
        word_mask=word_mask,
        image_of_expression=torch.arange(images).repeat_interleave(per_image),
        targets=targets,
        objects=Objects(id_map, centres, radii, attributes, present),
        erased=tokens * (torch.arange(tokens.shape[1]) != 1),
        steps=torch.rand(images * per_image, len(STEPS), objects, generator=generator) < 0.5,
    )


@pytest.mark.parametrize("name", TINY)
class TestAnswers:
    @pytest.fixture(autouse=True)
    def _without_gradients(self):
        with torch.no_grad():
            yield

    def test_each_expression_gets_a_mask_at_the_size_of_the_image(self, name):
        output = tiny(name)(*asked(name))
        assert output.logits.shape in ((3, 1, 64, 96), (3, 1, 16, 24))  # or a quarter of its sides
        assert output.logits.isfinite().all()

    def test_what_it_attends_to_has_the_shape_that_its_kind_says(self, name):
        network, (image, tokens, word_mask) = tiny(name), asked(name, 1)
        seen = {}
        for view in network.views():
            view.module.register_forward_hook(lambda m, _, out: seen.update({id(m): out}))
        network(image, tokens, word_mask)
        assert network.views()
        for view in network.views():
            values = view.read(seen[id(view.module)])
            shapes = {"words": values.ndim == 2 and len(values) == 1, "map": values.ndim == 3 and len(values) == 1}
            assert shapes.get(view.kind, values.shape == (len(view.labels),)), view.name

    def test_below_the_threshold_of_existence_the_mask_is_empty(self, name):
        network, inputs = tiny(name), asked(name)
        exists = network(*inputs).exists
        network.exists_threshold_logit = exists.median().item()
        output = network(*inputs)
        torch.testing.assert_close(output.exists, exists)
        assert not (output.logits[exists <= exists.median()] > 0).any()

    def test_padding_words_do_not_change_the_mask(self, name):
        network, (image, tokens, word_mask) = tiny(name), asked(name)
        longer = F.pad(tokens, (0, 3), value=7), F.pad(word_mask, (0, 3), value=False)
        same(network(image, *longer).logits, network(image, tokens, word_mask).logits)

    def test_a_batch_equals_its_members(self, name):
        network, inputs = tiny(name), asked(name)
        together = network(*inputs).logits
        for i, alone in enumerate(together):
            same(network(*(each[i : i + 1] for each in inputs)).logits[0], alone)

    def test_many_expressions_on_an_image_equal_one_at_a_time(self, name):
        network, (image, tokens, word_mask) = tiny(name), asked(name)
        words = network.encode_words(tokens, word_mask)
        output = network.fuse(network.encode_image(image[:1]), words, word_mask, torch.zeros(3, dtype=torch.long))
        same(output.logits, network(image[[0, 0, 0]], tokens, word_mask).logits)

    def test_words_and_image_change_the_answer(self, name):
        network, (image, tokens, word_mask) = tiny(name), asked(name)
        logits = network(image, tokens, word_mask).logits
        assert not torch.allclose(network(image, tokens.roll(1, 0), word_mask).logits, logits)
        assert not torch.allclose(network(image.roll(1, 0), tokens, word_mask).logits, logits)

    def test_saved_weights_give_the_same_answer(self, name, tmp_path):
        network, inputs = tiny(name), asked(name)
        save_file(network.state_dict(), tmp_path / "weights.safetensors")
        other = build(name.split()[0], network.config.model_dump(), VOCABULARY_SIZE)
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        torch.testing.assert_close(other.eval()(*inputs).logits, network(*inputs).logits, rtol=0, atol=0)

    def test_autocast_gives_finite_logits(self, name):
        with torch.autocast("cpu", torch.bfloat16):
            assert tiny(name)(*asked(name)).logits.isfinite().all()


class Logits(torch.nn.Module):
    """A network that gives a tensor, which is what a program can give."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, *inputs):
        return self.network(*inputs).logits


@pytest.mark.parametrize(
    "name",  # selector's own tests export it
    [
        "dcmfnet",
        *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(NETWORKS.keys() - {"selector", "dcmfnet"})),
    ],
)
@torch.no_grad()
def test_an_exported_program_gives_the_same_answer(name):
    network, inputs = Logits(tiny(name)), asked(name)
    program = torch.export.export(network, inputs)
    same(program.module()(*inputs), network(*inputs))


@pytest.mark.slow
@torch.no_grad()
def test_a_compiled_network_gives_the_same_answer():
    """In one graph, without writing machine code: not every machine has a compiler."""
    network, inputs = tiny("lavt"), asked("lavt")
    answer = torch.compile(network.forward, backend="aot_eager", fullgraph=True)
    same(answer(*inputs).logits, network(*inputs).logits)


@pytest.mark.parametrize("name", TINY)
class TestTraining:
    def test_every_parameter_gets_a_gradient(self, name):
        network = tiny(name)
        network.train().loss(batch(name))["loss"].backward()
        silent = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert [key for key in silent if not (key.endswith(SHIFTS) or key.startswith(AS_IT_IS.get(name, ())))] == []

    def test_no_parameter_is_a_scalar(self, name):  # FSDP does not shard them
        assert [key for key, parameter in tiny(name).named_parameters() if not parameter.dim()] == []

    def test_every_parameter_belongs_to_one_part(self, name):
        network = tiny(name)
        parts = [p for part in network.parts().values() for p in part]
        assert len(parts) == len({id(p) for p in parts}) == len(list(network.parameters()))

    def test_autocast_gives_nearly_the_same_loss(self, name):
        network, data = tiny(name), batch(name)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network.loss(data)["loss"]
        rough.backward()
        torch.testing.assert_close(rough, network.loss(data)["loss"], rtol=0.05, atol=0)

    def test_images_without_objects_have_a_finite_loss(self, name):
        network, data = tiny(name), batch(name)
        nothing = dataclasses.replace(
            data.objects, id_map=torch.zeros_like(data.objects.id_map), present=torch.zeros_like(data.objects.present)
        )
        no_slots = batch(name, objects=0)
        for empty in (dataclasses.replace(data, objects=nothing, targets=torch.zeros_like(data.targets)), no_slots):
            loss = network.loss(empty)["loss"]
            loss.backward()
            assert loss.isfinite()
            assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())

    def test_frozen_batch_norms_keep_their_statistics(self, name):
        network = tiny(name)
        network.freeze_batch_norm()
        before = {key: value.clone() for key, value in network.named_buffers()}
        network.train().loss(batch(name))
        assert all(torch.equal(before[key], value) for key, value in network.named_buffers())


def test_every_network_is_tested_here():
    assert {name.split()[0] for name in TINY} == set(NETWORKS)


def test_an_unknown_network_is_refused_with_the_names_there_are():
    with pytest.raises(InvalidInput, match="unknown network 'selektor'; did you mean selector. choose one of"):
        build("selektor", {}, VOCABULARY_SIZE)


def same(a, b):
    largest = b.abs().max().item()  # random weights can make it thousands, of which float32 keeps seven digits
    torch.testing.assert_close(a, b, rtol=1e-4, atol=max(1e-4, 1e-5 * largest))
