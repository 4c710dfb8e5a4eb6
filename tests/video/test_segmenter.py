import itertools
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

import refseg
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import load_checkpoint, save_checkpoint
from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.errors import InvalidInput
from refseg.inference.segmenter import Segmenter
from refseg.networks import build
from refseg.preprocessing.transform import ClipSampling, Preprocessing
from refseg.text.vocabulary import Vocabulary

WORDS = ["the", "star", "red", "that", "spins"]
CMPC = {
    "image_encoder": {"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
    "freeze_image_encoder": False,
    "word_encoder": {"kind": "lstm", "vector": 6, "width": 12},
    "max_words": 8,
    "parser_hidden": 10,
    "width": 16,
    "heads": 2,
    "fused": 12,
    "grid_hw": (4, 4),
    "exchange_rounds": 2,
}
I3D = CMPC | {"image_encoder": "i3d", "frames": 8, "freeze_image_encoder": True}
OFFSETS = -8, -4, 0, 4, 7


@pytest.fixture(scope="module")
def segmenter(checkpoint_folder) -> Segmenter:
    return refseg.load(checkpoint_folder)


def of_clips(config, offsets) -> Checkpoint:
    """A network of clips away from its first weights."""
    torch.manual_seed(0)
    network = build("cmpc_video", config, len(WORDS) + 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return Checkpoint(
        name="cmpc_video",
        network=network.eval(),
        tokenizer=Vocabulary(WORDS),
        preprocessing=Preprocessing(side=64, multiple_of=32, clip=ClipSampling(offsets=offsets)),
        calibration=Calibration(),
    )


def moving(count, height=48, width=72):
    """Frames that each differ from all others."""
    rows, columns = np.mgrid[:height, :width]
    for t in range(count):
        pixels = np.stack([rows * 5 + t * 7, columns * 3 + t * 11, rows + columns + t * 3], axis=-1) % 256
        pixels[8:20, (t * 5) % 50 : (t * 5) % 50 + 14] = 255
        yield pixels.astype(np.uint8)


def test_a_network_of_images_answers_each_frame_as_an_image(segmenter, golden):
    frames, expressions = golden.images, golden.of(0)[:2]
    results = list(segmenter.video(frames, expressions))
    assert [[one.index for one in some] for some in results] == [[k, k] for k in range(8)]
    for image, some in zip(frames, results, strict=True):
        for expression, result in zip(expressions, some, strict=True):
            alone = segmenter(image, expression)
            assert result.expression == expression and result.exists == pytest.approx(alone.exists, abs=1e-3)
            assert (result.mask != alone.mask).mean() < 1e-3
    assert results[3][0].seconds == 3 / 24 and results[3][0].to_dict()["frame"] == 3
    assert results[0][0].overlay().size == (128, 128)


def test_one_expression_gives_one_result_a_frame(segmenter, golden):
    assert [result.index for result in segmenter.video(golden.images, "the star", every=3)] == [0, 3, 6]
    assert [result.index for result in segmenter.video(golden.images, "the star", every=3, start=2)] == [2, 5]
    assert list(segmenter.video(golden.images, "the star", start=8)) == []


@pytest.mark.parametrize(
    ("config", "offsets", "every"),
    [
        (CMPC | {"frames": 5}, OFFSETS, 1),
        (CMPC | {"frames": 5, "skip": "visual"}, OFFSETS, 5),
        (CMPC | {"frames": 5, "temporal_graph": "none"}, OFFSETS, 2),
        (I3D, (-4, -3, -2, -1, 0, 1, 2, 3), 5),
    ],
    ids=["each frame", "pixels too", "no actions", "i3d"],
)
def test_windows_equal_clips_that_are_put_together_by_hand(config, offsets, every):
    checkpoint = of_clips(config, offsets)
    frames = list(moving(12))
    results = list(Segmenter(checkpoint).video(iter(frames), ["the red star", "the star that spins"], every=every))
    assert len(results) == len(range(0, len(frames), every))
    tokens, word_mask = checkpoint.tokenizer(["the red star", "the star that spins"])
    prepared = [checkpoint.preprocessing(frame)[0] for frame in frames]
    for some in results:
        clip = [prepared[min(max(some[0].index + offset, 0), len(frames) - 1)] for offset in offsets]
        with torch.inference_mode():
            output = checkpoint.network(torch.stack([torch.stack(clip)] * 2), tokens, word_mask)
        for m, result in enumerate(some):
            probability = float((output.exists[m] / checkpoint.calibration.temperature).sigmoid())
            assert result.exists == pytest.approx(probability, abs=1e-4)
            height, width = result.logits.shape
            torch.testing.assert_close(result.logits, output.logits[m, 0, :height, :width], rtol=1e-4, atol=1e-4)


def test_a_frame_is_encoded_once_for_all_clips_that_have_it(monkeypatch):
    checkpoint, encoded = of_clips(CMPC | {"frames": 5}, OFFSETS), []
    encode = checkpoint.network.encode_frames
    monkeypatch.setattr(checkpoint.network, "encode_frames", lambda image: encoded.append(len(image)) or encode(image))
    assert len(list(Segmenter(checkpoint).video(moving(20), "the star"))) == 20
    assert sum(encoded) == 20


@pytest.mark.parametrize("network", ["images", "clips"])
def test_frames_are_not_kept_however_long_the_video_is(segmenter, network):
    alive: list[weakref.ref] = []
    answering = segmenter if network == "images" else Segmenter(of_clips(CMPC | {"frames": 5}, OFFSETS))

    def images():
        for pixels in moving(60):
            image = Image.fromarray(pixels)
            alive.append(weakref.ref(image))
            yield image

    most = 0
    for result in answering.video(images(), "the star", every=2):
        alive.append(weakref.ref(result))
        alive.append(weakref.ref(result.image))
        most = max(most, sum(one() is not None for one in alive))
    assert len(alive) == 60 + 2 * 30 and most < 30


def test_a_clip_of_a_data_set_is_answered_as_its_frames(segmenter):
    clip = DrawnClips("val", 1)[0]
    results = list(segmenter.video(clip, "the star", every=2))
    frames = list(segmenter.video([clip.frame(t) for t in range(len(clip))], "the star", every=2))
    assert [one.index for one in results] == list(range(0, len(clip), 2))
    assert results[1].seconds == pytest.approx(2 / clip.frame_rate)
    assert all((one.mask == other.mask).all() for one, other in zip(results, frames, strict=True))


def test_a_video_without_end_is_answered(segmenter, golden):
    endless = itertools.cycle(golden.images)
    assert len(list(itertools.islice(segmenter.video(endless, "the star"), 20))) == 20


@pytest.mark.parametrize(
    ("expressions", "settings", "said"),
    [("", {}, "empty"), ("the star", {"every": 0}, "every"), ("the star", {"start": -1}, "start|from frame -1"),
     ("the star", {"threshold": 2.0}, "between 0 and 1")],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_before_a_frame_is_read(segmenter, expressions, settings, said):
    with pytest.raises(InvalidInput, match=said):
        segmenter.video("missing.mp4", expressions, **settings)


def test_clips_of_the_release_fit_the_network_of_the_release():
    from refseg.conversion.cmpc import CMPCLayout
    from refseg.networks import preset

    for name, clip in CMPCLayout.clips.items():
        frames = preset(name).frames
        assert len(clip.offsets) == frames and clip.offsets[frames // 2] == 0


def test_a_checkpoint_says_which_frames_make_a_clip(tmp_path):
    save_checkpoint(of_clips(CMPC | {"frames": 5}, OFFSETS), tmp_path / "clips")
    assert load_checkpoint(tmp_path / "clips").preprocessing.clip.offsets == OFFSETS
    with pytest.raises(InvalidInput, match="take clips of 5 frames, not single images"):
        refseg.load(tmp_path / "clips")(np.zeros((40, 40, 3), np.uint8), "the star")
    for offsets in ((0,), (-1, 0, 1, 2, 3)):
        with pytest.raises(InvalidInput, match="offsets of preprocessing.clip in their config.json"):
            Segmenter(of_clips(CMPC | {"frames": 5}, offsets)).video(moving(3), "the star")


def test_a_video_that_ends_early_is_warned_of(segmenter):
    frames = [*moving(2), *moving(1, height=64)]
    with pytest.warns(UserWarning, match="frame 2 of the video is 72 x 64, those before are 72 x 48"):
        assert len(list(segmenter.video(frames, "the star"))) == 2


def test_so_many_frames_are_computed_together_and_no_more_are_read_before_the_first_answer(segmenter):
    frames, at_once = list(moving(9)), []
    expected = list(segmenter.video(iter(frames), "the star"))
    for count in (1, 3):
        read = []
        results = segmenter.video(
            (read.append(k) or frame for k, frame in enumerate(frames)), "the star", frames_at_once=count
        )
        first = next(results)
        at_once.append(len(read))
        for one, other in zip([first, *results], expected, strict=True):
            np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)
    assert at_once[0] < at_once[1] < 9
    with pytest.raises(InvalidInput, match="frames_at_once 0"):
        segmenter.video(iter(frames), "the star", frames_at_once=0)
