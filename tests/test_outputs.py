import pytest

from refseg.errors import InvalidInput, UnwritableOutput
from refseg.outputs import all_or_nothing, check_writable


def test_files_appear_at_the_end_and_replace_older_ones(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with all_or_nothing(tmp_path) as folder:
        (folder / "a.txt").write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "new")]


@pytest.mark.parametrize("error", [InvalidInput("no"), KeyboardInterrupt(), ZeroDivisionError()])
def test_after_an_error_nothing_is_left_not_even_the_folders(tmp_path, error):
    with pytest.raises(type(error)), all_or_nothing(tmp_path / "new" / "newer") as folder:
        (folder / "half.txt").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_unwritable_output(tmp_path):
    with pytest.raises(UnwritableOutput, match="No space left"), all_or_nothing(tmp_path):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_is_told_before_anything_moves(tmp_path):
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(UnwritableOutput, match="is a folder"), all_or_nothing(tmp_path) as folder:
        (folder / "a.txt").touch()
        (folder / "b.txt").touch()
    assert [file.name for file in tmp_path.iterdir()] == ["b.txt"]


def test_a_file_in_the_place_of_the_folder_is_told_early(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UnwritableOutput, match="not a folder"):
            check_writable(folder)
        with pytest.raises(UnwritableOutput), all_or_nothing(folder):
            pass
    check_writable(tmp_path / "new" / "newer")


def test_a_folder_replaces_one_with_files_of_the_same_kind_as_a_whole(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1.png").touch()
    with all_or_nothing(tmp_path) as folder:
        (folder / "masks").mkdir()
        (folder / "masks" / "2.png").touch()
    assert [file.name for file in tmp_path.iterdir()] == ["masks"]
    assert [file.name for file in (tmp_path / "masks").iterdir()] == ["2.png"]
    (tmp_path / "masks" / "notes.txt").touch()
    with pytest.raises(UnwritableOutput, match="something else"), all_or_nothing(tmp_path) as folder:
        (folder / "masks").mkdir()
        (folder / "masks" / "3.png").touch()
    assert sorted(file.name for file in (tmp_path / "masks").iterdir()) == ["2.png", "notes.txt"]
