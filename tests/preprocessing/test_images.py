import io
import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from refseg.errors import InvalidInput, MissingFile
from refseg.preprocessing.images import open_image, read_image, still_kind

RED = (255, 0, 0)


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def red(mode: str) -> Image.Image:
    return Image.new("RGB", (4, 3), RED).convert(mode)


def assert_all(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int = 0) -> None:
    assert pixels.dtype == np.uint8 and pixels.shape == (3, 4, 3)
    assert np.abs(pixels.astype(int) - colour).max() <= tolerance


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_every_colour_mode_keeps_its_colour(mode):
    assert_all(read_image(red(mode)), RED, tolerance=3)


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "JPEG"), ("CMYK", "JPEG"), ("P", "GIF"), ("RGB", "BMP"), ("RGB", "WEBP")]
)
def test_every_file_format_keeps_its_colour(mode, kind):
    assert_all(read_image(file_of(red(mode), kind)), RED, tolerance=4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "I"])
def test_white_is_white_in_every_grey_mode(mode):
    white = Image.new(mode, (4, 3), {"I;16": 65535, "I": 65535, "LA": (255, 255)}.get(mode, 255))
    assert_all(read_image(white), (255, 255, 255))


def test_floats_in_a_tiff_go_from_zero_to_one():
    assert_all(read_image(file_of(Image.new("F", (4, 3), 0.5), "TIFF")), (128, 128, 128))


def test_sixteen_bits_are_scaled_to_eight():
    values = np.array([[0, 257, 65535, 32768]], dtype=np.uint16)
    assert read_image(values)[0, :, 0].tolist() == [0, 1, 255, 128]
    assert read_image(file_of(Image.fromarray(values)))[0, :, 0].tolist() == [0, 1, 255, 128]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_white(mode):
    assert_all(read_image(file_of(Image.new(mode, (4, 3)))), (255, 255, 255))


def test_a_transparent_palette_entry_is_white():
    image = Image.new("P", (4, 3), 0)
    image.putpalette([255, 0, 0] + [0] * 765)
    assert_all(read_image(file_of(image, transparency=0)), (255, 255, 255))


def test_half_transparent_array_pixels_are_mixed_with_white():
    assert_all(read_image(np.full((3, 4, 4), (0, 0, 0, 128), dtype=np.uint8)), (127, 127, 127), tolerance=1)


@pytest.mark.parametrize(
    ("orientation", "store"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, 1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
def test_photographs_are_turned_upright(orientation, store):
    upright = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(store(upright)))
    np.testing.assert_array_equal(read_image(file_of(stored, exif=exif)), upright)


def test_of_an_animation_the_first_frame_is_read():
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    assert_all(read_image(file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])), RED)


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 4), 255, np.uint8),
        np.full((3, 4, 1), 255, np.uint8),
        np.ones((3, 4), bool),
        np.ones((3, 4, 3), np.float32),
        np.ones((3, 4, 3), np.float64),
        np.full((3, 4, 4), 65535, np.uint16),
        torch.ones(3, 3, 4),
        torch.ones(3, 3, 4, dtype=torch.bfloat16),
        torch.full((3, 3, 4), 255, dtype=torch.uint8),
    ],
    ids=str,
)
def test_arrays_and_tensors_of_ones_are_white(array):
    assert_all(read_image(array), (255, 255, 255))


def test_the_array_is_copied():
    array = np.zeros((3, 4, 3), np.uint8)
    read_image(array)[:] = 1
    assert array.max() == 0


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((3, 4, 2), np.uint8), r"shape \(3, 4, 2\)"),
        (np.zeros((2, 3, 4, 3), np.uint8), "shape"),
        (np.zeros((3, 4, 3), np.int64), "int64"),
        (np.full((3, 4), 200.0), "0 to 1"),
        (np.full((3, 4), np.nan), "0 to 1"),
        (torch.zeros(1, 3, 4, 4), "shape"),
        (torch.zeros(4, 4, 3), "shape"),
        (b"", "empty"),
        (b"no image at all", "unknown format"),
        (None, "NoneType is not an image"),
        (42, "int is not an image"),
        (np.broadcast_to(np.uint8(0), (10_001, 10_000)), "100 are allowed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_image_is_refused_in_one_line(image, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        read_image(image)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_a_file_cut_off_anywhere_is_refused(kind, share):
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    whole = file_of(Image.fromarray(noise), kind)
    with pytest.raises(InvalidInput):
        read_image(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("size", [(20_000, 5_001), (50_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_more_than_a_hundred_megapixels_are_refused_before_they_are_decoded(size):
    header = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    pixels = b"IDAT" + zlib.compress(b"0")
    with warnings.catch_warnings(), pytest.raises(InvalidInput, match="megapixels"):
        warnings.simplefilter("error")
        read_image(png + struct.pack(">I", len(pixels) - 4) + pixels + struct.pack(">I", zlib.crc32(pixels)))


def test_what_is_too_large_is_refused_with_the_same_words_whoever_opens_it(tmp_path):
    content = file_of(Image.new("1", (20_000, 5_001)))
    (tmp_path / "large.png").write_bytes(content)
    said = r"has 100 megapixels \(20000 x 5001\), at most 100 are allowed; make it smaller first"
    for read in (read_image, open_image):
        with warnings.catch_warnings(), pytest.raises(InvalidInput, match=said):
            warnings.simplefilter("error")
            read(tmp_path / "large.png")
    with pytest.raises(InvalidInput, match=said):
        read_image(content)


def test_a_side_that_no_photograph_has_is_refused():
    with pytest.raises(InvalidInput, match="1 x 100001, at most 100000 pixels a side"):
        read_image(np.broadcast_to(np.uint8(0), (100_001, 1)))


def text(size: int, compressed: bool = True) -> PngInfo:
    about = PngInfo()
    about.add_text("workflow", "x" * size, zip=compressed)
    return about


def many_texts() -> PngInfo:
    about = PngInfo()
    for number in range(70):
        about.add_itxt(f"part {number}", "x" * (1 << 20), zip=True)
    return about


@pytest.mark.parametrize(
    "options",
    [
        {"pnginfo": text(2 << 20)},
        {"pnginfo": text(70 << 20, compressed=False)},
        {"pnginfo": many_texts()},
        {"icc_profile": bytes(2 << 20)},
    ],
    ids=["a long text", "a long text as it is", "many texts", "a large profile"],
)
def test_texts_and_profiles_that_pillow_refuses_do_not_make_a_png_unreadable(options):
    assert_all(read_image(file_of(red("RGB"), **options)), RED)


def test_a_long_text_behind_the_pixels_is_passed_over_too(tmp_path):
    content = file_of(red("RGB"))
    note = b"zTXtworkflow\0\0" + zlib.compress(bytes(2 << 20))
    chunk = struct.pack(">I", len(note) - 4) + note + struct.pack(">I", zlib.crc32(note))
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk + content[-12:])
    assert_all(read_image(tmp_path / "a.png"), RED)


def test_of_texts_only_those_that_are_too_long_are_passed_over():
    about = text(2 << 20)
    about.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>' + " " * 2**21)
    assert read_image(file_of(red("RGB"), pnginfo=about)).shape == (4, 3, 3)


def heif(major: bytes, *others: bytes, boxes: bytes = b"") -> bytes:
    brands = major + bytes(4) + b"".join(others)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + boxes


@pytest.mark.parametrize("brands", [[b"heic"], [b"mif1", b"heic"], [b"msf1"], [b"miaf", b"mif1"], [b"avci"]])
def test_a_picture_of_a_telephone_is_refused_with_the_way_to_convert_it(brands):
    with pytest.raises(InvalidInput, match="is a picture in HEIC, which cannot be read; convert it to JPEG or PNG"):
        read_image(heif(*brands) + bytes(100))


def test_an_eps_is_not_decoded_whatever_its_name(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(InvalidInput, match="not an image"):
        read_image(tmp_path / "photo.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "photo.png")
    for read in (read_image, open_image):
        with pytest.raises(InvalidInput, match="is not a file"):
            read(tmp_path / "photo.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16", "F"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_images_are_read_in_strips_that_join_without_a_seam(mode, orientation, monkeypatch):
    values = np.random.default_rng(0).integers(0, 255, (23, 9), np.uint8)
    stored = {"F": values / np.float32(255), "I;16": values.astype(np.uint16) * 257}
    whole = Image.fromarray(stored[mode]) if mode in stored else Image.fromarray(values).convert(mode)
    whole.getexif()[0x0112] = orientation
    at_once = read_image(whole)
    monkeypatch.setattr("refseg.preprocessing.images._STRIP_PIXELS", 30)
    np.testing.assert_array_equal(read_image(whole), at_once)
    assert len(np.unique(at_once)) > 50


@pytest.mark.parametrize("name", ["large.jpg", "large.png"])
def test_an_image_is_read_with_one_copy_of_its_pixels_besides_the_decoder_s(name, tmp_path):
    width, height = 4000, 3000
    Image.new("RGB", (width, height)).save(tmp_path / name)
    program = f"""
from refseg.inspection.peak_memory import peak_memory
from refseg.preprocessing.images import open_image, read_image, still_kind
from PIL import Image
Image.init()
before = peak_memory()
read_image({str(tmp_path / name)!r})
print(peak_memory() - before)
"""
    taken = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(taken) < (4 + 3 + 1.5) * width * height  # Pillow's pixels have four bytes, ours three


def test_missing_files_folders_and_empty_files_are_told_apart(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(MissingFile, match="missing"):
        read_image(tmp_path / "none.png")
    with pytest.raises(InvalidInput, match="folder"):
        read_image(str(tmp_path))
    with pytest.raises(InvalidInput, match="empty"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(InvalidInput, match="not a file"):
        read_image("/dev/null")
    with pytest.raises(InvalidInput, match="opened"):
        read_image("x" * 5000)


def test_paths_and_bytes_give_the_same(tmp_path):
    whole = file_of(red("RGB"))
    (tmp_path / "red.png").write_bytes(whole)
    np.testing.assert_array_equal(read_image(tmp_path / "red.png"), read_image(whole))


@pytest.mark.parametrize("size", [2**64 - 1, 2**63, 2**40])
def test_a_box_that_says_it_is_larger_than_any_file_is_the_last_one(size):
    boxes = struct.pack(">I4s8s", 16, b"ftyp", b"mif1") + struct.pack(">I4sQ", 1, b"meta", size) + bytes(100)
    assert still_kind(io.BytesIO(boxes)) == "HEIC"
