import gzip

import numpy as np
import pytest

from refseg import datasets
from refseg.datasets.jhmdb_sentences import published_frames
from refseg.datasets.tools.check_videos import examine_videos, open_splits
from refseg.errors import InvalidInput, MissingFile

SAMPLES = "jhmdb_sentences_samples_metadata.json"


def sample(video: str, frame: int) -> list:
    folder = f"./jhmdb_sentences/Rename_Images/catch/{video}"
    return [video, f"{folder}/{frame:05d}.png", f"./jhmdb_sentences/puppet_mask/catch/{video}/puppet_mask.mat", 4, "q"]


@pytest.fixture
def jhmdb(files):
    """Four frames, three masks, two published frames."""
    savemat = pytest.importorskip("scipy.io", reason="the masks of JHMDB need SciPy").savemat
    files.bytes("jhmdb_annotation.txt", b'video_id,query\nab_catch,"man, in black, catching"\n')
    files.json(SAMPLES, [sample("ab_catch", 3), sample("ab_catch", 1)])
    for number in (1, 2, 3, 4):
        files.photograph(f"Rename_Images/catch/ab_catch/{number:05d}.png")
    path = files.bytes("puppet_mask/catch/ab_catch/puppet_mask.mat", b"")
    planes = np.zeros((20, 30, 3), np.uint8)
    for t in range(3):
        planes[: t + 1, :5, t] = 1
    savemat(path, {"part_mask": planes})
    return lambda **settings: datasets.build("jhmdb_sentences", **{"split": "test", "root": files.root} | settings)


def test_the_published_frames_are_scored(jhmdb):
    (clip,) = jhmdb()
    assert (clip.clip_id, len(clip), clip.expressions[0].text) == ("ab_catch", 4, "man, in black, catching")
    assert clip.annotated_frames(0) == (0, 2)
    assert [clip.mask(0, t).sum() for t in range(3)] == [5, 10, 15]


def test_or_all_frames_as_far_as_there_are_masks(jhmdb, files):
    (files.root / SAMPLES).unlink()
    with pytest.raises(MissingFile, match=r"the published list of frames .* frames='all'"):
        jhmdb()
    clip = jhmdb(frames="all")[0]
    assert clip.annotated_frames(0) == (0, 1, 2)
    with pytest.raises(InvalidInput, match="frame 3 of ab_catch has no mask; 3 frames have"):
        clip.mask(0, 3)


def test_names_of_videos_stay_in_their_folder(jhmdb, files):
    files.bytes("jhmdb_annotation.txt", b"video_id,query\n../up,man\n")
    with pytest.raises(InvalidInput, match=r"jhmdb_annotation\.txt: line 2: video '\.\./up' leaves its folder"):
        jhmdb()


@pytest.mark.parametrize("planes", [np.zeros((1, 0)), np.zeros((4, 5, 6, 2)), "a text", {"a": 1}])
def test_masks_that_are_no_planes_of_numbers_are_refused(jhmdb, files, planes):
    from scipy.io import savemat

    savemat(files.root / "puppet_mask/catch/ab_catch/puppet_mask.mat", {"part_mask": planes})
    with pytest.raises(InvalidInput, match="part_mask is (height x width x frames|not an array of real numbers)"):
        jhmdb(frames="all")[0].mask(0, 0)


def test_the_list_of_frames_is_a_list_and_counts_from_1(jhmdb, files):
    for content, message in (
        (7, "holds a int, not a list of rows"),
        ([sample("ab_catch", 0)], "counted from 1, not 0"),
    ):
        files.json(SAMPLES, content)
        with pytest.raises(InvalidInput, match=message):
            jhmdb()


def test_what_is_wrong_is_said_with_its_place(jhmdb, files):
    with pytest.raises(InvalidInput, match="no split 'train'; choose one of: test; it has no others"):
        jhmdb(split="train")
    with pytest.raises(InvalidInput, match="'three'"):
        jhmdb(frames="three")
    files.json(SAMPLES, [["ab_catch"]])
    with pytest.raises(InvalidInput, match=r"samples_metadata\.json: row 0 is not as the format says"):
        jhmdb()
    files.bytes("puppet_mask/catch/ab_catch/puppet_mask.mat", b"MATLAB")
    with pytest.raises(InvalidInput, match=r"puppet_mask\.mat cannot be read as a MATLAB file"):
        jhmdb(frames="all")[0].mask(0, 0)
    (files.root / "puppet_mask/catch/ab_catch/puppet_mask.mat").unlink()
    with pytest.raises(MissingFile, match=r"puppet_mask\.mat is missing; docs/datasets\.md#jhmdb_sentences"):
        jhmdb(frames="all")[0].mask(0, 0)


def test_data_check_reads_its_one_split(jhmdb, files):
    opened = open_splits("jhmdb_sentences", files.root)
    assert opened.sizes == {"test": {"videos": 1, "expressions": 1}}
    assert not [one for one in examine_videos(opened) if one.verdict == "problem"]


def test_the_published_list_is_read(realset, tmp_path):
    (tmp_path / SAMPLES).write_bytes(gzip.decompress((realset / f"text/{SAMPLES}.gz").read_bytes()))
    frames = published_frames(tmp_path / SAMPLES)
    assert len(frames) == 928 and all(len(scored) == 3 for scored in frames.values())


@pytest.mark.parametrize(
    "name", ["puppet_mask/catch/ab_catch/puppet_mask.mat", "Rename_Images/catch/ab_catch/00002.png"]
)
def test_a_frame_or_masks_that_are_a_link_out_of_the_videos_folder_are_refused(jhmdb, files, name):
    files.move_out(name)
    with pytest.raises(InvalidInput, match="is a link that leads out"):
        _ = jhmdb()[0]
