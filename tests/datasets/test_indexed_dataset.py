import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from refseg import datasets
from refseg.array_types import Mask
from refseg.cli import app
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.errors import InvalidInput, MissingFile, RefsegError
from refseg.preprocessing.images import read_image


@pytest.fixture
def lines(files):
    """A data set of these lines of JSON, in a folder that is not the current one."""

    def build(*entries: dict, **settings) -> IndexedDataset:
        text = "".join(json.dumps({"expression": "it", "mask": [], **entry}) + "\n" for entry in entries)
        files.bytes("d.jsonl", text.encode())
        return datasets.build("jsonl", split="all", root=files.root, **settings)

    return build


def region(left: int) -> Mask:
    mask = np.zeros((20, 30), np.bool_)
    mask[5:15, left : left + 10] = True
    return mask


def save(path: Path, mask: Mask) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


# Where images and masks are looked for --------------------------------------------------------------------------------


@pytest.fixture
def two_masks(files, lines):
    """Two expressions about one image with a mask file each."""
    files.photograph("a.png")
    save(files.root / "left.png", region(2))
    save(files.root / "right.png", region(18))
    return lines(
        {"image": "a.png", "expression": "left", "mask": "left.png"},
        {"image": "a.png", "expression": "right", "mask": "right.png"},
    )


def test_mask_files_are_looked_for_beside_the_annotations_only(two_masks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "right.png", region(0))  # of another data set
    (sample,) = two_masks
    assert (sample.mask(0) == region(2)).all()
    assert [(mask == region(18)).all() for mask in sample.others(0)] == [True]


def test_data_check_finds_mask_files_from_any_folder(two_masks, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checked = CliRunner().invoke(app, ["data", "check", "jsonl", "--root", str(files.root)])
    assert checked.exit_code == 0, checked.output


def test_an_answer_that_takes_in_too_much_is_scored_from_any_folder(two_masks, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, mask in (("1", region(2) | region(18)), ("2", region(18))):
        path = tmp_path / "answers" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        save(path, mask)
    command = ["score", "answers", "jsonl", "--root", str(files.root), "--split", "all", "--out", "out"]
    scored = CliRunner().invoke(app, command)
    assert scored.exit_code == 0, scored.output


def test_masks_that_are_black_inside_stay_so_for_other_objects(files):
    pytest.importorskip("scipy")
    files.photograph("images/1.jpg")
    for number, left in ((1, 2), (2, 18)):
        (files.root / "mask").mkdir(exist_ok=True)
        save(files.root / "mask" / f"1_{number}.png", ~region(left))
    files.json("referit_query_test.json", {"1_1": ["left"], "1_2": ["right"]})
    (sample,) = datasets.build("referit", split="test", root=files.root, inverted=True)
    (other,) = sample.others(0)
    assert (other == region(18)).all()


OUTSIDE = ["../secret.png", "/etc/hostname", "a/../../secret.png", "images/../../secret.png", "~/../secret.png"]


@pytest.fixture
def secret(files):
    """A file beside the folder of the data set."""
    return files.photograph("../secret.png")


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_image_outside_of_the_folders_is_refused_with_the_way_out(files, lines, secret, name):
    (sample,) = lines({"image": name})
    with pytest.raises(InvalidInput, match=r"use names relative to the folder.*or give the folder .* images=\.\.\."):
        _ = sample.image


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_mask_outside_of_the_folder_is_refused(files, lines, secret, name):
    files.photograph("a.png")
    (sample,) = lines({"image": "a.png", "mask": name})
    with pytest.raises(InvalidInput, match=r"use names relative to the folder"):
        sample.mask(0)


def test_the_way_out_leads_out(files, lines, secret):
    (sample,) = lines({"image": "../secret.png"}, images=secret.parent.resolve())
    assert sample.image.shape == (20, 30, 3)


@pytest.mark.parametrize("name", ["/home/somebody/photos/a.png", "C:\\photos\\a.png", "../photos/a.png"])
def test_a_path_on_another_machine_is_found_by_its_last_part(files, lines, name):
    files.photograph("images/a.png")
    (sample,) = lines({"image": name})
    assert sample.image_path == files.root / "images" / "a.png"


def test_a_file_beside_the_folder_of_the_data_set_is_none_of_its_images(files, lines, secret):
    (sample,) = lines({"image": "secret.png"})
    with pytest.raises(MissingFile):
        _ = sample.image


def test_links_that_lead_out_are_refused(files, lines, secret):
    (files.root / "link.png").symlink_to(secret)
    (files.root / "folder").symlink_to(secret.parent)
    for name in ("link.png", "folder/secret.png"):
        (sample,) = lines({"image": name, "mask": name})
        with pytest.raises(InvalidInput, match="is a link that leads out"):
            _ = sample.image
        with pytest.raises(InvalidInput, match="is a link that leads out"):
            sample.mask(0)


def test_the_folder_of_images_may_be_a_link(files, lines, tmp_path):
    files.photograph("../elsewhere/a.png")
    (files.root / "images").symlink_to(tmp_path / "elsewhere")
    (sample,) = lines({"image": "a.png"})
    assert sample.image.shape == (20, 30, 3)


def test_an_image_that_is_missing_or_that_no_disk_can_hold_is_named(lines):
    for name, message in (("b.png", "b.png is missing"), ("b" * 300 + ".png", "bbb")):
        (sample,) = lines({"image": name})
        with pytest.raises(RefsegError, match=message):
            _ = sample.image


# What pixels there are---------------------------------------------------------------------------------------------


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30))


def thirty_two_bits() -> Image.Image:
    return Image.fromarray(np.linspace(0, 65535, 600).astype(np.int32).reshape(20, 30))


def floats() -> Image.Image:
    return Image.fromarray(np.linspace(0, 1, 600).astype(np.float32).reshape(20, 30))


def hidden_colours() -> Image.Image:
    pixels = np.full((20, 30, 4), (10, 10, 10, 0), np.uint8)
    pixels[5:15, 5:15] = (200, 30, 30, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("image", [sixteen_bits, thirty_two_bits, floats, hidden_colours])
def test_a_data_set_has_the_pixels_that_segment_sees(files, lines, image):
    image().save(files.root / "a.tif")
    (sample,) = lines({"image": "a.tif"})
    np.testing.assert_array_equal(sample.image, read_image(files.root / "a.tif"))


def test_a_photograph_of_a_data_set_is_not_turned(files, lines):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(files.root / "a.jpg", exif=exif)
    (sample,) = lines({"image": "a.jpg"})
    assert sample.image.shape == (20, 30, 3) and sample.size_hw == (20, 30)


def test_a_long_text_in_a_png_is_no_damage(files, lines):
    about = PngInfo()
    about.add_text("workflow", "x" * (2 << 20), zip=True)
    Image.new("RGB", (30, 20)).save(files.root / "a.png", pnginfo=about)
    (sample,) = lines({"image": "a.png"})
    assert sample.image.shape == (20, 30, 3)


def test_a_photograph_of_which_pillow_says_syntax_error_is_called_damaged(files, lines):
    content = files.photograph("a.png").read_bytes()
    files.bytes("a.png", content[:20] + b"\xff" * 8 + content[28:])
    (sample,) = lines({"image": "a.png"})
    with pytest.raises(InvalidInput, match=r"a\.png cannot be decoded .* is image a\.png damaged or cut off"):
        _ = sample.image


def test_a_photograph_larger_than_any_that_is_read_is_refused_for_its_annotated_size(files):
    files.photograph("images/a.png")
    content = files.coco({1: "a.png"}, {1: (1, [files.square(0, 0)])})
    content["images"][0] |= {"height": 2**30, "width": 2**30}
    files.json("instances.json", content)
    files.json("refs(x).json", [files.ref(1, 1, 1, "it")])
    with pytest.raises(InvalidInput, match=r"1073741824 x 1073741824 pixels is not allowed|so many pixels"):
        datasets.build("refer", split="train", root=files.root)
