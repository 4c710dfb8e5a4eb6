import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from refseg.evaluation.object_answers import count_sets, overlap
from refseg.metrics import count_pixels

FOUND, OBJECTS, ANSWERS = 3, 2, 4


@given(
    arrays(np.uint8, (5, 6), elements=st.integers(0, FOUND)),
    arrays(np.uint8, (5, 6), elements=st.integers(0, OBJECTS)),
    arrays(bool, (ANSWERS, FOUND)),
    arrays(bool, (ANSWERS, OBJECTS)),
)
def test_sets_of_objects_count_as_their_masks_do(found, true, chosen, meant):
    def masks(id_map, sets):
        return torch.from_numpy(np.stack([np.isin(id_map, np.flatnonzero(members) + 1) for members in sets]))

    counts = count_sets(overlap(found, true, FOUND, OBJECTS), chosen, meant)
    expected = count_pixels(masks(found, chosen), masks(true, meant), torch.from_numpy(meant.any(1)))
    assert all(torch.equal(*columns) for columns in zip(counts, expected, strict=True))
