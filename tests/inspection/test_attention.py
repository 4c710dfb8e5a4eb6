from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from refseg import datasets
from refseg.blocks.view import View
from refseg.errors import InvalidInput
from refseg.inference.segmenter import Segmenter, load
from refseg.inspection import attention


@pytest.fixture
def segmenter(checkpoint_folder):
    return load(checkpoint_folder)


def test_every_view_is_read_from_the_answers_own_pass(segmenter, golden):
    expression = golden.of(0)[0]
    explanation = attention.explain(segmenter, golden.images[0], expression)
    assert [seen.view.name for seen in explanation.seen] == [view.name for view in segmenter.network.views()]
    for seen in explanation.seen:
        assert np.isfinite(seen.values).all()
        if seen.view.kind == "words":
            assert seen.values.shape == (len(explanation.pieces),)
    np.testing.assert_array_equal(explanation.result.mask, segmenter(golden.images[0], expression).mask)
    assert not any(module._forward_hooks for module in segmenter.network.modules())


def test_the_finders_map_is_high_where_an_object_is(segmenter, golden):
    explanation = attention.explain(segmenter, golden.images[0], golden.of(0)[0])
    centres = next(seen for seen in explanation.seen if seen.view.name == "centres")
    high = explanation.map_at_own_size(centres) > 0.5
    assert high.any() and (high & golden.masks[golden.about == 0].any(0)).any()


def test_a_map_comes_back_without_the_padding(segmenter):
    image = np.zeros((60, 100, 3), np.uint8)
    explanation = attention.explain(segmenter, image, "the star")
    assert explanation.map_at_own_size(explanation.seen[0]).shape == (60, 100)


def test_the_figure_shows_answer_maps_numbers_and_words(segmenter, golden, monkeypatch):
    network = segmenter.network
    numbers = View("sizes", nn.Identity(), lambda out: torch.tensor([0.25, 0.75]), "weights", "Eq. 1", ("one", "two"))
    views = list(network.views())
    network.numbers = numbers.module
    monkeypatch.setattr(network, "views", lambda: [*views, numbers])
    network.finder.centre.register_forward_hook(lambda *_: network.numbers(torch.ones(1)) and None)
    sheet = attention.figure(attention.explain(segmenter, golden.images[0], golden.of(0)[0]))
    texts = " ".join(axes.get_title() for axes in sheet.axes)
    assert golden.of(0)[0] in texts and "centres" in texts and "sizes" in texts
    assert any("block 1" in label.get_text() for axes in sheet.axes for label in axes.get_yticklabels())


def test_a_network_without_views_is_refused(segmenter, monkeypatch):
    monkeypatch.setattr(segmenter.network, "views", lambda: ())
    with pytest.raises(InvalidInput, match="nothing to show"):
        attention.explain(segmenter, np.zeros((64, 64, 3), np.uint8), "the star")


def test_results_tell_the_weights_of_words_that_are_explained(segmenter, golden):
    expressions = golden.of(0)[:2]
    telling = Segmenter(segmenter.checkpoint, view_words=True)
    (encoded,) = segmenter.encode([golden.images[0]])
    for image in (golden.images[0], encoded):
        for result, expression in zip(telling(image, expressions), expressions, strict=True):
            explained = attention.explain(segmenter, golden.images[0], expression)
            expected = [seen for seen in explained.seen if seen.view.kind == "words"]
            assert list(result.words.pieces) == explained.pieces
            assert [row.name for row in result.words.rows] == [seen.view.name for seen in expected]
            for row, seen in zip(result.words.rows, expected, strict=True):
                np.testing.assert_allclose(row.values, seen.values, atol=1e-5)
                assert row.meaning and len(row.values) == len(explained.pieces)
            told = result.to_dict()["words"]
            assert told["pieces"] == explained.pieces and told["rows"][0]["source"] == expected[0].view.source
            plain = segmenter(image, expression)
            assert plain.words is None and "words" not in plain.to_dict()
            np.testing.assert_array_equal(plain.mask, result.mask)
    assert not any(module._forward_hooks for module in segmenter.network.modules())


def test_a_view_that_cannot_be_read_does_not_end_the_answer(segmenter, golden, monkeypatch, caplog):
    def fail(_):
        raise ValueError("a mistake of a network")

    views = segmenter.network.views()
    broken = [replace(view, name="broken", read=fail) for view in views if view.kind == "words"][:1]
    monkeypatch.setattr(segmenter.network, "views", lambda: [*broken, *views])
    result = Segmenter(segmenter.checkpoint, view_words=True)(golden.images[0], golden.of(0)[0])
    assert "broken" in caplog.text and "broken" not in [row.name for row in result.words.rows] and result.words.rows


# Videos ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clip(videos):
    return datasets.build("ref_davis", split="val", root=videos.root / "ref_davis")[0]


@pytest.mark.parametrize(("t", "around"), [(0, [0, 0, 1]), (2, [1, 2, 3]), (3, [2, 3, 3]), (None, [1, 2, 3])])
def test_maps_lie_over_the_frames_that_the_network_saw(t, around, clip, colours):
    explanation = attention.explain_frame(load(colours(frames=3, looks_at=1)), clip, "red", t)
    assert explanation.result.index == around[1]
    for seen, frame, number in zip(explanation.seen, explanation.frames, around, strict=True):
        np.testing.assert_array_equal(frame, clip.frame(number))
        np.testing.assert_array_equal(explanation.map_at_own_size(seen) > 0.5, clip.mask(0, number))
    np.testing.assert_array_equal(explanation.arrays()["frames"], np.stack(explanation.frames))
    titles = [axes.get_title() for axes in attention.figure(explanation).axes]
    assert sum(title.startswith("frame ") for title in titles) == 3


def test_a_network_of_images_is_explained_on_a_frame(segmenter, golden):
    explanation = attention.explain_frame(segmenter, list(golden.images[:3]), golden.of(1)[0], 1)
    np.testing.assert_array_equal(explanation.frames[0], golden.images[1])
    np.testing.assert_array_equal(explanation.result.mask, segmenter(golden.images[1], golden.of(1)[0]).mask)


def test_a_frame_after_the_end_is_refused(clip, colours):
    with pytest.raises(InvalidInput, match="a has no frame 4, counted from 0; its last one is 3"):
        attention.explain_frame(load(colours()), clip, "red", 4)


@pytest.mark.parametrize(("count", "rotation"), [(6, 0), (7, 90)])
def test_names_of_many_bars_are_upright(count, rotation):
    from matplotlib import pyplot

    view = View("balance", nn.Identity(), lambda x: x, "weights", "Query Balance", [f"query {n}" for n in range(count)])
    drawn, axes = pyplot.subplots()
    attention._draw_numbers(axes, attention.ViewValues(view, np.ones(count, np.float32)))
    assert {label.get_rotation() for label in (*axes.get_xticklabels(), *axes.texts)} == {rotation}
    pyplot.close(drawn)
