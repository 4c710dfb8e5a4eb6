import numpy as np
import pytest

from refseg.datasets.storage.challenge_submission import write_zip
from refseg.datasets.storage.clip_dataset import LabelledClip, Video
from refseg.datasets.storage.frame_files import FrameFiles
from refseg.errors import InvalidInput
from refseg.samples import Expression


@pytest.mark.parametrize("id", ["../../escaped/0", "/tmp/0", "1cd/..", "1cd//0", "C:/0"])
def test_no_member_of_a_submission_climbs(files, tmp_path, id):
    video = Video("1cd", (Expression("the dog", (1,), id=id),))
    clip = LabelledClip(video, FrameFiles([files.photograph("00000.jpg")], "mevis"), tmp_path)
    out = tmp_path / "out"
    with pytest.raises(InvalidInput, match="part of an expression id"):
        write_zip(out / "s.zip", [(clip, 0, np.zeros((1, 20, 30), bool))], [id], "Annotations")
    assert not out.exists()
