import pytest
from PIL import Image

from refseg.errors import UnwritableOutput
from refseg.files.earlier import check_earlier, png_mark

MARK = "refseg test"


def test_files_with_their_marks_are_replaced_and_others_are_not(tmp_path):
    ours, theirs, empty, missing = (tmp_path / f"{name}.png" for name in ("ours", "theirs", "empty", "missing"))
    Image.new("RGB", (8, 8)).save(ours, pnginfo=png_mark(MARK))
    Image.new("RGB", (8, 8)).save(theirs)
    empty.touch()
    assert check_earlier(dict.fromkeys([ours, empty, missing], MARK)) == [ours]
    with pytest.raises(UnwritableOutput, match="theirs.png is there already and is something else"):
        check_earlier(dict.fromkeys([ours, theirs], MARK))
    with pytest.raises(UnwritableOutput):
        check_earlier({ours: "refseg other"})


@pytest.mark.parametrize("before, after", [(0, 200_000), (200_000, 0), (10, 10), (40_000, 40_000)])
def test_a_mark_is_found_at_either_end(tmp_path, before, after):
    file = tmp_path / "large.npz"
    file.write_bytes(bytes(before) + MARK.encode() + bytes(after))
    assert check_earlier({file: MARK}) == [file]
