import numpy as np
import pytest

from refseg.errors import InvalidInput, UnwritableOutput
from refseg.evaluation.stored_video_masks import mask_file, saver, write_mask
from refseg.protocols.video_protocol import FrameAnswers
from refseg.samples import Clip, Expression


class OneFrame(Clip):
    """A clip of one frame with one expression."""

    def __init__(self, clip_id: str, expression_id: str, frame: str):
        self.clip_id, self._frame = clip_id, frame
        self.expressions = (Expression("the dog", (1,), id=expression_id),)

    def __len__(self) -> int:
        return 1

    def frame(self, t):
        return np.zeros((20, 30, 3), np.uint8)

    def annotated_frames(self, index):
        return (0,)

    def mask(self, index, t):
        return np.ones((20, 30), np.bool_)

    def frame_name(self, t):
        return self._frame


def answers(clip: Clip) -> FrameAnswers:
    masks = np.ones((1, 20, 30), np.bool_)
    return FrameAnswers(clip, 0, masks, masks, lambda numbers: np.ones((20, 30), np.int64))


def test_masks_lie_in_folders_of_their_video_and_expression(tmp_path):
    saver("mevis", tmp_path)(answers(OneFrame("a", "a/0", "00000")))
    assert [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.png")] == ["a/0/00000.png"]


@pytest.mark.parametrize("name", ["../a", "/tmp/a", "a\0", "..", "", ".", "a\\..\\b"])
@pytest.mark.parametrize(("dataset", "part"), [("mevis", "id"), ("mevis", "frame"), ("ref_davis", "clip")])
def test_no_name_of_a_data_set_leads_out_of_the_folder_of_masks(tmp_path, dataset, part, name):
    if part == "id" and name == "":
        pytest.skip("an expression without an id is called after its place")
    clip = {
        "id": OneFrame("a", f"{name}/0", "00000"),
        "frame": OneFrame("a", "a/0", name),
        "clip": OneFrame(name, "a/0", "00000"),
    }[part]
    folder = tmp_path / "out" / "masks"
    with pytest.raises(InvalidInput, match="part of an expression id"):
        saver(dataset, folder)(answers(clip))
    assert not list(tmp_path.rglob("*"))


def test_two_ids_never_share_a_file(tmp_path):
    assert mask_file(tmp_path, "a/0") == tmp_path / "a" / "0.png"
    for other in ("a//0", "a/./0", "./a/0", "a/b/../0"):
        with pytest.raises(InvalidInput):
            mask_file(tmp_path, other)


def test_a_mask_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "a").touch()  # a file where a folder should be
    with pytest.raises(UnwritableOutput, match="cannot be written"):
        write_mask(mask_file(tmp_path, "a/0"), np.ones((2, 2), np.bool_))
