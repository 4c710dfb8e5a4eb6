import os
import struct
import sys
import weakref
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, features

from refseg.errors import InvalidInput, MissingFile
from refseg.video.formats import is_video_file
from refseg.video.reading import is_video, read_frames


def test_frames_come_in_order_with_their_times(write_video, numbers):
    frames = read_frames(write_video())
    assert frames.count == 20
    for _ in range(2):  # reading begins anew
        read = list(frames)
        assert numbers(read) == [frame.index for frame in read] == list(range(20))
        assert [frame.time for frame in read] == [Fraction(k, 24) for k in range(20)]
        assert read[0].pixels.shape == (48, 64, 3) and read[0].pixels.dtype == np.uint8
    assert frames.remarks == []
    red, green, blue = read[0].pixels[4, 4].tolist()
    assert red > 180 and green < 60 and blue < 60


def test_a_variable_frame_rate_is_kept(write_video):
    times = [0, 40, 45, 300, 1000, 1001, 5000]
    frames = list(read_frames(write_video(count=7, times=times, base=Fraction(1, 1000))))
    assert [frame.time for frame in frames] == [Fraction(time, 1000) for time in times]


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((0, 1, -1, 0), lambda shown: np.rot90(shown, -1)),  # a quarter to the right, as a telephone held upright
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, -1), lambda shown: shown[::-1, ::-1]),
        ((-1, 0, 0, 1), np.fliplr),
        ((0, 1, 1, 0), lambda shown: shown.swapaxes(0, 1)),
    ],
)
def test_frames_are_turned_as_the_video_says(write_video, display_matrix, matrix, upright):
    path = write_video(count=2)
    (stored, *_) = read_frames(path)
    display_matrix(path, *matrix)
    (turned, *_) = read_frames(path)
    np.testing.assert_array_equal(turned.pixels, upright(stored.pixels))


def test_odd_sizes_are_read(write_video):
    frames = list(read_frames(write_video("odd.mkv", 3, size=(65, 97), codec="ffv1")))
    assert [frame.pixels.shape for frame in frames] == [(65, 97, 3)] * 3


def test_a_video_that_is_cut_off_is_read_as_far_as_it_goes_and_remarked(write_video, numbers):
    path = write_video(count=36, base=Fraction(1, 4), movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    frames = read_frames(path)
    read = list(frames)
    assert 5 < len(read) < 36 and numbers(read)[:-1] == list(range(len(read) - 1))
    assert any("is cut off" in remark for remark in frames.remarks)


def test_damage_within_a_video_costs_a_few_frames(write_video, numbers):
    path = write_video(count=36)
    content = bytearray(path.read_bytes())
    begin, end = content.index(b"mdat"), content.index(b"moov")
    middle, some = (begin + end) // 2, (end - begin) // 12
    content[middle : middle + some] = bytes(some)
    path.write_bytes(content)
    frames = read_frames(path)
    read = list(frames)
    assert len(read) > 25 and numbers(read)[-1] == 35
    assert [frame.index for frame in read] == list(range(len(read)))
    assert all(a.time < b.time for a, b in zip(read, read[1:], strict=False))


def test_a_header_at_the_end_that_is_cut_off_is_an_error(write_video):
    path = write_video()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InvalidInput, match=r"clip\.mp4 .* cut off"):
        read_frames(path)


def test_a_video_without_a_frame_is_an_error(write_video):
    path = write_video("none.mkv", 0)
    with pytest.raises(InvalidInput, match="none.mkv"):
        list(read_frames(path))


def test_sound_alone_is_an_error(tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed")
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InvalidInput, match="holds no video"):
        read_frames(path)


@pytest.mark.parametrize("content", [bytes(range(256)) * 9, b"#EXTM3U\nhttp://127.0.0.1:9/clip.ts\n", b"just text\n"])
def test_what_is_no_video_is_an_error_in_one_line(tmp_path, content):
    pytest.importorskip("av", reason="PyAV is not installed")
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        list(read_frames(tmp_path / "file"))
    assert str(tmp_path / "file") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("missing.mp4", MissingFile, "is missing"),
        ("empty.mp4", InvalidInput, "is empty"),
        ("none", InvalidInput, "none"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, name, error, said):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "notes.txt").touch()
    with pytest.raises(error, match=said):
        read_frames(tmp_path / name)


NO_VIDEOS = {
    "notes.txt": b"a text that is no video\n" * 20,
    "page.pdf": b"%PDF-1.4\n1 0 obj\n",
    "page.html": b"<!doctype html><p>a page</p>\n",
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "files.zip": b"PK\x03\x04" + bytes(60),
    "array.npy": b"\x93NUMPY\x01\x00v\x00" + bytes(118),
    "icon.ico": b"\x00\x00\x01\x00\x01\x00" + bytes(40),
    "photo.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "list.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.ts\n#EXT-X-ENDLIST\n",
    "list.ffconcat": b"ffconcat version 1.0\nfile clip.mp4\n",
    "list.mpd": b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
    "call.sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5000 RTP/AVP 96\n",
    "half.png": b"\x89PNG\r\n\x1a\n\0\0\0",
}


@pytest.mark.parametrize("name", NO_VIDEOS)
def test_what_is_neither_an_image_nor_a_video_is_told(tmp_path, name):
    (tmp_path / name).write_bytes(NO_VIDEOS[name])
    with pytest.raises(InvalidInput, match="neither an image nor a video"):
        is_video(tmp_path / name)


@pytest.mark.parametrize("name", ["notes.txt", "page.pdf", "list.m3u8", "list.ffconcat", "call.sdp"])
def test_texts_and_playlists_are_not_read_as_videos(tmp_path, write_video, name):
    write_video("clip.mp4")
    write_video("clip.ts", codec="mpeg2video")
    (tmp_path / name).write_bytes(NO_VIDEOS[name])
    with pytest.raises(InvalidInput, match="neither an image nor a video"):
        read_frames(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("clip." + ending, "mpeg4") for ending in ("mp4", "mov", "3gp", "mkv", "avi")),
        *(("clip." + ending, "mpeg2video") for ending in ("ts", "m2ts", "mpg", "vob", "m2v")),
        ("clip.wmv", "wmv2"),
        ("clip.flv", "flv"),
        ("clip.nameless", "mpeg4"),
    ],
)
def test_videos_are_known_by_their_first_bytes(tmp_path, write_video, name, codec):
    path = write_video("clip.mp4" if name == "clip.nameless" else name, 3, codec=codec)
    path = path.rename(tmp_path / name)
    assert is_video(path) and len(list(read_frames(path))) == 3


def test_a_video_without_a_container_is_known_by_its_start_code(tmp_path):
    for code, known in ((b"\0\0\1\xb3", True), (b"\0\0\0\1\x67", True), (b"\0\0\1\0", False)):
        (tmp_path / "file").write_bytes(code + bytes(99))
        assert is_video_file(tmp_path / "file") == known


def test_a_picture_of_a_telephone_is_no_video(tmp_path):
    path = tmp_path / "photo.heic"
    path.write_bytes(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + struct.pack(">I", 16) + b"mdat" + bytes(8))
    assert not is_video(path)  # `read_image` says how to convert it
    with pytest.raises(InvalidInput, match="picture in HEIC, which cannot be read; convert it"):
        read_frames(path)


def test_a_title_in_another_encoding_does_not_matter(write_video):
    path = write_video("clip.mkv", metadata={"title": "T" * 8})
    content = path.read_bytes()
    assert b"T" * 8 in content
    path.write_bytes(content.replace(b"T" * 8, b"\xe4\xf6\xfc\xff" * 2))
    assert len(list(read_frames(path))) == 20


def test_a_single_image_is_no_video(tmp_path, picture):
    Image.fromarray(picture(0)).save(tmp_path / "one.jpg")
    assert not is_video(tmp_path / "one.jpg") and not is_video(tmp_path / "missing.mp4")
    with pytest.raises(InvalidInput, match="is a single image"):
        read_frames(tmp_path / "one.jpg")
    with pytest.raises(InvalidInput, match="bytes is not a video"):
        read_frames(b"abc")


def test_without_pyav_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "clip.mp4").write_bytes(b"video")
    with pytest.raises(InvalidInput, match=r"needs PyAV .*; install it with: pip install 'refseg\[video\]'"):
        read_frames(tmp_path / "clip.mp4")


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "avif"])
def test_an_animation_of_any_format_is_a_video(tmp_path, picture, numbers, kind):
    if kind in ("webp", "avif") and not features.check(kind):
        pytest.skip(f"this Pillow reads no {kind}")
    path = tmp_path / f"clip.{kind}"
    images = [Image.fromarray(picture(number)) for number in range(4)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 40, 60, 100])
    assert is_video(path)
    frames = list(read_frames(path))
    assert numbers(frames) == [0, 1, 2, 3] and [frame.time * 1000 for frame in frames] == [0, 100, 140, 200]
    images[0].save(path)
    assert not is_video(path)


def test_an_animation_has_whole_frames_and_the_times_that_browsers_show(tmp_path, picture, numbers):
    path = tmp_path / "clip.gif"
    images = [Image.fromarray(picture(number)) for number in range(5)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 40, 0, 250, 100], loop=0)
    assert is_video(path)
    frames = list(read_frames(path))
    assert numbers(frames) == [0, 1, 2, 3, 4]
    assert [frame.time * 1000 for frame in frames] == [0, 100, 140, 240, 490]


def test_a_cut_off_animation_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "clip.gif"
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)) for _ in range(6)]
    images[0].save(path, save_all=True, append_images=images[1:])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    frames = read_frames(path)
    assert 2 <= len(list(frames)) < 6


def test_a_folder_is_read_in_natural_order(tmp_path, picture, numbers):
    for number in (0, 9, 10, 2):
        Image.fromarray(picture(number)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "Thumbs.db").write_bytes(b"no frame")
    (tmp_path / ".hidden.png").write_bytes(b"no frame")
    assert is_video(tmp_path)
    frames = read_frames(tmp_path)
    assert frames.count == 4 and numbers(frames) == [0, 2, 9, 10]
    assert [frame.time for frame in frames] == [Fraction(k, 24) for k in range(4)]


def test_a_video_ends_where_its_frames_change_their_size(picture):
    frames = read_frames([picture(0), picture(1), picture(2, width=32), picture(3)])
    assert [frame.index for frame in frames] == [0, 1]
    assert frames.remarks == [
        "frame 2 of the video is 32 x 48, those before are 64 x 48: the video ends there; what comes after is not "
        "answered"
    ]


def test_a_video_file_ends_where_its_frames_change_their_size(write_video):
    first, second = (
        write_video("a.ts", 5, codec="mpeg2video"),
        write_video("b.ts", 5, size=(96, 128), codec="mpeg2video"),
    )
    first.write_bytes(first.read_bytes() + second.read_bytes())
    frames = read_frames(first)
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    assert any("is 128 x 96, those before are 64 x 48" in remark for remark in frames.remarks)


def test_a_folder_of_images_of_different_sizes_is_no_video(tmp_path, picture):
    for number, width in enumerate((64, 64, 32)):
        Image.fromarray(picture(number, width=width)).save(tmp_path / f"{number}.png")
    with pytest.raises(InvalidInput, match=r"different sizes \(0\.png is 64 x 48, 2\.png is 32 x 48\).* one by one"):
        read_frames(tmp_path)


def test_photographs_of_a_folder_are_of_one_size_once_they_are_turned(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0)).save(tmp_path / "0.jpg")
    Image.fromarray(picture(1).swapaxes(0, 1).copy()).save(tmp_path / "1.jpg", exif=exif)
    assert [frame.pixels.shape for frame in read_frames(tmp_path)] == [(48, 64, 3)] * 2


def test_a_folder_that_may_not_be_entered_is_told(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(InvalidInput, match="cannot be listed"):
        read_frames(tmp_path)
    monkeypatch.setattr("pathlib.Path.stat", refuse)  # as within a folder that may not be entered
    with pytest.raises(InvalidInput, match=r"cannot be opened \(Permission denied\)"):
        read_frames(tmp_path / "clip.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_of_a_folder_that_may_not_be_entered_is_no_video(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    assert not is_video(tmp_path / "locked" / "clip.mp4")


def test_a_name_that_no_file_may_have_is_told(tmp_path):
    path = tmp_path / ("x" * 300 + ".mp4")
    assert not is_video(path)
    with pytest.raises(InvalidInput, match="File name too long"):
        read_frames(path)


def test_times_grow_whatever_a_file_says(write_video, picture):
    from refseg.video.frames import Frames

    given = [None, Fraction(2), Fraction(1), None, Fraction(5)]
    frames = Frames("odd", lambda remarks: ((time, picture(0)) for time in given), time_base=Fraction(1, 10))
    assert [float(frame.time) for frame in frames] == [0, 2, 2.1, 2.2, 5]


def test_frames_are_not_kept(write_video):
    alive: list[weakref.ref] = []
    for frame in read_frames(write_video(count=30)):
        alive.append(weakref.ref(frame))
        assert sum(one() is not None for one in alive) <= 2


@pytest.mark.parametrize("size", ["W30000 H30000", "W0 H0"])
def test_a_size_that_no_video_has_is_told_as_what_is_wrong(tmp_path, size):
    pytest.importorskip("av", reason="videos need PyAV")
    path = tmp_path / "a.y4m"
    path.write_bytes(f"YUV4MPEG2 {size} F25:1 Ip A1:1 C420jpeg\nFRAME\n".encode() + bytes(1000))
    with pytest.raises(InvalidInput, match="such as a size of 0 or of too many pixels"):
        read_frames(path)
