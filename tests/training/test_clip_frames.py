"""Training on videos: what a step sees, that it is what answers look at, and a whole small run."""

import numpy as np
import pytest
import torch

from refseg.checkpoints.io import load_checkpoint
from refseg.datasets import build
from refseg.datasets.drawn_clips.dataset import KINDS, MOTIONS
from refseg.datasets.drawn_scenes.objects import SHAPES
from refseg.datasets.storage.annotated_frames import AnnotatedFrame, AnnotatedFrames
from refseg.errors import InvalidInput
from refseg.preprocessing.transform import ClipSampling, Preprocessing
from refseg.recipes.recipe import FileData
from refseg.samples import Clip, Expression
from refseg.text.left_right import mirrored
from refseg.text.vocabulary import Vocabulary
from refseg.training.data.clip_frames import ClipItems, one_frame, seen
from refseg.training.data.file_batches import FileBatches
from refseg.training.data.sources import FileSource, whole_images
from refseg.training.devices import Devices
from refseg.training.run import train

STAGE = whole_images(4).replace(flip=0.5, expressions_per_image=3)
OFFSETS = (-2, 0, 1)
CLIPS = FileData(
    dataset="drawn_clips",
    settings={"count": 12},
    validation_images=2,
    item="image",
    preprocessing=Preprocessing(clip=ClipSampling(offsets=OFFSETS)),
    workers=0,
)


class Walk(Clip):
    """A white square that goes one pixel to the right in each of 6 frames; the cat is never seen."""

    clip_id = "walk"
    expressions = Expression("the square", (1,)), Expression("a cat", (2,)), Expression("the right square", (1,))

    def __init__(self, annotated=((1, 4), (4,), ())):
        self.annotated = annotated

    def __len__(self):
        return 6

    def frame(self, t):
        return np.repeat(255 * self.mask(0, t)[..., None], 3, axis=2).astype(np.uint8)

    def annotated_frames(self, index):
        return self.annotated[index]

    def mask(self, index, t):
        mask = np.zeros((16, 16), bool)
        mask[4:8, 4 + t : 8 + t] = index != 1
        return mask


@pytest.fixture(scope="module")
def drawn():
    return build("drawn_clips", split="train", count=12)


@pytest.fixture(scope="module")
def batches(drawn):
    words = Vocabulary.of([expression.text for clip in drawn for expression in clip.expressions])

    def made(stage=STAGE, data=CLIPS, samples=drawn, **keywords):
        return FileBatches(samples, words, data, stage, (0, 0), **keywords)

    return made


def test_a_batch_of_clips_is_a_function_of_its_number(batches):
    one, other = batches(), batches()
    for part in (2, 0):
        other[part + 1]
        assert torch.equal(one[part].image, other[part].image) and torch.equal(one[part].truth, other[part].truth)
        assert torch.equal(one[part].tokens, other[part].tokens)
    assert one[0].image.shape == (4, 3, 3, 128, 128)


def test_processes_share_a_step_of_clips_without_changing_it(batches):
    whole, parts = batches()[1], [batches(rank=rank, world=2)[1] for rank in (0, 1)]
    assert torch.equal(torch.cat([part.image for part in parts]), whole.image)
    assert torch.equal(torch.cat([part.truth for part in parts]), whole.truth)


def test_a_clip_is_the_frames_that_answers_look_at(batches, drawn):
    batch, sampling = batches(STAGE.replace(flip=0)), CLIPS.preprocessing.clip
    shown = batch[0]
    for place, (number, _) in enumerate(batch.items[batch.order[place]] for place in range(4)):
        clip = drawn[number]
        frames = [clip.frame(t) for t in sampling.around(clip.middle, len(clip))]
        expected = torch.stack([CLIPS.preprocessing(frame)[0] for frame in frames])
        assert torch.equal(shown.image[place], expected)


def test_all_frames_of_a_clip_are_mirrored_with_the_words(batches, drawn):
    plain, flipped = (batches(STAGE.replace(flip=share)) for share in (0, 1))
    assert torch.equal(plain[0].image.flip(-1), flipped[0].image)
    assert torch.equal(plain[0].truth.flip(-1), flipped[0].truth)
    ids, texts = plain.tokenizer.ids, {expression.text for clip in drawn for expression in clip.expressions}
    swapped = {tuple(ids(text)): ids(mirrored(text)) for text in texts}
    for row, other in zip(plain[0].tokens.tolist(), flipped[0].tokens.tolist(), strict=True):
        assert swapped[tuple(token for token in row if token)] == [token for token in other if token]


def test_a_frame_is_drawn_among_those_with_the_truth_of_the_first_expression():
    clip, asked = Walk(), np.array([0, 1, 2])
    drawn = [one_frame(clip, asked, np.random.default_rng(seed)) for seed in range(20)]
    assert {frame.t for frame in drawn} == {1, 4}
    assert {(frame.t, frame.asked) for frame in drawn} == {(1, (0,)), (4, (0, 1))}
    assert one_frame(clip, np.array([2, 1]), np.random.default_rng(0)).asked == (1,)
    assert len(one_frame(clip, asked, np.random.default_rng(0), most=1).asked) == 1
    with pytest.raises(InvalidInput, match="clip walk has no annotated frame for 'the right square'"):
        one_frame(clip, np.array([2]), np.random.default_rng(0))


def test_what_is_not_in_the_frame_has_no_target():
    frame = AnnotatedFrame(Walk(), 4, [0, 1])
    assert [bool(expression.targets) for expression in frame.expressions] == [True, False]
    assert frame.image_id == "walk/00004" and frame.size_hw == (16, 16)
    assert frame.mask(0)[4:8, 8:12].all() and not frame.mask(1).any()


def test_a_single_frame_is_what_a_network_for_images_sees():
    frame, one = AnnotatedFrame(Walk(), 5, [0]), Preprocessing(side=16)
    assert torch.equal(seen(frame, one)[0], one(frame.image)[0])
    pixels, _ = seen(frame, one.replace(clip=ClipSampling(offsets=OFFSETS)))
    assert torch.equal(pixels, torch.stack([one(Walk().frame(t))[0] for t in (3, 5, 5)]))  # the last is repeated


def test_validation_shows_all_annotated_frames_with_what_is_known_there():
    frames = AnnotatedFrames([Walk(), Walk(((), (0,), (0, 5)))])
    assert [(frame.t, frame.asked) for frame in frames] == [(1, (0,)), (4, (0, 1)), (0, (1, 2)), (5, (2,))]


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        ("image", [(0, [0, 1, 2])]),
        ("expression", [(0, [0]), (0, [1]), (0, [2])]),
        ("referent", [(0, [0, 2]), (0, [1])]),
    ],
)
def test_an_epoch_goes_through_clips_expressions_or_referents(kind, groups):
    items = ClipItems([Walk()], kind)
    assert [(number, asked.tolist()) for number, asked in (items[n] for n in range(len(items)))] == groups


def test_drawn_clips_tell_every_word_and_the_kind_of_each_expression():
    source = FileSource(CLIPS, erases=False)
    tokenizer = source.tokenizer(None)
    assert len(tokenizer) == 2 + 111 and source.types == KINDS
    batch = source.validation(tokenizer, world=1)[0]
    kinds = [expression.kind for frame in source.validation_samples for expression in frame.expressions]
    assert [KINDS[number] for number in batch.types.tolist()] == kinds
    assert not batch.tokens.eq(1).any()  # unknown
    assert batch.targets.any(1).tolist() == [bool(mask.any()) for mask in batch.masks()]


def test_what_objects_are_and_do_is_known_of_drawn_clips_and_mirrored_with_them(batches, drawn):
    plain, flipped = (batches(STAGE.replace(flip=share))[0].objects for share in (0, 1))
    number, _ = batches().items[batches().order[0]]
    clip, count = drawn[number], len(drawn[number].motions)
    np.testing.assert_array_equal(plain.attributes[0, :count, :4], clip.attributes)
    assert [MOTIONS[k] for k in plain.attributes[0, :count, 4]] == [MOTIONS[k] for k in clip.motions]
    np.testing.assert_array_equal(plain.id_map[0], clip.labels(clip.middle))
    assert torch.equal(flipped.id_map, plain.id_map.flip(-1)) and torch.equal(flipped.present, plain.present)
    np.testing.assert_allclose(plain.radii[0, :count], [thing.radius for thing in clip.layout(clip.middle).objects])
    for batch in (batches(STAGE.replace(flip=share))[0] for share in (0, 1)):
        assert torch.equal(batch.targets.any(1), batch.masks().flatten(1).any(1))
        column, row = batch.objects.centres[0, :count].round().long().unbind(-1)
        assert batch.objects.id_map[0, row, column].tolist() == [
            number if thing.attributes[0] != SHAPES.index("ring") else 0
            for number, thing in enumerate(clip.layout(clip.middle).objects, 1)
        ]
        for mask, meant, image in zip(batch.masks(), batch.targets, batch.image_of_expression, strict=True):
            assert torch.equal(torch.isin(batch.objects.id_map[image], 1 + meant.nonzero().flatten()), mask)
    swapped = {"left": "right", "right": "left"}
    for one, other in zip(plain.attributes[..., 4].flatten(), flipped.attributes[..., 4].flatten(), strict=True):
        assert swapped.get(MOTIONS[one], MOTIONS[one]) == MOTIONS[other]


def test_a_run_on_clips_is_validated_by_kind_calibrated_and_says_which_frames_it_takes(tiny_of_clips, tmp_path):
    train(tiny_of_clips, tmp_path / "run", resume=False, devices=Devices(accelerator="cpu"))
    released = load_checkpoint(tmp_path / "run" / "weights")
    assert released.preprocessing == tiny_of_clips.data.preprocessing and released.network.frames == 3
    assert released.trained_on["clips"] == 8 and "drawn clips only" in released.knows
    assert released.calibration.fitted_on == "drawn_clips, split val, 5 annotated frames"
    assert "Apache-2.0" in released.card and "Validation (5 annotated frames" in released.card
    assert (
        "nothing else; before it, of each place in an image the shape, colour, size, material and motion"
        in released.card
    )
    log = (tmp_path / "run" / "logs" / "learn" / "metrics.csv").read_text().splitlines()[0]
    assert {"val/oIoU", "val/T-acc", "val/moves right/mIoU"} <= set(log.split(","))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.preprocessing.clip.offsets=[-1, 0]", r"takes clips of 3 frames .* are \[-1, 0\]"),
        ("data.preprocessing.clip.offsets=[0, 1, 2]", r"answers number 1 of them, but .* are \[0, 1, 2\]"),
        ("config.frames=5", r"takes clips of 5 frames .* are \[-5, 0, 4\]"),
        ("data.dataset=refcoco", r"takes clips, and refcoco holds images; choose one of: a2d_sentences"),
        ("data.spread_no_target=true", "spread_no_target is for images"),
    ],
)
def test_data_that_do_not_fit_a_network_for_clips_are_refused(tiny_of_clips, tmp_path, setting, message):
    with pytest.raises(InvalidInput, match=message):
        train(
            tiny_of_clips.with_settings([setting]), tmp_path / "run", resume=False, devices=Devices(accelerator="cpu")
        )
    assert not (tmp_path / "run").exists()


def test_a_training_that_never_began_leaves_no_run(tiny_of_clips, tmp_path):
    few = tiny_of_clips.with_settings(["data.settings.count=1", "stages.see.images=2"])
    with pytest.raises(InvalidInput, match=r"stages.see.images=1"):
        train(few, tmp_path / "run", devices=Devices(accelerator="cpu"))
    assert not (tmp_path / "run" / "recipe.yaml").exists()
