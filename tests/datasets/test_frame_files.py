import numpy as np
import pytest
from PIL import Image

from refseg.datasets.storage.frame_files import FrameFiles, find_frame
from refseg.errors import InvalidInput, MissingFile
from refseg.preprocessing.images import read_image


@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".jpeg", ".JPEG", ".png", ".PNG", ".Jpg"])
def test_a_frame_is_found_whatever_its_ending(tmp_path, ending):
    (tmp_path / f"00000{ending}").touch()
    (tmp_path / "00000.txt").touch()
    assert find_frame(tmp_path, "00000").name == f"00000{ending}"


def test_the_first_of_two_endings_is_taken(tmp_path):
    for name in ("00000.png", "00000.jpg", "00000.JPEG"):
        (tmp_path / name).touch()
    assert find_frame(tmp_path, "00000").name == "00000.jpg"


def test_a_frame_that_is_missing_is_named_when_it_is_read(tmp_path):
    frames = FrameFiles([find_frame(tmp_path / "video", "00000")], "mevis")
    with pytest.raises(MissingFile, match=r"video/00000\.jpg is missing"):
        frames.read(0)


def test_a_frame_outside_of_its_folder_is_refused(tmp_path):
    (tmp_path / "secret.png").touch()
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "link.png").symlink_to(tmp_path / "secret.png")
    for name in ("../secret", "link"):
        with pytest.raises(InvalidInput, match="frame"):
            find_frame(tmp_path / "frames", name)


def test_frames_have_the_pixels_that_segment_sees(tmp_path):
    sixteen = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    Image.fromarray(sixteen).save(tmp_path / "00000.png")
    frames = FrameFiles([tmp_path / "00000.png"], "mevis")
    np.testing.assert_array_equal(frames.read(0), read_image(tmp_path / "00000.png"))


def test_a_frame_of_which_pillow_says_syntax_error_is_called_damaged(tmp_path):
    file = tmp_path / "00000.png"
    Image.new("RGB", (30, 20)).save(file)
    content = file.read_bytes()
    file.write_bytes(content[:20] + b"\xff" * 8 + content[28:])
    with pytest.raises(InvalidInput, match=r"00000\.png cannot be decoded"):
        FrameFiles([file], "mevis").read(0)
