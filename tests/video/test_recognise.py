import pytest
from PIL import Image

from refseg.video.recognise import is_folder_of_frames


def folder(path, names, sizes=((40, 30),), exif=None):
    for k, name in enumerate(names):
        Image.new("RGB", sizes[k % len(sizes)]).save(path / name, **({"exif": exif} if exif else {}))
    return path


@pytest.mark.parametrize("names", [["8.png", "9.png", "10.png"], ["f_000.jpg", "f_005.jpg", "f_010.jpg"]])
def test_numbered_images_of_one_size_are_frames(tmp_path, names):
    (tmp_path / "notes.txt").touch()
    assert is_folder_of_frames(folder(tmp_path, names))


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (["1.png", "2.png", "3.png"], [(40, 30), (30, 40)]),
        (["000025.jpg", "000030.jpg", "000042.jpg"], [(40, 30)]),
        (["desk1.png", "lamp2.png"], [(40, 30)]),
        (["desk.png", "lamp.png"], [(40, 30)]),
        (["1.png"], [(40, 30)]),
        ([], [(40, 30)]),
    ],
)
def test_other_images_are_photographs(tmp_path, names, sizes):
    assert not is_folder_of_frames(folder(tmp_path, names, sizes))


def test_images_of_a_camera_are_photographs(tmp_path):
    exif = Image.Exif()
    exif[271] = "Maker"
    assert not is_folder_of_frames(folder(tmp_path, ["IMG_01.jpg", "IMG_02.jpg"], exif=exif))
