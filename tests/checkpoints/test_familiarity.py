import pytest
import torch

from refseg.checkpoints.familiarity import FALSE_ALARMS, describe, fit_familiarity, unpadded
from refseg.errors import InvalidInput
from refseg.preprocessing.transform import Preprocessing


def features(count, seed=0, scale=1.0, size=8):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, 6, size, size, generator=generator).relu()


@pytest.fixture(scope="module")
def familiarity():
    return fit_familiarity(describe(features(800)), "noise")


def test_images_of_the_same_sort_are_familiar(familiarity):
    assert familiarity.is_familiar(features(500, seed=1)).float().mean() > 0.97


def test_other_images_are_not(familiarity):
    assert not familiarity.is_familiar(features(20, seed=1, scale=2.0)).any()


def test_features_that_are_not_finite_are_unfamiliar(familiarity):
    assert not familiarity.is_familiar(torch.full((1, 6, 8, 8), torch.nan)).any()


def test_alarms_on_the_held_back_half_are_as_rare_as_promised(familiarity):
    held_back = features(800)[400:]
    assert (~familiarity.is_familiar(held_back)).float().mean() < FALSE_ALARMS


def test_frames_of_a_clip_do_not_stand_for_those_of_others():
    clips, others = (features(16, seed).repeat_interleave(10, 0) for seed in (1, 2))  # ten frames of each, all alike
    fitted = fit_familiarity(describe(clips), "clips")
    assert fitted.is_familiar(others).float().mean() > 0.97


def test_a_batch_equals_its_members(familiarity):
    images = features(4, seed=2)
    alone = torch.cat([familiarity.distance(image[None]) for image in images])
    torch.testing.assert_close(familiarity.distance(images), alone)


def test_a_silent_channel_does_no_harm():
    silent = features(100)
    silent[:, 0] = 0
    assert fit_familiarity(describe(silent), "").is_familiar(silent).float().mean() > 0.97


def test_a_handful_of_images_is_refused():
    with pytest.raises(InvalidInput, match="at least 8"):
        fit_familiarity(describe(features(3)), "")


def test_padding_is_cut_from_the_features():
    geometry = Preprocessing().geometry((480, 640))  # 111 x 148 pixels, padded to 112 x 160
    assert unpadded(torch.ones(1, 6, 14, 20), geometry).shape == (1, 6, 14, 18)
