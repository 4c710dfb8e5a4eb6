"""Galleries: what is shown, how it is chosen, what is said below it."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, MissingFile
from refseg.evaluation.rows import read_rows
from refseg.inspection.gallery import build, selection
from refseg.inspection.gallery.build import build_gallery, make_labels
from refseg.inspection.gallery.compose import collect_answers, draw_gallery
from refseg.inspection.gallery.page import extract_section
from refseg.inspection.gallery.systems import StoredAnswers, System, SystemAnswer
from refseg.masks.rle import encode_rle
from refseg.samples import Expression, Sample


class Scene(Sample):
    """An image of four squares; the ground truth of an expression is the squares that it numbers."""

    def __init__(self, name="a", texts=("0", "1", "")):
        self.image_id, self.image = name, np.full((40, 60, 3), 90, np.uint8)
        self.expressions = tuple(Expression(text, tuple(map(int, text))) for text in texts)

    def mask(self, index):
        return squares(self.expressions[index].text)


def squares(numbers):
    mask = np.zeros((40, 60), bool)
    for number in map(int, numbers):
        mask[5:15, 10 * number : 10 * number + 8] = True
    return mask


class Says(System):
    """A system that answers by the text of an expression."""

    def __init__(self, place, answer):
        self.place, self._answer = place, answer

    def answer(self, samples):
        for sample in samples:
            yield [SystemAnswer(encode_rle(squares(self._answer(one.text)))) for one in sample.expressions]


RIGHT, NOTHING = Says("right", lambda text: text), Says("nothing", lambda text: "")
ALWAYS = Says("always", lambda text: "0")


def captions(gallery):
    return [[cell.caption for cell in line.cells] for line in gallery.lines]


def test_a_line_has_image_truth_and_answers_and_says_what_is_right():
    gallery = build_gallery([RIGHT, NOTHING, ALWAYS], [Scene()], expressions=["0", "1", "a/2"], side=60)
    assert gallery.columns == ("image", "ground truth", "right", "nothing", "always")
    assert captions(gallery) == [
        ["", "", "IoU 100.0", "IoU 0.0: nothing", "IoU 100.0"],
        ["", "", "IoU 100.0", "IoU 0.0: nothing", "IoU 0.0"],
        ["", "nothing is meant", "right: nothing", "right: nothing", "wrong: nothing is meant"],
    ]
    assert [[cell.is_best for cell in line.cells[2:]] for line in gallery.lines] == [
        [False, False, False],  # two are alike
        [True, False, False],
        [False, False, False],
    ]
    image, truth, right, nothing = (cell.picture for cell in gallery.lines[0].cells[:4])
    assert image.shape == (40, 60, 3) and (truth != right).any() and (nothing != right).any()
    is_grey = (truth[..., 0] == truth[..., 1]) & (truth[..., 1] == truth[..., 2])
    assert (is_grey == ~squares("0")).all()


def test_pixels_that_are_not_scored_are_none_of_an_answer():
    class PartlyScored(Scene):
        def ignored(self, index):
            return squares("23")

    gallery = build_gallery([Says("more", lambda text: f"{text}2")], [PartlyScored()], expressions=["0"], side=60)
    assert captions(gallery) == [["", "", "IoU 100.0"]]


def test_pixels_that_are_not_scored_move_no_line():
    class PartlyScored(Scene):
        def ignored(self, index):
            return squares("2345") if self.expressions[index].text == "0" else None

    more = Says("more", lambda text: "02345" if text == "0" else "0")
    for sort in ("disagreement", "worst"):
        gallery = build_gallery([RIGHT, more], [PartlyScored(texts=("0", "01"))], sort=sort, side=60)
        assert [line.ious for line in gallery.lines] == [(1.0, 0.5), (1.0, 1.0)]


def test_expressions_are_named_by_id_or_by_text_in_any_case_and_spacing():
    scenes = [Scene("a", ("0", "1")), Scene("b", ())]
    scenes[1].expressions = (Expression("the Star", ()),)
    scenes[1].mask = lambda index: squares("1")
    named = ["a/1", "The star", " the  star", "a/1", "0"]
    gallery = build_gallery([NOTHING], scenes, expressions=named, side=32)
    assert [line.about for line in gallery.lines] == ["a/1", "b/0", "a/0"]


def test_answers_that_differ_most_come_first_one_an_image():
    scenes = [Scene("a", ("0", "1", "01")), Scene("b", ("0",))]
    gallery = build_gallery([RIGHT, ALWAYS], scenes, sort="disagreement", number=2, side=60)
    assert [(line.expression, line.about) for line in gallery.lines] == [("1", "a/1"), ("0", "b/0")]
    assert "2 of 4 expressions, those on which the answers differ most" in gallery.note
    gallery = build_gallery([RIGHT, ALWAYS], scenes, sort="disagreement", number=4, side=60)
    assert [line.expression for line in gallery.lines] == ["1", "01", "0", "0"]
    assert "all 4, first those" in gallery.note


def test_other_orders_are_by_the_ground_truth():
    scene = [Scene(texts=("0", "1", "01"))]
    worst = build_gallery([ALWAYS], scene, sort="worst", side=60)
    assert [line.ious for line in worst.lines] == [(0.0,), (0.5,), (1.0,)]
    gain = build_gallery([ALWAYS, RIGHT], scene, sort="gain", number=1, side=60)
    assert gain.lines[0].ious == (0.0, 1.0)


def test_random_expressions_depend_on_the_seed_alone():
    scenes = [Scene(f"{k:02}") for k in range(30)]
    about = [
        [line.about for line in build_gallery([RIGHT], scenes, number=5, seed=seed, side=32).lines]
        for seed in (0, 0, 1)
    ]
    assert about[0] == about[1] != about[2] and about[0] == sorted(about[0]) and len(set(about[0])) == 5


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    from refseg import evaluate

    folder = tmp_path_factory.mktemp("evaluated") / "selector"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refseg.evaluation.report.html_page.can_plot", lambda: False)
        evaluate("selector", "drawn_scenes", split="val", count=2, out=folder, masks=True, device="cpu", workers=0)
    return folder


def test_stored_masks_know_their_data_and_are_scored_as_they_were(evaluated):
    gallery = build_gallery([StoredAnswers(evaluated)], sort="worst", number=4)
    scored = {row.id: row.scores["standard"].iou for row in read_rows(evaluated)}
    assert [line.ious[0] for line in gallery.lines] == [scored[line.about] for line in gallery.lines]
    assert {line.about.rsplit("/", 1)[0] for line in gallery.lines} == {"val-base-0", "val-base-1"}
    assert gallery.note.startswith("drawn_scenes, split val: 4 of ")


def test_weights_answer_as_they_are_evaluated(evaluated):
    scenes = DrawnScenes("val", 2)
    place = (1, 3)
    gallery = draw_gallery(
        scenes, [place], collect_answers([build.open_systems(["selector"], "cpu")[0]], scenes, [place]), ["a"], ""
    )
    stored = build_gallery([StoredAnswers(evaluated)], scenes, expressions=[gallery.lines[0].about])
    assert gallery.lines[0].ious == stored.lines[0].ious
    assert (gallery.lines[0].cells[2].picture == stored.lines[0].cells[2].picture).all()


def test_a_mask_folder_of_a_part_of_the_data_shows_that_part(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    Image.fromarray(squares("1")).save(folder / "1.png")
    said = []
    gallery = build_gallery([StoredAnswers(tmp_path), RIGHT], [Scene("a"), Scene("b")], on_message=said.append, side=60)
    assert [line.about for line in gallery.lines] == ["a/1"] and gallery.lines[0].ious == (1.0, 1.0)
    build_gallery([StoredAnswers(tmp_path), RIGHT], [Scene("a")], sort="gain", on_message=said.append, side=60)
    assert all("masks of 1 of" in line and str(tmp_path) in line for line in said) and said
    with pytest.raises(InvalidInput, match=r"no mask is of these expressions.*refseg data ids"):
        build_gallery([StoredAnswers(tmp_path)], [Scene("b")])


def test_scores_without_masks_say_how_to_get_them(tmp_path):
    (tmp_path / "expressions.jsonl").touch()
    with pytest.raises(MissingFile, match="holds scores and no masks"):
        build_gallery([StoredAnswers(tmp_path)], [Scene()])


@pytest.fixture
def photograph(tmp_path):
    file = tmp_path / "cup.png"
    Image.fromarray(Scene().image).save(file)
    return file


def test_images_of_ones_own_have_no_truth(photograph):
    gallery = build_gallery([ALWAYS, NOTHING], images=str(photograph), expressions=["7", "8"], side=60)
    assert gallery.columns == ("image", "always", "nothing") and "IoU" not in gallery.note
    assert captions(gallery) == [["", "3.3 % of the image", "nothing"]] * 2
    assert [line.about for line in gallery.lines] == ["cup.png"] * 2
    with pytest.raises(InvalidInput, match="needs the ground truth"):
        build_gallery([ALWAYS], images=str(photograph), expressions=["7"], sort="worst")
    with pytest.raises(InvalidInput, match=r"^selector: .*(words|letters|tokens)"):
        build_gallery(["selector"], images=str(photograph), expressions=["the red star " * 40], device="cpu")
    with pytest.raises(InvalidInput, match="takes clips of 5 frames"):
        build_gallery(["selector_video"], images=str(photograph), expressions=["star"], device="cpu")


def test_answers_of_a_run_of_segment_are_found_by_image_and_expression(photograph, tmp_path):
    line = {"source": "../cup.png", "expression": "7", "rle": encode_rle(squares("01")), "familiar": False}
    failed = {"image": "x.png", "expression": "7", "error": "x.png is missing"}
    (tmp_path / "run").mkdir()
    answers = tmp_path / "run" / "answers.jsonl"
    answers.write_text(f"{json.dumps(line)}\n{json.dumps(failed)}\n")
    gallery = build_gallery([StoredAnswers(tmp_path / "run")], images=str(photograph), expressions=["7"], side=60)
    assert captions(gallery) == [["", "6.7 % of the image (unfamiliar image)"]]
    with pytest.raises(InvalidInput, match="has no answer to '8'"):
        build_gallery([StoredAnswers(tmp_path / "run")], images=str(photograph), expressions=["8"])
    for damaged in ({"expression": 3}, {**line, "source": "a\0b"}, {**line, "source": 3}):
        answers.write_text(f"{json.dumps(damaged)}\n")
        with pytest.raises(InvalidInput, match=r"answers.jsonl, line 1, is no answer"):
            build_gallery([StoredAnswers(tmp_path / "run")], images=str(photograph), expressions=["7"])


def test_of_a_video_the_middle_annotated_frame_is_asked_about():
    gallery = build_gallery(["selector_video", RIGHT_ON_FRAMES], DrawnClips("test", 1), number=1, device="cpu")
    (line,) = gallery.lines
    assert re.fullmatch(r"test-0/\d/0000\d", line.about) and line.ious[1] == 1.0
    assert "middle annotated frame" in gallery.note


class _RightOnFrames(System):
    place = "right"

    def answer(self, samples):
        for sample in samples:
            yield [SystemAnswer(encode_rle(sample.mask(k))) for k in range(len(sample.expressions))]


RIGHT_ON_FRAMES = _RightOnFrames()


def test_a_truth_that_is_known_as_a_box_only_is_said_to_be_unknown():
    class Boxed(Scene):
        def mask(self, index):
            raise InvalidInput("has a box only")

    gallery = build_gallery([RIGHT, NOTHING], [Scene("a", ("1",)), Boxed("b", ("1",))], side=60)
    assert captions(gallery)[1] == ["", "not known", "3.3 % of the image", "nothing"]
    assert gallery.lines[1].ious == (None, None)
    assert build_gallery([RIGHT], [Boxed("b", ("1",))], side=60).columns == ("image", "right")
    with pytest.raises(InvalidInput, match="ground truth, which is not known here"):
        build_gallery([RIGHT], [Boxed("b", ("1",))], sort="worst")


def test_images_without_expressions_are_told():
    for sort in ("random", "worst"):
        with pytest.raises(InvalidInput, match="no expressions"):
            build_gallery([RIGHT], [Scene("a", ())], sort=sort)


def test_labels_are_the_ends_of_places_that_differ():
    def systems(*places):
        return [Says(place, str) for place in places]

    assert make_labels(systems("runs/lavt/weights", "runs/cris/weights")) == ["lavt/weights", "cris/weights"]
    assert make_labels(systems("selector", "results/a")) == ["selector", "a"]
    assert make_labels(systems("a/x", "x")) == ["a/x", "x"]
    assert make_labels(systems("a", "b"), ["A", "A"]) == ["A", "A"]
    with pytest.raises(InvalidInput, match="1 label for 2 columns"):
        make_labels(systems("a", "b"), ["A"])
    with pytest.raises(InvalidInput, match="a is given twice"):
        make_labels(systems("a", "a"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sort": "best"}, "unknown order"),
        ({"sort": "disagreement"}, "two answers or more"),
        ({"number": 101}, "1 to 100"),
        ({"side": 2000}, "32 to 1024"),
        ({"expressions": ["2"]}, "no expression has the id or the text '2'"),
        ({"images": "x.png"}, "name a data set to show expressions of, or give images"),
    ],
)
def test_what_cannot_be_shown_is_refused(settings, told):
    with pytest.raises(InvalidInput, match=told):
        build_gallery([RIGHT], [Scene()], **settings)


def test_files_are_whole_escaped_and_bounded(tmp_path, monkeypatch):
    texts = ('the "<b>cup</b>" & pen',)
    scene = Scene(texts=())
    scene.expressions = tuple(Expression(text, (0,)) for text in texts)
    scene.mask = lambda index: squares("0")
    monkeypatch.setattr("refseg.inspection.gallery.compose.MAX_SHEET_PIXELS", 4 * 50**2)
    gallery = build_gallery([ALWAYS_FIRST, ALWAYS_FIRST_TOO], [scene], labels=["<i>", "b" * 200], side=200)
    assert gallery.lines[0].cells[0].picture.shape[1] == 50
    for ending in ("png", "html"):
        gallery.save(tmp_path / f"sheet.{ending}")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.info["Software"] == "refseg gallery" and sheet.width < 300
    page = (tmp_path / "sheet.html").read_text()
    assert "the &quot;&lt;b&gt;cup&lt;/b&gt;&quot; &amp; pen" in page and "<i>" not in page and "http" not in page
    assert set(re.findall(r'src="(.{0,22})', page)) == {"data:image/jpeg;base64"}
    assert extract_section(page).count("<figure ") == 4 and extract_section("no page") == ""
    labels = re.findall(r'<figure data-label="(.*?)"', page)  # seen on a narrow screen, where there is no row of heads
    assert labels == ["image", "ground truth", "&lt;i&gt;", "b" * 200]
    with pytest.raises(InvalidInput, match=r"\.png or \.html"):
        gallery.save(tmp_path / "sheet.pdf")


ALWAYS_FIRST, ALWAYS_FIRST_TOO = Says("x", lambda text: "0"), Says("y", lambda text: "")


def test_a_mask_of_one_pixel_is_seen_in_a_small_picture():
    from refseg.inspection.gallery.drawing import draw_mask

    mask = np.zeros((400, 400), bool)
    mask[3, 5] = True
    drawn = draw_mask(np.full((32, 32, 3), 90, np.uint8), mask, (255, 0, 0))
    assert (drawn[..., 0] != drawn[..., 1]).sum() == 1


def test_scores_are_of_masks():
    def score(sort, answers, truth=None):
        return selection.score_expression(sort, selection.FoundExpression((0, 0), "", True), answers, truth)

    a, b, empty = (encode_rle(squares(numbers)) for numbers in ("0", "01", ""))
    assert score("disagreement", [a, b])[2:4] == (0.5, 80) and score("disagreement", [empty, empty])[2:4] == (0, 0)
    assert score("gain", [empty, b], a).score == 0.5 and score("worst", [a, b], a).score == -0.75


def test_expressions_without_a_referent_are_as_many_as_is_their_share():
    scenes = [Scene(f"{k:02}", ("1", "1", "1", "")) for k in range(8)]
    gallery = build_gallery([ALWAYS, RIGHT], scenes, sort="gain", number=8, side=32)
    assert sum(line.expression == "" for line in gallery.lines) == 2
    assert len({line.about.split("/")[0] for line in gallery.lines}) == 8
