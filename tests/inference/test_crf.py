import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from refseg import load
from refseg.errors import InvalidInput
from refseg.inference.crf import DenseCRF, library

TRUE = np.zeros((48, 64), bool)
TRUE[12:36, 16:48] = True


def picture():
    """A red rectangle on green, with little noise; and what a network might say of it, with much."""
    random = np.random.default_rng(0)
    image = np.where(TRUE[..., None], (200, 50, 50), (50, 120, 60)) + random.normal(0, 3, (*TRUE.shape, 3))
    probability = np.where(TRUE, 0.65, 0.35) + random.normal(0, 0.25, TRUE.shape)
    return image.clip(0, 255).astype(np.uint8), probability.clip(0, 1).astype(np.float32)


def iou(mask):
    return (mask & TRUE).sum() / (mask | TRUE).sum()


def test_without_its_library_it_is_refused_with_the_command_that_installs_it(monkeypatch, checkpoint_folder):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    message = r"DenseCRF needs pydensecrf2; install it with: pip install 'refseg\[crf\]' \(a C\+\+ compiler is needed\)"
    with pytest.raises(InvalidInput, match=f"^{message}$"):
        library()
    with pytest.raises(InvalidInput, match=message):
        load(checkpoint_folder, crf=DenseCRF())


def test_a_wrong_setting_is_refused():
    with pytest.raises(ValidationError, match="far"):
        DenseCRF(far=0)


def test_logits_come_back_at_the_size_of_the_images_and_empty_ones_are_not_touched(monkeypatch):
    """With a stand-in for the library's work, which halves the probability of the upper half."""

    def halved(self, probability, image):
        assert probability.shape == image.shape[:2] == (8, 6)
        return probability * np.where(np.arange(8) < 4, 0.5, 1)[:, None]

    monkeypatch.setattr(DenseCRF, "__call__", halved)
    logits = torch.stack([torch.full((1, 4, 3), 1.0), torch.full((1, 4, 3), -20.0)])
    image = np.zeros((8, 6, 3), np.uint8)
    refined = DenseCRF().refine(logits, [image, image])
    assert refined.shape == (2, 1, 8, 6) and refined.dtype == torch.float32
    torch.testing.assert_close(refined[1], torch.full((1, 8, 6), -20.0))
    assert (refined[0, 0, :4] < 0).all()
    torch.testing.assert_close(refined[0, 0, 4:], torch.ones(4, 6))
    assert logits[0].eq(1).all()


class TestTheLibrary:
    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("pydensecrf")

    def test_a_noisy_mask_is_drawn_to_the_edges_of_the_image(self):
        image, probability = picture()
        assert iou(probability > 0.5) < 0.75
        assert iou(DenseCRF()(probability, image) > 0.5) > 0.95

    def test_what_it_gives_are_probabilities_of_the_referent(self):
        image, probability = picture()
        refined = DenseCRF()(probability, image)
        assert refined.shape == probability.shape and refined.dtype == np.float32
        assert 0 <= refined.min() < 0.1 and 0.9 < refined.max() <= 1

    def test_certain_pixels_and_images_that_are_not_contiguous_are_taken(self):
        image, _ = picture()
        refined = DenseCRF()(TRUE.astype(np.float32), np.asfortranarray(image))
        np.testing.assert_array_equal(refined > 0.5, TRUE)

    def test_logits_of_a_network_become_those_of_the_drawn_mask(self):
        image, probability = picture()
        logits = torch.from_numpy(probability).logit(1e-4)[None, None]
        mask = DenseCRF().refine(logits, [image])[0, 0].numpy() > 0
        assert iou(mask) > 0.95

    def test_without_any_agreement_a_mask_stays_as_it_is(self):
        image, probability = picture()
        refined = DenseCRF(near_weight=0, alike_weight=0)(probability, image)
        np.testing.assert_allclose(refined, probability, atol=1e-5)
