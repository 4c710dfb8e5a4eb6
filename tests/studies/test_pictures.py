"""Pictures of a study: of rows that are trained, in its folder and its page."""

import shutil
from dataclasses import replace

import pytest

from refseg.checkpoints.bundled import FOLDER
from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.evaluation import evaluate as evaluation
from refseg.evaluation.report import html_page
from refseg.evaluation.rows import ROWS, Row, read_rows
from refseg.inspection.gallery.shown_samples import list_ids
from refseg.studies import find_study, pictures, resolve
from refseg.studies.pictures import draw_pictures
from refseg.studies.resolve import resolve_recipe
from refseg.studies.results import read_results, row_folder
from refseg.studies.trainings import training_folder
from refseg.studies.write import write_study

STUDY = find_study("eavl_table4")


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolve, "SMALL_COUNT", 2)
        patch.setattr(html_page, "can_plot", lambda: False)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory, checkpoint_folder):
    """A study with two of its rows, whose weights are those of Selector and of its first version."""
    out = tmp_path_factory.mktemp("studies")
    for number, weights in ((1, FOLDER / "selector"), (4, checkpoint_folder)):
        run = training_folder(out, resolve_recipe(STUDY, STUDY.rows[number - 1], small=True))
        shutil.copytree(weights, run / "weights")
        evaluation.evaluate(run / "weights", "drawn_scenes", count=2, out=run / "scores", device="cpu", workers=0)
        folder = row_folder(out / STUDY.name, STUDY, number, "test", 0, small=True)
        folder.mkdir(parents=True)
        shutil.copy(run / "scores" / ROWS, folder / ROWS)
    write_study(read_results(STUDY, out / STUDY.name, True, (), 1, {}))
    return out


def answers(out, number):
    return read_rows(row_folder(out / STUDY.name, STUDY, number, "test", 0, small=True))


@pytest.fixture
def out(done, tmp_path):
    shutil.copytree(done, tmp_path / "out")
    return tmp_path / "out"


def test_rows_that_are_trained_are_shown_where_they_differ_most(out):
    gallery = draw_pictures(STUDY.name, out, small=True, number=2, device="cpu")
    assert gallery.columns == ("image", "ground truth", STUDY.rows[0].label, STUDY.rows[3].label)
    rows = [{row.id: row.scores["standard"].iou for row in answers(out, number)} for number in (1, 4)]
    assert [line.ious for line in gallery.lines] == [tuple(row[line.about] for row in rows) for line in gallery.lines]
    most = max(rows[0], key=lambda id: abs(rows[0][id] - rows[1][id]))
    first = gallery.lines[0]
    assert abs(first.ious[0] - first.ious[1]) == abs(rows[0][most] - rows[1][most]) > 0
    assert {line.about.rsplit("/", 1)[0] for line in gallery.lines} == {"test-base-0", "test-base-1"}


def test_the_page_keeps_its_pictures_when_the_study_goes_on(out):
    folder = out / STUDY.name
    assert "<h2>Pictures</h2>" not in (folder / "study.html").read_text()
    draw_pictures(STUDY.name, out, small=True, number=1, device="cpu")
    write_study(read_results(STUDY, folder, True, (), 1, {}))
    page = (folder / "study.html").read_text()
    assert page.count("<figure ") == 4 and "<h2>Pictures</h2>" in page
    assert "(pictures.png)" in (folder / "study.md").read_text()


def test_expressions_are_named_by_id_or_text(out):
    row = answers(out, 1)[0]
    gallery = draw_pictures(STUDY.name, out, rows="4", expressions=[row.id, row.expression.upper()], device="cpu")
    assert [line.expression for line in gallery.lines] == [row.expression] and len(gallery.columns) == 3
    with pytest.raises(InvalidInput, match="no expression has the id or the text 'the cat'; .*for example expression="):
        draw_pictures(STUDY.name, out, expressions=["the cat"])


def test_expressions_that_the_data_have_lost_are_told_in_one_line():
    scene, clip = DrawnScenes("test", 1)[0], DrawnClips("test", 1)[0]
    row = Row(scene.expression_id(0), scene.image_id, "a", "", "", "", "", 1, None, 0.0, "", {})
    t = clip.annotated_frames(1)[0]
    frame = replace(row, id=clip.expression_id(1), image_id=clip.clip_id, frame=clip.frame_name(t))
    for dataset, known, lost in (
        ("drawn_scenes", row, {"id": f"{scene.image_id}/99"}),
        ("drawn_scenes", row, {"image_id": "elsewhere"}),
        ("drawn_clips", frame, {"id": f"{clip.clip_id}/99"}),
        ("drawn_clips", frame, {"frame": "99999"}),
    ):
        (sample,), places = pictures._find_samples(dataset, {"split": "test", "count": 1}, [known])
        assert list_ids(sample)[places[0][1]] == known.key
        gone = replace(known, **lost)
        with pytest.raises(InvalidInput, match=f"{gone.key} is not in {dataset} any more"):
            pictures._find_samples(dataset, {"split": "test", "count": 1}, [gone])


def test_weights_that_are_gone_are_told_in_one_line(out):
    said = []
    gone, left = (training_folder(out, resolve_recipe(STUDY, STUDY.rows[k], small=True)) for k in (0, 3))
    shutil.rmtree(gone)
    gallery = draw_pictures(STUDY.name, out, number=1, device="cpu", on_message=said.append)
    assert gallery.columns[2:] == (STUDY.rows[3].label,)
    assert said == [f"there are no weights of 1 row, which the pictures lack: {STUDY.rows[0].label}"]
    shutil.rmtree(left)
    with pytest.raises(MissingFile, match="trainings has no weights of eavl_table4 that today's recipes would train"):
        draw_pictures(STUDY.name, out, number=1)


def test_the_settings_of_the_study_may_be_given_again_and_no_others(out):
    with pytest.raises(UnwritableOutput, match="other settings: now .*with stages.learn.steps=5"):
        draw_pictures(STUDY.name, out, number=1, settings=["stages.learn.steps=5"])


def test_there_are_no_pictures_of_what_has_no_answers(out):
    with pytest.raises(MissingFile, match="has no figures of these rows yet; train them: refseg study eavl_table4"):
        draw_pictures(STUDY.name, out, small=True, rows="2")
    with pytest.raises(MissingFile, match="holds no figures of cmirnet_table3"):
        draw_pictures("cmirnet_table3", out, small=True)
    with pytest.raises(InvalidInput, match="give cmirnet_table3, whose rows it tests"):
        draw_pictures("cmirnet_table4", out)
    with pytest.raises(InvalidInput, match="1 to 50"):
        draw_pictures(STUDY.name, out, number=51)
