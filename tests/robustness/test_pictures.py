"""Changed pictures: deterministic, worse with each severity, and masks, objects and sentences go along."""

import numpy as np
import pytest
from PIL import Image

from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput
from refseg.robustness.pictures import PICTURE_KINDS, SEVERITIES, change_picture
from refseg.samples import AnnotatedObject, AnnotatedObjects, Expression, Sample

MOVING = ("crop", "padding", "mirror", "rotation", "occlusion")
RED, GROUND = (250, 10, 20), (20, 60, 90)


class Photograph(Sample):
    """A red disk on a ground, about which anything may be said."""

    def __init__(self, texts, size_hw=(96, 128), centre_xy=(40.0, 44.0), radius=16):
        height, width = size_hw
        y, x = np.mgrid[:height, :width] + 0.5
        self._disk = (x - centre_xy[0]) ** 2 + (y - centre_xy[1]) ** 2 <= radius**2
        self.image = np.where(self._disk[..., None], RED, GROUND).astype(np.uint8)
        self.image_id, self._centre = "photograph", centre_xy
        self.expressions = tuple(Expression(text, (1,)) for text in texts)

    def mask(self, index):
        return self._disk

    def annotated_objects(self):
        thing = AnnotatedObject("disk", (24, 28, 56, 60), self._disk, centre_xy=self._centre)
        return AnnotatedObjects((thing,), ("disk",))


@pytest.fixture(scope="module")
def scenes():
    return list(DrawnScenes("val", count=3))


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_a_picture_changes_always_alike_and_never_the_original(kind, scenes):
    before = scenes[0].image.copy()
    for severity in PICTURE_KINDS[kind].severities:
        one, other = (change_picture(scenes[0], kind, severity) for _ in range(2))
        assert one.image.dtype == np.uint8 and np.array_equal(one.image, other.image)
        assert one.image.shape != before.shape or not np.array_equal(one.image, before)
    assert np.array_equal(scenes[0].image, before)


@pytest.mark.parametrize(
    "kind", [kind for kind in PICTURE_KINDS if kind not in ("mirror", "crop", "padding", "rotation")]
)
def test_each_severity_changes_more_than_the_one_before(kind, scenes):
    distances = [
        np.mean([np.abs(change_picture(one, kind, severity).image.astype(float) - one.image).mean() for one in scenes])
        for severity in SEVERITIES
    ]
    assert distances == sorted(distances) and distances[0] > 0


@pytest.mark.parametrize("kind", MOVING)
def test_masks_lie_where_the_object_is_in_the_changed_picture(kind):
    sample = Photograph(["the red disk"])
    for severity in PICTURE_KINDS[kind].severities:
        changed = change_picture(sample, kind, severity)
        seen = (changed.image[..., 0] > 135) & (changed.image[..., 1] < 100)  # grey is 128 everywhere
        mask = changed.change.warp(sample.mask(0))
        assert np.count_nonzero(mask & seen) / np.count_nonzero(mask | seen) > (0.94 if kind == "rotation" else 0.9999)
        (thing,) = changed.annotated_objects().objects
        assert np.array_equal(thing.mask, mask)
        if kind not in ("occlusion", "crop"):
            y, x = np.argwhere(mask).mean(0) + 0.5
            assert thing.centre_xy == pytest.approx((x, y), abs=0.3)


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 9), (31, 5)])
def test_pictures_of_any_size_can_be_changed(size_hw):
    sample = Photograph(["the disk"], size_hw, (1.0, 1.0), 1)
    for kind, one in PICTURE_KINDS.items():
        for severity in one.severities:
            changed = change_picture(sample, kind, severity)
            assert changed.image.size and changed.image.shape[:2] == changed.change.warp(sample.mask(0)).shape


def test_blur_and_noise_look_alike_at_any_size():
    small = Photograph(["the disk"], (224, 224), (100, 100), 40)
    large = Photograph(["the disk"], (672, 672), (300, 300), 120)
    for kind in ("blur", "noise"):
        reduced = np.asarray(
            Image.fromarray(change_picture(large, kind, 3).image).resize((224, 224), Image.Resampling.BOX)
        )
        changed = change_picture(small, kind, 3).image
        assert np.abs(reduced.astype(float) - reduced.mean()).mean() == pytest.approx(
            np.abs(changed.astype(float) - changed.mean()).mean(), rel=0.1
        )


def test_mirrored_pictures_have_mirrored_words_and_none_of_a_clock():
    sample = Photograph(["the disk on the left", "the disk at 3 o'clock", "Rightmost disk"])
    changed = change_picture(sample, "mirror", 1)
    assert [one.text for one in changed.expressions] == ["the disk on the right", "Leftmost disk"]
    assert changed.kept == (0, 2) and changed.expression_id(1) == "photograph/2/mirror/1"


@pytest.mark.parametrize(
    "kind, kept",
    [
        ("blur", {"the red disk", "the leftmost disk", "the disk left of the cup", "both disks"}),
        ("padding", {"the red disk", "the leftmost disk", "the disk left of the cup", "both disks"}),
        ("rotation", {"the red disk", "both disks"}),
        ("crop", {"the red disk"}),
        ("occlusion", {"the red disk"}),
    ],
)
def test_sentences_that_may_mean_another_thing_are_left_out(kind, kept):
    sample = Photograph(["the red disk", "the leftmost disk", "the disk left of the cup", "both disks"])
    assert {one.text for one in change_picture(sample, kind, 1).expressions} == kept


def test_sentences_about_what_is_cut_off_are_left_out():
    sample = Photograph(["the red disk"], centre_xy=(8.0, 8.0))
    assert change_picture(sample, "crop", 5).kept == ()


def test_scenes_keep_the_fewer_sentences_the_more_is_cut_off(scenes):
    kept = [sum(len(change_picture(scene, "crop", severity).kept) for scene in scenes) for severity in SEVERITIES]
    assert kept == sorted(kept, reverse=True) and kept[-1] < 0.8 * kept[0]
    assert all(len(change_picture(scene, "mirror", 1).kept) == len(scene.expressions) for scene in scenes)


@pytest.mark.parametrize(
    "kind, severity, message",
    [
        ("blurr", 1, "unknown kind of picture 'blurr'; did you mean blur"),
        ("blur", 0, "severity 0 of blur is not allowed; choose one of: 1, 2, 3, 4, 5"),
        ("mirror", 3, "severity 3 of mirror is not allowed; choose one of: 1"),
    ],
)
def test_unknown_kinds_and_severities_are_refused(kind, severity, message, scenes):
    with pytest.raises(InvalidInput, match=message):
        change_picture(scenes[0], kind, severity)
