"""The page: what it asks, draws, says and offers, without a browser."""

import asyncio
import io
import json
import os
import random
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import refseg
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput
from refseg.files.lock import LOCK, try_lock
from refseg.masks.rle import encode_rle
from refseg.service.limits import Limits
from refseg.service.page.answers import Answered, ExpressionAnswer, Kept, WeightsAnswers, ask, split_expressions
from refseg.service.page.downloads import write_archive
from refseg.service.page.drawing import BOTH, FIRST_ONLY, SECOND_ONLY, choose_colour, draw_difference, draw_overlay
from refseg.service.page.files import PREFIX, TemporaryFiles, remove_abandoned
from refseg.service.page.legend import format_legend, format_readings
from refseg.service.page.samples import draw_sample
from refseg.service.problems import Problem
from refseg.service.worker import run


def answer(expression: str, mask: np.ndarray, **facts) -> ExpressionAnswer:
    found = bool(mask.any())
    box = [1, 1, 3, 3]
    plain = {
        "expression": expression,
        "found": found,
        "exists": 0.9 if found else 0.1,
        "exists_threshold": 0.5,
        "size": list(mask.shape),
        "area": int(mask.sum()),
        "familiar": True,
        "box": box if found else None,
        "rle": encode_rle(mask),
        "instances": [{"box": box}] if found else [],
        "warnings": [],
        "unknown_words": [],
    }
    return ExpressionAnswer({**plain, **facts})


@pytest.fixture
def masks():
    first, second = np.zeros((700, 8), bool), np.zeros((700, 8), bool)
    first[:300], second[200:400] = True, True
    return first, second


@pytest.fixture
def answered(masks):
    first, second = masks
    nothing = np.zeros_like(first)
    columns = (
        WeightsAnswers("a/<b>", (answer("the <cup>", first), answer("the pen", nothing, warnings=["a <warning>"]))),
        WeightsAnswers("other", (answer("the <cup>", second), answer("the pen", nothing))),
    )
    return Answered(np.full((700, 8, 3), 128, np.uint8), columns)


def test_lines_are_expressions():
    assert split_expressions("\n") == []
    assert split_expressions("one\r\n two \none") == ["one", "two"]


def test_masks_are_drawn_in_the_choose_colour_their_expression_when_they_are_shown(answered):
    drawn = np.asarray(draw_overlay(answered, answered.columns[0], ["the <cup>"], 0.5, boxes=False))
    tinted = (128 + np.array(choose_colour(0))) // 2
    assert (drawn[100, 4] == tinted).all() and (drawn[600, 4] == 128).all()
    for opacity, expected in ((0, 128), (1, choose_colour(0))):
        other = np.asarray(draw_overlay(answered, answered.columns[0], ["the <cup>"], opacity, boxes=False))
        assert (other[100, 4] == expected).all() and (other[0, 4] == choose_colour(0)).all()  # inside, and the outline
    assert (np.asarray(draw_overlay(answered, answered.columns[0], ["the pen"], 0.5, boxes=False)) == 128).all()
    boxed = np.asarray(draw_overlay(answered, answered.columns[0], ["the <cup>"], 0.5, boxes=True))
    assert (boxed[1, 1] == choose_colour(0)).all()


def test_what_is_small_is_drawn_over_what_is_large():
    large, small = np.ones((700, 8), bool), np.zeros((700, 8), bool)
    small[300:400] = True
    answers = (answer("the cup on the left", small), answer("all cups", large))
    both = Answered(np.zeros((700, 8, 3), np.uint8), (WeightsAnswers("a", answers),))
    drawn = np.asarray(draw_overlay(both, both.columns[0], both.expressions, 1, boxes=False))
    assert (drawn[350, 4] == choose_colour(0)).all() and (drawn[100, 4] == choose_colour(1)).all()


def test_small_images_are_enlarged_and_large_ones_reduced():
    for side, expected in ((100, 600), (1600, 1600)):
        mask = np.ones((side, side), bool)
        one = Answered(np.zeros((side, side, 3), np.uint8), (WeightsAnswers("a", (answer("x", mask),)),))
        assert draw_overlay(one, one.columns[0], ["x"], 1, boxes=True).size == (expected, expected)
        picture, agreement = draw_difference(one, one.columns[0], one.columns[0], ["x"])
        assert picture.size == (expected, expected) and agreement == 1


def test_where_two_networks_differ_is_told_and_drawn(answered):
    picture, agreement = draw_difference(answered, *answered.columns, ["the <cup>"])
    drawn = np.asarray(picture)
    for row, colour in ((100, FIRST_ONLY), (250, BOTH), (350, SECOND_ONLY)):
        assert (drawn[row, 4] == (128 + np.array(colour)) // 2).all()
    assert agreement == pytest.approx(100 / 400)
    assert draw_difference(answered, *answered.columns, ["the pen"])[1] == 1


def test_what_users_and_networks_wrote_is_escaped(answered):
    text = format_legend(answered.columns[0])
    assert "the &lt;cup&gt;" in text and "a &lt;warning&gt;" in text and "<cup>" not in text
    assert "1 object, exists 90.0%, 37.5%" not in text and "1 object, exists 90.0%, 42.9% of the image." in text
    assert (
        "nothing matches: exists 10.0% is below the threshold 50.0%" in text and "box of the mask: 1, 1, 3, 3" in text
    )
    assert "a &lt;problem&gt;" in format_legend(WeightsAnswers("a", problem="a <problem>"))


def test_how_sentences_were_read_is_shown_where_weights_tell_it(masks):
    reading = {
        "program": "cup, not: <blue>",
        "reason": "",
        "not_understood": ["uh"],
        "objects": [{"box": [1, 2, 3, 4], "classes": {"cup": 0.75}, "score": 0.8, "probability": 0.7, "chosen": True}],
    }
    column = WeightsAnswers("reader", (answer("the cup", masks[0], reading=reading),))
    text = format_readings([column])
    assert "cup, not: &lt;blue&gt;" in text and "Not understood: uh" in text and "<td>cup 0.75</td>" in text
    boxes = WeightsAnswers(
        "gdino", (answer("x", masks[0], candidates=[{"box": [1, 2, 3, 4], "score": 0.5, "meant": True}]),)
    )
    assert "<td>✓</td><td>0.50</td><td>1, 2, 3, 4</td>" in format_readings([boxes])
    assert "found nothing to choose from" not in text
    for reason, told in (("", True), ("'cup' is not a thing", False)):
        nothing = answer("the cup", masks[0], reading={**reading, "objects": [], "reason": reason})
        text = format_readings([WeightsAnswers("reader", (nothing,))])
        assert "<table>" not in text and ("The finder found nothing to choose from." in text) == told
    silent = WeightsAnswers("<sel>", (answer("x", masks[0]), answer("y", masks[0])))
    text = format_readings([silent, column])
    assert text.count("<h3>&lt;sel&gt;</h3><p>These weights do not tell how") == 1 and "Read as: cup" in text


def test_words_are_shaded_by_their_weights_and_the_numbers_are_read_out(masks):
    rows = [
        {"name": "stage 1: words", "source": "PWAM", "meaning": "attention of pixels", "values": [0.1, 0.4, 0.2]},
        {"name": "stage 2: words", "source": "PWAM", "meaning": "attention of pixels", "values": [0.0, 0.0, 0.0]},
    ]
    words = {"pieces": ["the", "<cup>", "left"], "rows": rows}
    columns = [WeightsAnswers(name, (answer("the <cup> left", masks[0], words=words),)) for name in ("lavt", "cris")]
    text = format_readings(columns)
    assert text.count("Attention of pixels. The stronger a word") == 2 and text.count("stage 1: words (PWAM)") == 2
    twice = WeightsAnswers("lavt", columns[0].answers * 2)
    assert format_readings([twice]).count("The stronger a word") == 1
    heaviest = (
        'title="0.400" style="background: rgba(37, 99, 235, 0.60)">&lt;cup&gt;<span class="refseg-unseen"> 0.400,'
    )
    assert heaviest in text and 'title="0.200" style="background: rgba(37, 99, 235, 0.30)">left' in text
    assert text.count("235, 0.00)") == 6


def test_an_image_unlike_what_the_weights_know_is_marked_on_the_picture_and_in_the_verdict():
    noise = np.random.default_rng(0).integers(0, 255, (640, 480, 3), np.uint8)
    result = refseg.load()(noise, "the star")
    one = ExpressionAnswer(result.to_dict())
    assert not result.familiar and one.verdict == result.verdict
    column = WeightsAnswers("selector", (one,))
    drawn = draw_overlay(Answered(noise, (column,)), column, [], 0.5, boxes=False)
    band = np.asarray(result.overlay())[:20]  # as `refseg segment` draws it
    assert (np.asarray(drawn)[:20] == band).all() and (np.ptp(np.asarray(drawn)[-20:], axis=2) == 0).all()
    assert "no answer: unfamiliar to these weights" in format_legend(column)


def test_boxes_are_those_of_masks_also_where_weights_know_no_objects(masks):
    mask = np.zeros((600, 600), bool)
    mask[100:200, 300:450] = True
    facts = {"instances": [], "box": [300, 100, 450, 200]}
    column = WeightsAnswers("lavt", (answer("x", mask, **facts),))
    boxed = draw_overlay(Answered(np.zeros((600, 600, 3), np.uint8), (column,)), column, ["x"], 0, boxes=True)
    assert np.asarray(boxed)[100, 400].any() and "box of the mask: 300, 100, 450, 200" in format_legend(column)


def test_masks_of_large_images_are_drawn_on_the_reduced_one():
    mask = np.zeros((3200, 800), bool)
    mask[:1600] = True
    large = Answered(np.full((1600, 400, 3), 128, np.uint8), (WeightsAnswers("a", (answer("x", mask),)),))
    drawn = np.asarray(draw_overlay(large, large.columns[0], ["x"], 1, boxes=True))
    assert drawn.shape == (1600, 400, 3) and (drawn[400, 200] != 128).any() and (drawn[1200, 200] == 128).all()


def test_the_archive_has_masks_pictures_and_json_of_each_network(answered, tmp_path):
    write_archive(answered, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        names = set(file.namelist())
        mask = np.asarray(Image.open(io.BytesIO(file.read("1_a_b_/mask_1.png"))))
        facts = json.loads(file.read("2_other/answers.json"))
    expected = {"answers.json", "mask_1.png", "mask_2.png", "overlay.png"}
    assert names == {f"{folder}/{name}" for folder in ("1_a_b_", "2_other") for name in expected}
    assert (mask > 0).sum() == 300 * 8 and facts["weights"] == "other" and len(facts["results"]) == 2


def test_answers_are_kept_for_a_while_in_a_bounded_memory(answered, monkeypatch):
    kept = Kept(seconds=60, most_bytes=2.5 * answered.size)
    keys = [kept.put(answered) for _ in range(3)]
    assert [kept.get(key) is answered for key in keys] == [False, True, True]
    assert kept.get(None) is None and kept.get("another") is None
    kept.seconds = 0
    assert kept.get(keys[2]) is None


def test_old_files_and_those_of_killed_services_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone, other, link = (tmp_path / f"{PREFIX}{name}" for name in ("gone", "other", "link"))
    for folder in (gone, other, tmp_path / "elsewhere"):
        (folder / "inner").mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    of_another = try_lock(other / LOCK)
    files = TemporaryFiles(seconds=60)
    assert not gone.exists() and other.exists() and (link / "inner").exists()
    of_another.release()
    old, new = files.new("a.png"), files.new("a.png")
    assert old != new
    for path in (old, new):
        path.touch()
    (files.folder / "upload").mkdir()
    (files.folder / "upload" / "image.png").touch()
    for path in (old, files.folder / "upload" / "image.png", files.folder / LOCK):
        os.utime(path, (0, 0))
    files.sweep()  # a folder is as old as the last thing that was taken out of it
    for folder in (files.folder / "upload", old.parent):
        os.utime(folder, (0, 0))
    files.sweep()
    assert set(files.folder.iterdir()) == {new.parent, files.folder / LOCK} and new.exists()
    remove_abandoned()
    assert new.exists() and not other.exists()  # that of a service that runs, and of one that does no more
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(InvalidInput, match="page=False"):
        TemporaryFiles()


def test_a_drawn_scene_comes_with_sentences_about_it():
    content, expressions = draw_sample(random.Random(0))
    assert Image.open(io.BytesIO(content)).size == (128, 128) and len(set(expressions)) == len(expressions) == 5


@pytest.fixture(scope="module")
def client(serve):
    with serve(run, Limits(expressions=3, characters=40, queue=1, megabytes=0.2), page=True) as client:
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        assert folder.exists()
        yield client
    assert not folder.exists()


@pytest.fixture(scope="module")
def scene() -> bytes:
    file = io.BytesIO()
    Image.fromarray(DrawnScenes("test", 1)[0].image).save(file, "PNG")
    return file.getvalue()


def test_the_page_asks_as_any_request_does(client, scene):
    found = client.portal.call(ask, client.service, scene, ["the pentagons"], [None])
    (column,) = found.columns
    assert column.weights == "selector" and found.expressions == ["the pentagons"]
    assert (column.answers[0].decode_mask() == refseg.load()(scene, "the pentagons").mask).all()
    text = format_readings(found.columns)
    assert "words, block 1 (chooser)" in text and ">pentagons<" in text and "attention of objects" in text.lower()


@pytest.mark.parametrize(
    ("expressions", "weights", "error", "told"),
    [
        ([], [None], InvalidInput, "say what to find"),
        (["a", "b", "c", "d"], [None], Problem, "at most 3"),
        (["a" * 41], [None], Problem, "at most 40"),
        (["!?"], [None], Problem, "is empty"),
        (["the star"], [None, None], Problem, "waiting"),
    ],
)
def test_what_the_service_does_not_allow_is_told(client, scene, expressions, weights, error, told):
    with pytest.raises(error, match=told):
        client.portal.call(ask, client.service, scene, expressions, weights)


def read_metric(client, name):
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


def test_damaged_images_are_told_and_counted_as_such(client):
    counts = 'refseg_requests_total{path="/",status="415"}', 'refseg_request_seconds_count{path="/"}'
    damaged, answered = (read_metric(client, name) for name in counts)
    with pytest.raises(Problem, match="unknown format"):
        client.portal.call(ask, client.service, b"no image", ["the star"], [None])
    assert [read_metric(client, name) for name in counts] == [damaged + 1, answered]  # seconds are of answers alone


def test_the_page_stands_beside_the_interface_and_asks_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.status_code == 200 and "refseg" in page.text
    assert client.get("/v1/weights").json()["weights"][0]["name"] == "selector"
    assert client.get("/readyz").text == "ready\n"
    for method, path, status, code in (
        ("GET", "/v1/foo", 404, "not_found"),
        ("GET", "/v1/segment", 405, "method_not_allowed"),
    ):
        told = client.request(method, path)
        assert (told.status_code, told.json()["code"]) == (status, code)
    from gradio import processing_utils

    with pytest.raises(ValueError, match="not followed"):
        client.portal.call(processing_utils.async_ssrf_protected_download, "http://127.0.0.1:9/x.png", "cache")


def test_uploads_are_bounded(client):
    for size, status in ((300_000, 413), (1_000, 200)):
        assert client.post("/gradio_api/upload", files={"files": ("a.png", b"0" * size)}).status_code == status


@pytest.fixture
def ask_page(client):
    """Has the page answer about a file that is named by a path, as its own script does for uploads."""

    def send(path: str) -> dict:
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        session = {"fn_index": 0, "session_hash": "visitor"}
        client.post("/gradio_api/queue/join", json={"data": [file, "the star", ["selector"]], **session})
        with client.stream("GET", "/gradio_api/queue/data?session_hash=visitor") as lines:
            messages = (json.loads(line[5:]) for line in lines.iter_lines() if line.startswith("data:"))
            return next(message for message in messages if message["msg"] == "process_completed")

    return send


def test_files_that_were_not_uploaded_are_neither_read_nor_copied(client, ask_page, scene, tmp_path):
    (uploaded,) = client.post("/gradio_api/upload", files={"files": ("a.png", scene)}).json()
    assert ask_page(uploaded)["success"]
    (tmp_path / "private.png").write_bytes(scene + b"private")
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    for path in (str(tmp_path / "private.png"), "http://127.0.0.1:9/private.png"):
        assert not ask_page(path)["success"]
        assert client.get(f"/gradio_api/file={path}").status_code in (403, 404)
    assert not any(file.read_bytes().endswith(b"private") for file in folder.rglob("*") if file.is_file())


def test_a_path_outside_of_the_folder_is_refused_by_the_page_itself(tmp_path):
    files = object.__new__(TemporaryFiles)
    files.folder = tmp_path / "uploads"
    assert files.get_upload(None) is None
    assert files.get_upload(SimpleNamespace(path=str(tmp_path / "uploads/a.png"))) == str(tmp_path / "uploads/a.png")
    for path in ("uploads/../private.png", "private.png"):
        with pytest.raises(ValueError, match="not uploaded"):
            files.get_upload(SimpleNamespace(path=str(tmp_path / path)))


def test_the_oldest_files_go_when_all_of_them_are_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files = TemporaryFiles(max_bytes=250)
    written = [files.new(f"{k}.png") for k in range(4)]
    for k, path in enumerate(written):
        path.write_bytes(bytes(100))
        os.utime(path, (now := time.time() - 10 * (4 - k), now))
    files.sweep()
    assert [path.exists() for path in written] == [False, False, True, True]


def test_files_are_swept_until_they_are_closed_whatever_others_remove(tmp_path, monkeypatch, wait_until):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("refseg.service.page.files._SWEEP_SECONDS", 0.01)
    sweeps = []

    def sweep():
        sweeps.append(1)
        raise FileNotFoundError("a folder that another thread has removed")

    files = TemporaryFiles()
    monkeypatch.setattr(files, "sweep", sweep)
    files.start_sweeping()
    wait_until(lambda: len(sweeps) > 2)
    files.close()
    count = len(sweeps)
    assert not files.folder.exists() and not files._sweeper.is_alive() and len(sweeps) == count


@pytest.fixture
def image_tab(tmp_path):
    """The part of the page for images, of a service that is not there."""
    from refseg.service.page.image import ImageTab  # gradio takes seconds to import

    def make(service=None, **setup):
        given = {"by_image": False, "weights": ("selector",), "for_videos": None, **setup}
        service = service or SimpleNamespace(setups=[SimpleNamespace(**given)])
        files = SimpleNamespace(new=lambda name: tmp_path / name)
        return ImageTab(service, files, asyncio.to_thread)

    return make


def test_answers_that_are_no_longer_kept_are_told(image_tab):
    tab = image_tab()
    for asked in (tab.draw("gone", [], 0.5, False), tab.save("gone")):
        problem, results, *rest = asyncio.run(asked)
        assert "no longer kept" in problem.value and not results.visible
        assert all(one is None or not one.visible for one in rest)


def test_each_picture_is_named_and_described_and_none_has_a_label_over_it(image_tab, answered):
    tab = image_tab(weights=("a", "other", "third"))
    told = asyncio.run(tab.draw(tab.kept.put(answered), ["the <cup>"], 0.5, False))
    first, second, third, difference, legend = told[2:]
    assert [Path(one.value["path"]).name for one in (first, second, difference)] == [
        "1_a_b_.jpg",
        "2_other.jpg",
        "difference.jpg",
    ]
    assert "masks of a/<b>" in first.alt_text and "other differ" in difference.alt_text and not third.visible
    assert "other only" in legend.value and "a/&lt;b&gt; only" in legend.value and "25.0%" in legend.value
    file = asyncio.run(tab.save(tab.kept.put(answered)))[2]
    assert Path(file).name == "refseg-image.zip"


def test_a_problem_is_shown_as_it_is_written():
    from refseg.service.page.fields import show_problem

    shown = show_problem("the expression '**<b>**' is empty")
    assert "'**&lt;b&gt;**' is empty" in shown.value and 'role="alert"' in shown.value and shown.visible
    assert not show_problem().visible


def test_without_a_choice_the_first_weights_are_asked_and_what_suits_is_asked_with_others():
    from refseg.service.page.fields import SUITED, chosen_weights

    choices = [("what suits the image", SUITED), ("selector", "selector"), ("reader", "reader")]
    assert chosen_weights(choices, None) == chosen_weights(choices, ["gone"]) == [None]
    assert chosen_weights(choices, ["reader", SUITED]) == [None, "reader"]
    assert chosen_weights(choices[1:], []) == ["selector"]


def test_weights_that_suit_and_are_named_too_answer_once(serve, scene):
    with serve(run) as client:
        found = client.portal.call(ask, client.service, scene, ["the pentagons"], [None, "selector"])
    assert [column.weights for column in found.columns] == ["selector"]
