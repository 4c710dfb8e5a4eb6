import pytest

from refseg.errors import InvalidInput, UnwritableOutput
from refseg.evaluation.partial_rows import PartialRows
from refseg.evaluation.rows import FoundInImage, ImageAnswers, Row, Score

RUN = {"dataset": "refer", "weights": {"sha256": "1"}, "protocol": ["lavt", "standard"]}


def answers(index):
    scores = {"standard": Score(1, 2, True, 0.5), "cmpc": Score(0, 0, False, None)}
    rows = [
        Row(f"{index}/0", f"{index}", 'the "é"\u2028 line', "", "", "", "", 1, 0.1, 0.2, "correct", scores, "", (1, 2))
    ]
    return ImageAnswers(index, rows, True, FoundInImage(1, 1, (0.5,), 0), ({"id": f"{index}/0", "counts": "a\\"},))


def test_what_was_written_is_read_back_by_the_next_run(tmp_path):
    first = PartialRows(tmp_path, RUN)
    for index in (2, 0):
        first.write(answers(index))
    again = PartialRows(tmp_path, RUN)
    assert again.mine(4) == [1, 3]
    read = again.answers()
    assert [image.index for image in read] == [0, 2]
    assert read[0].rows == answers(0).rows and read[0].found == answers(0).found
    assert list(read[0].masks) == list(answers(0).masks)


def test_the_half_line_of_a_killed_process_is_forgotten(tmp_path):
    run = PartialRows(tmp_path, RUN)
    run.write(answers(0))
    (file,) = run.folder.glob("rows-*")
    file.write_text(file.read_text() + answers(1).json()[:40])
    again = PartialRows(tmp_path, RUN)
    assert again.mine(2) == [1]
    again.write(answers(1))
    assert [image.index for image in again.answers()] == [0, 1]


@pytest.mark.parametrize("worlds", [(1, 3), (3, 1), (2, 3)])
def test_another_number_of_processes_goes_on_without_gap_or_repetition(tmp_path, worlds):
    before, after = worlds
    for rank in range(before):
        run = PartialRows(tmp_path, RUN, rank, before)
        for index in run.mine(11)[:2]:
            run.write(answers(index))
    half = {image.index for image in PartialRows(tmp_path, RUN, 0, after).answers()}
    shares = [PartialRows(tmp_path, RUN, rank, after).mine(11) for rank in range(after)]
    everything = sorted([*half, *(index for share in shares for index in share)])
    assert everything == list(range(11))


@pytest.mark.parametrize(
    ("change", "named"), [({"dataset": "refcoco"}, "dataset"), ({"weights": {"sha256": "2"}}, "weights")]
)
def test_rows_of_another_run_are_refused_by_what_differs(tmp_path, change, named):
    PartialRows(tmp_path, RUN).write(answers(0))
    with pytest.raises(InvalidInput, match=f"other {named} .*repeat that call to go on with it, give another place"):
        PartialRows(tmp_path, RUN | change)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableOutput, match="another place"):
        PartialRows(tmp_path / "file", RUN)


def test_a_full_disk_is_told_and_what_was_written_before_it_counts(tmp_path):
    run = PartialRows(tmp_path, RUN)
    run.write(answers(0))
    (file,) = run.folder.glob("rows-*")
    content = file.read_bytes()
    file.unlink()
    file.symlink_to("/dev/full")
    with pytest.raises(UnwritableOutput, match="No space left.*repeat the command"):
        run.write(answers(1))
    file.unlink()
    file.write_bytes(content + answers(1).json()[:40].encode())
    assert PartialRows(tmp_path, RUN).mine(2) == [1]


def test_a_damaged_line_is_named(tmp_path):
    run = PartialRows(tmp_path, RUN)
    run.write(answers(0))
    (file,) = run.folder.glob("rows-*")
    file.write_bytes(file.read_bytes() + b"\0\0\n")
    with pytest.raises(InvalidInput, match="line 2 is damaged; remove"):
        PartialRows(tmp_path, RUN)
