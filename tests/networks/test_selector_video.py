"""Selector for videos: objects are followed through a clip, and what changes about them tells what they do."""

from dataclasses import replace

import pytest
import torch

from refseg.batch import Batch, Objects
from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.errors import InvalidInput
from refseg.networks import build, network_class
from refseg.networks.selector.config import SelectorVideoConfig
from refseg.networks.selector.finder import FoundObjects
from refseg.networks.selector.motion import Appearance, FrameObjects, Motion, follow
from refseg.networks.selector.selector_video import SelectorVideo
from refseg.training.initial_weights import initialise

OFFSETS = (-2, -1, 0, 1, 2)


def network_of(**config):
    """With the bundled finder, so that there are objects to follow."""
    torch.manual_seed(0)
    network = build("selector_video", config, vocabulary_size=10)
    initialise(network, {"finder": "selector"})
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return network_of()


@pytest.fixture(scope="module")
def clips():
    """The first frames of two clips with different numbers of objects: (2, 5, 3, 128, 128)."""
    several = [clip for clip in DrawnClips("val", 8)]
    few, many = (choose(several, key=lambda clip: len(clip.motions)) for choose in (min, max))
    assert len(few.motions) < len(many.motions)
    frames = [[torch.from_numpy(clip.frame(clip.middle + t)) for t in OFFSETS] for clip in (few, many)]
    return (torch.stack([torch.stack(one) for one in frames]).movedim(-1, 2).float() - 118) / 60


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def objects_at(*circles, selectable=None):
    """Objects of one frame at these x, y and radii."""
    centres = torch.tensor([circles], dtype=torch.float32)
    valid = torch.tensor([selectable or [True] * len(circles)])
    nothing = torch.zeros(1, len(circles), 1)
    pairs, masks = torch.zeros(1, len(circles), len(circles), 1), torch.zeros(1, len(circles), 16, 16)
    cells, coarse = torch.zeros(1, len(circles), dtype=torch.long), torch.zeros(1, 1, 2, 2)
    return FoundObjects(nothing, valid, valid, pairs, masks, centres, nothing[..., 0], cells, coarse)


def frame(place, looks):
    """One object of a frame of 128 x 128 pixels, which looks like a number."""
    found = replace(objects_at(place), coarse=torch.zeros(1, 1, 16, 16))
    return FrameObjects(**vars(found), appearances=torch.full((1, 1, 1), looks))


@torch.inference_mode()
def test_frames_that_are_encoded_one_by_one_give_the_same_objects(network, clips):
    whole = network.encode_image(clips)
    frames = network.encode_frames(clips[0]), *[network.encode_frames(frame[None]) for frame in clips[1]]
    joined = network.join_frames([frames[0], [one for (one,) in frames[1:]]])
    slots, count = whole.valid, whole.valid.shape[1]
    assert torch.equal(joined.valid[:, :count], slots)
    for name in ("tokens", "selectable", "masks", "centres", "scores", "cells"):
        close(getattr(joined, name)[:, :count][slots], getattr(whole, name)[slots])
    both = slots[:, :, None] & slots[:, None]
    close(joined.pairs[:, :count, :count][both], whole.pairs[both])
    close(joined.coarse, whole.coarse)
    assert not joined.valid[:, count:].any() and joined.tokens.isfinite().all()


@torch.inference_mode()
def test_the_middle_frame_is_found_as_in_an_image_and_the_order_of_frames_counts(network, clips):
    found = network.encode_image(clips)
    still = network.finder(clips[:, 2])
    close(found.masks, still.masks)
    close(found.centres, still.centres)
    backwards = network.encode_image(clips.flip(1))
    close(backwards.masks, found.masks)
    assert not torch.allclose(backwards.tokens, found.tokens, atol=0.1)


def test_an_object_is_the_nearest_one_in_the_next_frame_and_lost_where_none_is_near():
    there = objects_at((12, 10, 5), (40, 40, 5), (52, 40, 5), selectable=[True, False, True])
    slot, seen = follow(torch.tensor([[[10.0, 10, 5], [41, 40, 5], [90, 90, 5]]]), there, limit=16)
    assert slot[0, :2].tolist() == [0, 2]  # what cannot be chosen is no object
    assert seen.tolist() == [[True, True, False]]


def test_what_changes_is_told_from_the_middle_frame_outwards():
    config = SelectorVideoConfig(appearance=1, motion_scale=2.0, growth_scale=0.1)
    places = [(10, 10, 8), (12, 11, 8.8), (14, 12, 8.8)]
    frames = [frame(place, k + 1.0) for k, place in enumerate(places)]
    read = torch.cat(Motion(config).changes(frames), dim=-1)[0, 0]
    grown = torch.tensor(1.1).log() / 0.1
    torch.testing.assert_close(read, torch.tensor([1, 0.5, grown, 1, 2, 2, 1, grown, 1, 3]))


def test_a_lost_object_stays_where_it_was_seen_last_and_looks_like_nothing():
    config = SelectorVideoConfig(appearance=1, motion_scale=1.0)
    frames = [frame(place, 1.0) for place in ((10, 10, 8), (13, 10, 8), (90, 90, 8))]
    read = torch.cat(Motion(config).changes(frames), dim=-1)[0, 0]
    assert read.tolist() == [3, 0, 0, 1, 1, 3, 0, 0, 0, 0]


@torch.inference_mode()
def test_an_object_looks_the_same_wherever_it_is_and_otherwise_when_it_is_turned():
    torch.manual_seed(0)
    looks = Appearance(SelectorVideoConfig())
    image = torch.zeros(1, 3, 96, 96)
    image[..., 20:30, 22:28] = torch.rand(3, 10, 6)
    there = looks(image, torch.tensor([[[24.5, 24.5, 10.0]]]))
    moved = looks(image.roll((40, 30), (-2, -1)), torch.tensor([[[54.5, 64.5, 10.0]]]))
    torch.testing.assert_close(moved, there)
    turned = looks(image.rot90(1, (-2, -1)), torch.tensor([[[24.5, 96 - 1 - 24.5, 10.0]]]))
    assert not torch.allclose(turned, there, atol=0.1)


def batch_of(clips):
    nothing = torch.zeros(2, 2)
    with torch.inference_mode():
        circles = network_of().finder(clips[:, 2]).centres[:, :2].clone()
    objects = Objects(
        id_map=torch.zeros(2, 128, 128, dtype=torch.long),
        centres=circles[..., :2],
        radii=circles[..., 2],
        attributes=torch.tensor([[[0, 0, 0, 0, 3], [0, 0, 0, 0, 5]]] * 2),
        present=nothing == 0,
    )
    tokens = torch.tensor([[2, 3, 4], [5, 6, 0], [7, 0, 0]])
    targets = torch.tensor([[True, False], [False, False], [True, True]])
    return Batch(clips, tokens, tokens > 0, torch.tensor([0, 0, 1]), targets, objects)


def test_motion_and_chooser_learn_and_the_finder_stays_as_it_is(clips):
    network, batch = network_of(), batch_of(clips)
    learning = network.parts()
    network.requires_grad_(False)
    for part in ("motion", "chooser"):
        for parameter in learning[part]:
            parameter.requires_grad_()
    losses = network.train().loss(batch)
    losses["loss"].backward()
    silent = [
        name for name, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert not [name for name in silent if not name.endswith((".kv.bias", ".q.bias"))], silent
    assert not network.finder.training and 0 <= losses["motions right"] <= 1
    without = network_of(motion_weight=0)
    without.load_state_dict(network.state_dict())
    without.eval(), network.eval()
    difference = network.loss(batch)["loss"] - without.loss(batch)["loss"]
    torch.testing.assert_close(difference.detach(), network.loss(batch)["motion"])


def test_the_finder_can_learn_from_the_middle_frames(clips):
    network, batch = network_of(), batch_of(clips)
    losses = network.find_loss(batch)
    image = Batch(clips[:, 2], batch.tokens, batch.word_mask, batch.image_of_expression, batch.targets, batch.objects)
    torch.testing.assert_close(losses["loss"], network_class("selector").find_loss(network, image)["loss"])


def test_objects_at_another_size_than_the_frames_are_refused(network, clips):
    batch = batch_of(clips)
    small = replace(batch, objects=replace(batch.objects, id_map=batch.objects.id_map[:, ::2, ::2]))
    with pytest.raises(InvalidInput, match=r"of 64 x 64 pixels, .* sees 128 x 128 .* data.preprocessing.side to 64"):
        network.loss(small)


@pytest.mark.parametrize(
    ("shape", "said"), [((1, 3, 32, 32), "single images"), ((1, 3, 3, 32, 32), "clips of 3")], ids=["image", "clip"]
)
def test_other_input_is_refused(network, shape, said):
    with pytest.raises(InvalidInput, match=f"takes clips of 5 frames, not {said}"):
        network.encode_image(torch.zeros(shape))


def test_a_clip_has_a_middle_frame_and_no_programs():
    with pytest.raises(InvalidInput, match="frames: the middle frame is answered, so take an odd number"):
        build("selector_video", {"frames": 4}, vocabulary_size=10)
    with pytest.raises(InvalidInput, match="program_weight: no data set of clips .* leave it 0"):
        build("selector_video", {"program_weight": 1}, vocabulary_size=10)
    assert isinstance(build("selector_video", {"frames": 3}, vocabulary_size=10), SelectorVideo)
