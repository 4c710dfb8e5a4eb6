import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter
from pycocotools import mask as coco

from refseg.datasets.storage.annotation_masks import (
    MAX_OUTLINE_LENGTH,
    MaskFile,
    draw,
    draw_at,
    parse_polygon,
    parse_segmentation,
    read_mask,
)
from refseg.errors import InvalidInput, MissingFile
from refseg.masks.rle import Rle, parse_rle

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
        (piece,) = parse_segmentation({"counts": counts, "size": size})
        assert (draw([piece], mask.shape) == mask).all()


@given(st.lists(st.lists(st.floats(-20, 60), min_size=6, max_size=6), max_size=4), sizes)
def test_polygons_are_drawn_as_pycocotools_does_and_joined(polygons, size):
    ours = draw(parse_segmentation(polygons), size)
    theirs = coco.decode(coco.frPyObjects(polygons, *size)).any(-1) if polygons else np.zeros(size, np.bool_)
    assert ours.dtype == np.bool_
    assert (ours == theirs).all()


def test_overlapping_polygons_are_a_union_unless_what_is_covered_twice_is_to_be_lost():
    pieces = parse_segmentation([square(2, 2), square(4, 2)])
    both = filled((2, 2, 4), (4, 2, 4))
    assert (draw(pieces, SIZE) == both).all()
    lost = draw(pieces, SIZE, covered_twice="lost")
    assert (lost == (both & ~(filled((2, 2, 4)) & filled((4, 2, 4))))).all()


def test_polygons_of_fewer_than_three_points_are_left_out():
    assert parse_segmentation([[1, 1, 5, 5], [], [3, 3]]) == []
    assert (draw(parse_segmentation([[1, 1, 5, 5], square(2, 2)]), SIZE) == filled((2, 2, 4))).all()
    assert not draw([], SIZE).any()


def test_a_polygon_that_leaves_the_image_is_clipped():
    assert (draw(parse_segmentation([square(-5, -5, 9)]), SIZE) == filled((0, 0, 4))).all()
    assert not draw(parse_segmentation([square(100, 100)]), SIZE).any()


def test_points_may_be_pairs():
    assert (parse_polygon([[1, 2], [3, 4], [5, 6]]) == [1, 2, 3, 4, 5, 6]).all()


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
        {"counts": [10**30], "size": [20, 30]},
        {"counts": [600], "size": [float("inf"), 30]},
        {"counts": [600], "size": [10**4999, 30]},
        [[10**400, 1, 2, 3, 4, 5]],
        pytest.param(10**4999, id="a number of 5,000 digits"),
    ],
)
def test_a_segmentation_that_is_none_is_refused(segmentation):
    """pycocotools reads beyond its memory on some of these."""
    with pytest.raises(InvalidInput):
        parse_segmentation(segmentation)


def test_run_lengths_of_another_size_than_the_image_are_refused():
    piece = parse_rle({"counts": [600], "size": [30, 20]})
    with pytest.raises(InvalidInput, match="20 x 30 pixels, and its image is 30 x 20"):
        draw([piece], SIZE)


def test_at_another_size_polygons_are_scaled_and_drawn_there():
    polygon = [1.3, 2.7, 20.1, 3.2, 11.9, 17.6]
    scaled = [value * (48 / 30 if k % 2 == 0 else 48 / 20) for k, value in enumerate(polygon)]
    expected = coco.decode(coco.frPyObjects([scaled], 48, 48))[..., 0]
    assert (draw_at(parse_segmentation([polygon]), SIZE, (48, 48)) == expected).all()


def test_at_another_size_run_lengths_go_to_the_nearest():
    piece = parse_rle(coco.encode(np.asfortranarray(filled((2, 2, 4)), np.uint8)))
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


def test_real_annotations_are_drawn_as_pycocotools_does(realset):
    content = json.loads((realset / "instances.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    several = [found for found in content["annotations"] if found["iscrowd"] or len(found["segmentation"]) > 1]
    assert len(several) == 35 + 220
    for found in several:
        size = sizes[found["image_id"]]
        rle = coco.frPyObjects(found["segmentation"], *size)
        expected = coco.decode(coco.merge(rle) if isinstance(rle, list) else rle)
        assert (draw(parse_segmentation(found["segmentation"]), size) == expected).all()


def test_polygons_near_the_border_are_drawn_as_pycocotools_does_on_real_annotations(realset):
    content = json.loads((realset / "instances.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for found in content["annotations"]:
        if not found["iscrowd"]:
            size = sizes[found["image_id"]]
            expected = coco.decode(coco.merge(coco.frPyObjects(found["segmentation"], *size)))
            assert (draw(parse_segmentation(found["segmentation"]), size) == expected).all()


@given(st.lists(st.tuples(st.floats(-100, 200), st.floats(-100, 200)), min_size=3, max_size=20), sizes)
def test_polygons_that_reach_outside_are_drawn_as_pycocotools_does(corners, size):
    expected = coco.decode(coco.frPyObjects([[value for corner in corners for value in corner]], *size))[..., 0]
    assert (draw(parse_segmentation([corners]), size) == expected).all()


def far(corners: int) -> list[float]:
    return np.random.default_rng(0).uniform(-1e5, 1e5, 2 * corners).tolist()


def test_of_a_polygon_with_far_corners_only_what_is_near_the_image_is_drawn(monkeypatch):
    drawn, original = [], coco.frPyObjects
    monkeypatch.setattr(coco, "frPyObjects", lambda given, *size: drawn.extend(given) or original(given, *size))
    draw(parse_segmentation([far(400)]), (480, 640))
    (polygon,) = drawn
    assert np.abs(np.diff(polygon.reshape(-1, 2), axis=0)).max(1).sum() < MAX_OUTLINE_LENGTH
    assert polygon.min() > -2 and polygon.max() < 642


def test_a_polygon_that_is_clipped_covers_what_it_covers_in_the_image():
    outside = [square(9e4, 9e4, 5e3)] * 200  # so long that everything is clipped
    band = [-9e4, 5, 9e4, 5, 9e4, 15, -9e4, 15]
    expected = np.zeros(SIZE, np.bool_)
    expected[5:15] = True
    assert (draw(parse_segmentation([band, *outside]), SIZE) == expected).all()
    assert draw(parse_segmentation([square(-9e4, -9e4, 18e4), *outside]), SIZE).all()
    assert not draw(parse_segmentation(outside), SIZE).any()


def test_an_outline_that_is_too_long_within_the_image_is_refused():
    zigzag = [value for k in range(10_000) for value in (k % 2 * 640, k / 10_000 * 480)]
    with pytest.raises(InvalidInput, match="pixels long; at most 2,000,000 are drawn"):
        draw(parse_segmentation([zigzag]), (480, 640))


@pytest.mark.parametrize("others", [[], [square(2, 2)]])
@pytest.mark.parametrize("counts", [b"04", b"P" * 9, b"\xff", b"garbage!", b""])
def test_run_lengths_that_do_not_add_up_never_reach_pycocotools(counts, others):
    """As a damaged index may hold them."""
    with pytest.raises(InvalidInput, match="run"):
        draw([Rle(counts, SIZE), *parse_segmentation(others)], SIZE)


# Mask files that are not black and one other value --------------------------------------------------------------------


def disc() -> Image.Image:
    image = Image.new("L", (100, 80))
    ImageDraw.Draw(image).ellipse((30, 20, 60, 50), fill=255)
    return image


TRUTH = np.array(disc()) > 0


def iou(path, image, **settings) -> float:
    image.save(path, **settings)
    found = read_mask(path)
    return (found & TRUTH).sum() / (found | TRUTH).sum()


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_the_noise_of_compression_is_cut_away(tmp_path, ending, quality):
    assert iou(tmp_path / f"mask.{ending}", disc(), quality=quality) > 0.97
    with Image.open(tmp_path / f"mask.{ending}") as image:
        assert iou(tmp_path / "again.png", image) > 0.97


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "F"])
def test_soft_edges_are_cut_in_the_middle(tmp_path, mode):
    soft = disc().resize((50, 40)).resize((100, 80), Image.Resampling.BILINEAR)
    if mode == "I;16":
        soft = Image.fromarray(np.asarray(soft).astype(np.uint16) * 257)
    assert iou(tmp_path / "mask.tif", soft if mode == "I;16" else soft.convert(mode)) > 0.97


@pytest.mark.parametrize("blurred", [False, True])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_of_a_cut_out_the_alpha_channel_counts(tmp_path, mode, blurred):
    colours = np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8)
    cut = Image.fromarray(colours).convert(mode)
    cut.putalpha(disc().filter(ImageFilter.GaussianBlur(1)) if blurred else disc())
    assert iou(tmp_path / "mask.png", cut) > 0.97


def test_alpha_that_hides_nothing_does_not_count(tmp_path):
    image = disc().convert("RGBA")
    image.putalpha(Image.fromarray(np.random.default_rng(0).integers(250, 256, (80, 100)).astype(np.uint8)))
    assert iou(tmp_path / "mask.png", image) == 1


@pytest.mark.parametrize("values", [(1, 2, 3), (128, 255, 255), (1, 255, 2), (38, 75, 113)])
def test_labels_are_inside_whatever_their_number(tmp_path, values):
    labels = np.zeros((80, 100), np.uint8)
    for value, left in zip(values, (0, 30, 70), strict=True):
        labels[20:50, left : left + 20] = value
    Image.fromarray(labels).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png") == (labels > 0)).all()


def test_many_small_labels_are_inside_too(tmp_path):
    labels = np.zeros((80, 100), np.uint8)
    for k in range(40):
        labels[10 * (k // 10) : 10 * (k // 10) + 6, 10 * (k % 10) : 10 * (k % 10) + 6] = k + 1
    Image.fromarray(labels).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png") == (labels > 0)).all()


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(8000).reshape(80, 100) % 256,
        np.random.default_rng(0).integers(0, 256, (80, 100, 3)),
        np.asarray(disc().filter(ImageFilter.GaussianBlur(15))),
        np.where(TRUTH, 255, 100),
    ],
)
def test_a_picture_that_is_no_mask_is_refused(tmp_path, pixels):
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(InvalidInput, match=r"mask\.png has more than two values"):
        read_mask(tmp_path / "mask.png")


def test_numbers_that_are_no_pixels_are_refused(tmp_path):
    for worst in (-1, np.nan, np.inf):
        Image.fromarray(np.where(TRUTH, 1, worst).astype(np.float32)).save(tmp_path / "mask.tif")
        with pytest.raises(InvalidInput, match="values that are negative or no numbers"):
            read_mask(tmp_path / "mask.tif")


def test_a_mask_file_of_which_pillow_says_syntax_error_is_called_damaged(tmp_path):
    file = io.BytesIO()
    disc().save(file, "PNG")
    (tmp_path / "mask.png").write_bytes(file.getvalue()[:20] + b"\xff" * 8 + file.getvalue()[28:])
    with pytest.raises(InvalidInput, match=r"mask\.png cannot be decoded"):
        read_mask(tmp_path / "mask.png")
