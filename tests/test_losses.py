import torch
import torch.nn.functional as F

from refseg.losses import weighted_cross_entropy


def test_the_weighted_cross_entropy_is_that_of_the_two_channels():
    generator = torch.Generator().manual_seed(0)
    two = torch.randn(3, 2, 7, 5, generator=generator)
    target = torch.randint(0, 2, (3, 7, 5), generator=generator)
    target[0, :2] = 255
    expected = F.cross_entropy(two, target, torch.tensor([0.9, 1.1]), ignore_index=255)
    torch.testing.assert_close(weighted_cross_entropy(two[:, 1:] - two[:, :1], target), expected)


def test_a_pixel_that_is_covered_in_part_counts_in_part():
    logits = torch.tensor([[[[2.0, -1.0]]]])
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], target := torch.tensor([[[0.25, 0.5]]]))
    torch.testing.assert_close(weighted_cross_entropy(logits, target, (1, 1)), expected)


def test_the_weighted_cross_entropy_takes_bool_masks():
    logits, target = torch.tensor([[[[2.0, -1.0]]]]), torch.tensor([[[True, False]]])
    same = weighted_cross_entropy(logits, target.to(torch.uint8))
    torch.testing.assert_close(weighted_cross_entropy(logits, target), same)
