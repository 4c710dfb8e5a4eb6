import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from refseg.datasets.masks import MaskFile, draw, draw_at, pieces_of, polygon_of, read_mask, rle_of
from refseg.errors import InvalidInput, MissingFile

SIZE = (20, 30)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


def square(left: float, top: float, side: float = 4) -> list[float]:
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def filled(*corners: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(SIZE, np.bool_)
    for left, top, side in corners:
        mask[top : top + side, left : left + side] = True
    return mask


@st.composite
def masks(draw_from):
    height, width = draw_from(sizes)
    seed, share = draw_from(st.integers(0, 99)), draw_from(st.sampled_from([0.0, 0.1, 0.9, 1.0]))
    return np.random.default_rng(seed).random((height, width)) < share


@given(masks())
def test_run_lengths_of_both_kinds_give_the_mask_again(mask):
    compressed = coco.encode(np.asfortranarray(mask, np.uint8))
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1]))
    runs = np.diff(edges, prepend=0).tolist()
    size = list(mask.shape)
    for counts in (compressed["counts"], compressed["counts"].decode(), runs):
        (piece,) = pieces_of({"counts": counts, "size": size})
        assert (draw([piece], mask.shape) == mask).all()


@given(st.lists(st.lists(st.floats(-20, 60), min_size=6, max_size=6), max_size=4), sizes)
def test_polygons_are_drawn_as_pycocotools_does_and_joined(polygons, size):
    ours = draw(pieces_of(polygons), size)
    theirs = coco.decode(coco.frPyObjects(polygons, *size)).any(-1) if polygons else np.zeros(size, np.bool_)
    assert ours.dtype == np.bool_
    assert (ours == theirs).all()


def test_overlapping_polygons_are_a_union_unless_what_is_covered_twice_is_to_be_lost():
    pieces = pieces_of([square(2, 2), square(4, 2)])
    both = filled((2, 2, 4), (4, 2, 4))
    assert (draw(pieces, SIZE) == both).all()
    lost = draw(pieces, SIZE, covered_twice="lost")
    assert (lost == (both & ~(filled((2, 2, 4)) & filled((4, 2, 4))))).all()


def test_polygons_of_fewer_than_three_points_are_left_out():
    assert pieces_of([[1, 1, 5, 5], [], [3, 3]]) == []
    assert (draw(pieces_of([[1, 1, 5, 5], square(2, 2)]), SIZE) == filled((2, 2, 4))).all()
    assert not draw([], SIZE).any()


def test_a_polygon_that_leaves_the_image_is_clipped():
    assert (draw(pieces_of([square(-5, -5, 9)]), SIZE) == filled((0, 0, 4))).all()
    assert not draw(pieces_of([square(100, 100)]), SIZE).any()


def test_points_may_be_pairs():
    assert (polygon_of([[1, 2], [3, 4], [5, 6]]) == [1, 2, 3, 4, 5, 6]).all()


@pytest.mark.parametrize(
    "segmentation",
    [
        "polygon",
        7,
        [[1, 2, 3, 4, 5]],
        [["a"] * 6],
        [[[1, 2, 3], [4, 5, 6]]],
        [square(1e9, 0)],
        [square(float("nan"), 0)],
        {"counts": [1]},
        {"size": [20, 30]},
        {"counts": [1, 2], "size": [20, 30]},
        {"counts": [-5, 605], "size": [20, 30]},
        {"counts": [2**62, 2**62], "size": [20, 30]},
        {"counts": "", "size": [20, 30]},
        {"counts": "04", "size": [20, 30]},
        {"counts": "garbage!", "size": [20, 30]},
        {"counts": "P" * 40, "size": [20, 30]},
        {"counts": "é", "size": [20, 30]},
        {"counts": [10**12], "size": [10**6, 10**6]},
        {"counts": [0], "size": [-1, 0]},
    ],
)
def test_a_segmentation_that_is_none_is_refused(segmentation):
    """pycocotools reads beyond its memory on some of these."""
    with pytest.raises(InvalidInput):
        pieces_of(segmentation)


def test_run_lengths_of_another_size_than_the_image_are_refused():
    piece = rle_of({"counts": [600], "size": [30, 20]})
    with pytest.raises(InvalidInput, match="20 x 30 pixels, and its image is 30 x 20"):
        draw([piece], SIZE)


def test_at_another_size_polygons_are_scaled_and_drawn_there():
    polygon = [1.3, 2.7, 20.1, 3.2, 11.9, 17.6]
    scaled = [value * (48 / 30 if k % 2 == 0 else 48 / 20) for k, value in enumerate(polygon)]
    expected = coco.decode(coco.frPyObjects([scaled], 48, 48))[..., 0]
    assert (draw_at(pieces_of([polygon]), SIZE, (48, 48)) == expected).all()


def test_at_another_size_run_lengths_go_to_the_nearest():
    piece = rle_of(coco.encode(np.asfortranarray(filled((2, 2, 4)), np.uint8)))
    assert (draw_at([piece], SIZE, (40, 60)) == filled((2, 2, 4)).repeat(2, 0).repeat(2, 1)).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_images_are_read_as_masks(tmp_path, mode):
    path = tmp_path / "mask.png"
    image = Image.fromarray(filled((2, 2, 4)).astype(np.uint8))
    if mode == "P":
        image.putpalette([0, 0, 0, 0, 0, 0])  # the index counts, not the colour
    else:
        image = image.point(lambda value: value * 255).convert(mode)
    image.convert(mode).save(path)
    assert (draw([MaskFile(str(path))], SIZE) == filled((2, 2, 4))).all()
    assert (draw([MaskFile(str(path), inverted=True)], SIZE) == ~filled((2, 2, 4))).all()


def test_a_mask_file_that_is_missing_damaged_or_of_another_size_is_named(tmp_path):
    path = tmp_path / "mask.png"
    with pytest.raises(MissingFile, match=r"mask\.png is missing"):
        read_mask(path)
    path.write_bytes(b"PNG")
    with pytest.raises(InvalidInput, match=r"mask\.png cannot be decoded"):
        read_mask(path)
    Image.new("L", (3, 4)).save(path)
    with pytest.raises(InvalidInput, match=r"mask\.png: 3 x 4 pixels, and its image is 30 x 20"):
        draw([MaskFile(str(path))], SIZE)


def test_without_scipy_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    path = tmp_path / "1_1.mat"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(InvalidInput, match=r"SciPy; install it with: pip install .refseg.formats.."):
        read_mask(path)


def test_real_annotations_are_drawn_as_pycocotools_does(realset):
    content = json.loads((realset / "instances.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    several = [found for found in content["annotations"] if found["iscrowd"] or len(found["segmentation"]) > 1]
    assert len(several) == 35 + 220
    for found in several:
        size = sizes[found["image_id"]]
        rle = coco.frPyObjects(found["segmentation"], *size)
        expected = coco.decode(coco.merge(rle) if isinstance(rle, list) else rle)
        assert (draw(pieces_of(found["segmentation"]), size) == expected).all()
