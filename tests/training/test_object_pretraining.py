"""An image encoder is taught what objects are and do, without words."""

from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from safetensors.torch import load_file

from refseg.batch import Objects
from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.errors import InvalidInput
from refseg.networks import build
from refseg.recipes import find_recipe
from refseg.text.vocabulary import Vocabulary
from refseg.training.data.sources import source_of
from refseg.training.devices import Devices
from refseg.training.initial_weights import initialise
from refseg.training.loop import StageLoop
from refseg.training.object_pretraining import ObjectHeads
from refseg.training.parameter_groups import Length
from refseg.training.run import train


def scene():
    """Two images of 8 x 8: a square of class 1 and 0, and nothing."""
    id_map = torch.zeros(2, 8, 8, dtype=torch.long)
    id_map[0, :4, :4] = 2
    attributes = torch.tensor([[[0, 2], [1, 0]], [[0, 0], [0, 0]]])
    nothing = torch.zeros(2, 2)
    return Objects(id_map, nothing[..., None], nothing, attributes, torch.ones(2, 2, dtype=torch.bool))


def test_what_is_known_costs_nothing_and_is_right():
    seen = ObjectHeads([6], {"shape": 2, "motion": 3})
    torch.nn.init.eye_(seen.heads[0].weight.data[:, :, 0, 0])
    torch.nn.init.zeros_(seen.heads[0].bias)
    x = torch.full((2, 6, 2, 2), -50.0)
    x[0, :, 0, 0] = torch.tensor([50.0, 0, 50, 50, 0, 0])
    losses = seen.of_maps([x], scene())
    assert losses["loss"] < 1e-6 and losses["shape"] == losses["motion"] == 1
    x[0, 1, 0, 0] = 100
    assert seen.of_maps([x], scene())["shape"] == 0 and seen.of_maps([x], scene())["motion"] == 1


def test_a_grid_that_misses_all_objects_is_no_fault():
    objects = scene()
    objects.id_map.zero_()
    heads = ObjectHeads([4, 4], {"shape": 2, "motion": 3})
    losses = heads.of_maps([torch.randn(2, 4, 4, 4), torch.randn(2, 4, 1, 1)], objects)
    assert torch.isfinite(losses["loss"]) and losses["shape"] == 0


def drawn(*settings):
    return find_recipe("cmpc_video_small").with_settings(
        ["data.settings.count=8", "data.validation_images=4", "data.workers=0", *settings]
    )


@pytest.fixture(scope="module")
def batch():
    recipe = drawn("initial={}")
    (stage, _), source = recipe.stages, source_of(recipe.data, erases=False)
    return source.batches(stage.replace(images=2), Vocabulary(["star"]), (0, 0), 0, 1)[0]


def test_what_it_sees_of_clips_is_told_in_the_frame_that_is_answered(batch):
    assert batch.image.shape[:2] == (2, 3) and len(batch.tokens) == 0  # nothing is said
    network = build("cmpc_video_small", {}, vocabulary_size=3)
    encoder = network.image_encoder
    seen = ObjectHeads(encoder.channels, DrawnClips.object_classes)
    seen.loss(network, batch)["loss"].backward()
    assert all(parameter.grad is not None for parameter in [*seen.parameters(), *encoder.parameters()])
    middle = [x[:, 1] for x in encoder.encode_clips(batch.image)]
    torch.testing.assert_close(seen.loss(network, batch), seen.of_maps(middle[1:], batch.objects))


def test_an_encoder_that_sees_frames_one_by_one_looks_at_the_answered_one_alone(batch):
    network = build("cmpc_video_small", {"image_encoder": "small"}, vocabulary_size=3).eval()
    seen = ObjectHeads(network.image_encoder.channels, DrawnClips.object_classes)
    maps = [x[:, 1] for x in network.image_encoder.encode_clips(batch.image)]
    torch.testing.assert_close(seen.loss(network, batch), seen.of_maps(maps[1:], batch.objects))


def test_a_stage_that_sees_teaches_the_image_encoder_alone_and_leaves_no_heads():
    network = build("cmpc_video_small", {}, vocabulary_size=3)
    (stage, _) = drawn().stages
    seen = ObjectHeads(network.image_encoder.channels, DrawnClips.object_classes)
    loop = StageLoop(Fabric(accelerator="cpu"), network, stage, Length(2, 1), Path(), heads=seen)
    learning = {id(each) for group in loop.optimizer.param_groups for each in group["params"]}
    assert learning == {id(each) for each in [*network.image_encoder.parameters(), *seen.parameters()]}
    assert not any("seen" in name for name in network.state_dict())


def test_what_was_taught_once_is_where_another_network_starts(tiny_of_clips, tmp_path):
    see, _ = tiny_of_clips.stages
    taught = tiny_of_clips.replace(stages=(see,), releases="image_encoder")
    train(taught, tmp_path / "run", resume=False, devices=Devices(accelerator="cpu"))
    other = build("cmpc_video_small", tiny_of_clips.config, vocabulary_size=3)
    initialise(other, {"image_encoder": str(tmp_path / "run" / "image_encoder.safetensors")})
    learnt = load_file(tmp_path / "run" / "state" / "see")
    for name, value in other.image_encoder_weights().items():
        torch.testing.assert_close(value, learnt[f"image_encoder.{name}"], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["data.dataset=a2d_sentences"],
            "a2d_sentences does not tell what objects are; .* or drawn_clips",
        ),
        (["stages.see.groups={fusion: {lr: 1}}"], "stage see teaches the image encoder .* so not fusion"),
    ],
)
def test_data_that_say_nothing_of_objects_and_other_parts_are_refused(settings, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        train(drawn(*settings), tmp_path / "run", resume=False, devices=Devices(accelerator="cpu"))
    assert not (tmp_path / "run").exists()
