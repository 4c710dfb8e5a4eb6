import gzip
import sys

import numpy as np
import pytest

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile

ROW = "{},0,0,0,0,320,240,5,{}\n"


@pytest.fixture
def a2d(files):
    """Video -a has two actors, one of which is only in frame 2, and three frames as files."""
    files.bytes("Release/videoset.csv", (ROW.format("-a", 0) + ROW.format("b", 1) + ROW.format("c", 0)).encode())
    text = 'video_id,instance_id,query\n-a,0,"a dog, brown, runs"\n-a,3,the cat\nb,0,bird flying\nb,1 (copy),bird\n'
    files.bytes("text_annotations/a2d_annotation.txt", text.encode())
    for video in ("-a", "b"):
        for number in (1, 2, 3):
            files.photograph(f"Release/frames/{video}/{number:05d}.png")
    return lambda split, **settings: datasets.build("a2d_sentences", split=split, root=files.root, **settings)


@pytest.fixture
def masks(files):
    """Writes a frame's file: actors' numbers and their masks (N, H, W)."""
    h5py = pytest.importorskip("h5py", reason="the masks of A2D need h5py")

    def write(video: str, number: int, actors: list[int], values: np.ndarray) -> None:
        path = files.root / f"text_annotations/a2d_annotation_with_instances/{video}/{number:05d}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["instance"] = np.array(actors)
            file["reMask"] = values.swapaxes(-1, -2).astype(np.uint8)  # MATLAB's order: N x W x H
            file["reBBox"] = np.zeros((4, len(actors)))

    return write


def test_expressions_are_those_of_the_table_without_the_copy(a2d):
    (clip,) = a2d("train")
    assert [(e.text, e.targets, e.id) for e in clip.expressions] == [
        ("a dog, brown, runs", (0,), "-a/0"),
        ("the cat", (3,), "-a/1"),
    ]
    assert [clip.clip_id for clip in a2d("all")] == ["-a", "b"] and a2d("test").expression_count == 1


def test_frames_are_counted_from_1_and_those_without_the_actor_are_left_out(a2d, masks):
    values = np.zeros((3, 20, 30), np.uint8)
    values[0, 2:6, 3:9], values[1, 10:14, 3:9], values[2, 10:12, 9:12] = 1, 1, 1
    masks("-a", 1, [0], values[0])  # 2-D where there is one actor
    masks("-a", 3, [0, 3, 3], values)  # an actor in two pieces
    clip = a2d("train")[0]
    assert clip.annotated_frames(0) == (0, 2) and clip.annotated_frames(1) == (2,)
    np.testing.assert_array_equal(clip.mask(0, 0), values[0] > 0)
    np.testing.assert_array_equal(clip.mask(1, 2), (values[1] | values[2]) > 0)
    assert not clip.mask(1, 0).any()
    with pytest.raises(InvalidInput, match=r"frame 1 of -a is not annotated .*00002\.h5 is missing"):
        clip.mask(0, 1)


def test_damaged_masks_are_named(a2d, masks, files):
    masks("-a", 1, [0, 1, 2], np.zeros((2, 20, 30)))
    clip = a2d("train")[0]
    with pytest.raises(InvalidInput, match=r"00001\.h5 has 3 actors and 2 masks"):
        clip.mask(0, 0)
    files.bytes("text_annotations/a2d_annotation_with_instances/-a/00001.h5", b"HDF")
    with pytest.raises(InvalidInput, match=r"00001\.h5 cannot be read as an HDF5 file"):
        a2d("train")[0].annotated_frames(0)
    masks("-a", 1, [0], np.zeros((1, 7, 8)))
    with pytest.raises(InvalidInput, match=r"00001\.h5: 8 x 7 pixels, and the frames of -a are 30 x 20"):
        a2d("train")[0].mask(0, 0)


@pytest.fixture
def odd_file(a2d, masks, files):
    """Writes the file of frame 1 of video -a by a function of an open HDF5 file that has good masks."""
    import h5py

    def write(change) -> None:
        masks("-a", 1, [0], np.zeros((1, 20, 30)))
        with h5py.File(files.root / "text_annotations/a2d_annotation_with_instances/-a/00001.h5", "a") as file:
            for name in ("instance", "reMask") if change is no_arrays else ("reMask",):
                del file[name]
            change(file)

    return write


def no_arrays(file) -> None:
    file["instance"], file["reMask"] = np.empty((0,)), np.empty((0, 5))


def a_group(file) -> None:
    file.create_group("reMask")


def a_link_in_circles(file) -> None:
    import h5py

    file["reMask"] = h5py.SoftLink("/reMask")


def a_link_to_another_file(file) -> None:
    import h5py

    file["reMask"] = h5py.ExternalLink("other.h5", "/reMask")


def numbers_of_another_file(file) -> None:
    file.create_dataset("reMask", (1, 30, 20), "u1", external=[("/etc/passwd", 0, 600)])


def letters(file) -> None:
    file["reMask"] = "a text"


def nothing(file) -> None:
    import h5py

    file["reMask"] = h5py.Empty("u1")


def forty_gigabytes(file) -> None:
    file.create_dataset("reMask", (1, 200_000, 200_000), "u1", chunks=(1, 1000, 1000))


def a_line(file) -> None:
    file["reMask"] = np.zeros(600)


@pytest.mark.parametrize(
    "change",
    [
        no_arrays,
        a_group,
        a_link_in_circles,
        a_link_to_another_file,
        numbers_of_another_file,
        letters,
        nothing,
        forty_gigabytes,
        a_line,
    ],
)
def test_masks_that_are_no_array_of_the_file_are_refused(a2d, odd_file, change):
    odd_file(change)
    with pytest.raises(InvalidInput, match=r"00001\.h5: reMask"):
        a2d("train")[0].mask(0, 0)


def test_numbers_of_actors_are_numbers(a2d, masks):
    masks("-a", 1, [float("nan")], np.zeros((1, 20, 30)))
    with pytest.raises(InvalidInput, match="instance holds a number that is none of an actor"):
        a2d("train")[0].mask(0, 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../up,0,a dog", r"line 2: video '\.\./up' leaves its folder"),
        (f"-a,{'1' * 5000},a dog", "line 2 is not as the format says"),
        (f"-a,{'1' * 20},a dog", "line 2: instance 1+ is no number of an actor"),
        ("-a,0,le caf\xe9", "line 2 is not UTF-8; save it as UTF-8"),
        (f"-a,0,{'long ' * 40_000}", "line 2 is not as the format says .field larger"),
    ],
)
def test_rows_that_cannot_be_used_are_named(a2d, files, row, message):
    files.bytes("Release/videoset.csv", (ROW.format("../up", 0) + ROW.format("-a", 0)).encode())
    files.bytes("text_annotations/a2d_annotation.txt", f"video_id,instance_id,query\n{row}\n".encode("cp1252"))
    with pytest.raises(InvalidInput, match=message):
        a2d("train")


def test_without_h5py_the_way_out_is_said(a2d, files, monkeypatch):
    files.bytes("text_annotations/a2d_annotation_with_instances/-a/00001.h5", b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InvalidInput, match=r"needs h5py; install it with: pip install .refseg.formats.."):
        a2d("train")[0].annotated_frames(0)


def test_video_files_are_decoded_in_any_order(a2d, files):
    av = pytest.importorskip("av", reason="video files need PyAV")
    path = files.bytes("Release/clips320H/c.mp4", b"")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for t in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * t, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    text = (files.root / "text_annotations/a2d_annotation.txt").read_text()
    files.bytes("text_annotations/a2d_annotation.txt", f"{text}c,0,a ball\n".encode())
    clip = a2d("train")[1]
    assert (len(clip), clip.size_hw) == (12, (48, 64))
    assert [round(clip.frame(t).mean() / 20) for t in (3, 4, 4, 11, 0, 2)] == [3, 4, 4, 11, 0, 2]
    with pytest.raises(InvalidInput, match="has 12 frames that can be decoded, not frame 12"):
        clip.frame(12)


def test_what_is_missing_is_named(a2d, files):
    with pytest.raises(InvalidInput, match="no split 'val'; choose one of: train, test, all"):
        a2d("val")
    for path in (files.root / "Release/frames/b").iterdir():
        path.unlink()
    (files.root / "Release/frames/b").rmdir()
    with pytest.raises(MissingFile, match=r"b\.mp4 is missing; docs/datasets\.md#a2d_sentences"):
        a2d("test")[0]
    files.bytes("text_annotations/a2d_annotation.txt", b"video_id,instance_id,query\n-a,0\n")
    with pytest.raises(InvalidInput, match=r"a2d_annotation\.txt: line 2 is not as the format says"):
        a2d("train")


def test_the_published_table_is_read(realset, tmp_path):
    table = gzip.decompress((realset / "text/a2d_annotation.txt.gz").read_bytes())
    names = sorted({line.split(",")[0] for line in table.decode().splitlines()[1:]})
    (tmp_path / "text_annotations").mkdir()
    (tmp_path / "text_annotations" / "a2d_annotation.txt").write_bytes(table)
    (tmp_path / "Release").mkdir()
    (tmp_path / "Release" / "videoset.csv").write_text("".join(ROW.format(name, 0) for name in names))
    clips = datasets.build("a2d_sentences", split="train", root=tmp_path)
    assert (len(clips), clips.expression_count) == (3754, 6654)  # 6,655 rows, of which one is a copy


def test_masks_that_are_a_link_out_of_the_videos_folder_are_refused(a2d, masks, files):
    masks("-a", 1, [0], np.ones((1, 20, 30)))
    files.move_out("text_annotations/a2d_annotation_with_instances/-a/00001.h5")
    with pytest.raises(InvalidInput, match="is a link that leads out"):
        a2d("train")[0].annotated_frames(0)


def test_a_video_file_that_is_a_link_out_of_the_folder_is_refused(a2d, files):
    (files.root / "Release/frames/-a").rename(files.root / "Release/frames/unused")
    files.bytes("Release/clips320H/-a.mp4", b"")
    files.move_out("Release/clips320H/-a.mp4")
    with pytest.raises(InvalidInput, match="is a link that leads out"):
        _ = a2d("train")[0]
