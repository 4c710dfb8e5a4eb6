"""What networks cost with their words, and how fast they are."""

import pytest

from refseg.inspection import speed
from refseg.inspection.costs import count_words, read_costs


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(speed, "MOST_SECONDS", 0.0)


def test_a_word_encoder_is_counted_with_and_without_embeddings():
    words = count_words("cris_small")
    assert words["all"]["parameters"] == read_costs("cris_small")["word_encoder_parameters"]
    assert 0 < words["layers"]["parameters"] < words["all"]["parameters"]
    assert 0 < words["layers"]["multiply_adds"] < words["all"]["multiply_adds"]  # attention products


@pytest.mark.slow
def test_cris_has_with_its_words_the_parameters_of_eavls_table_6():
    counted = count_words("cris_resnet101")["all"]["parameters"] + read_costs("cris_resnet101")["parameters"]
    assert round(counted / 1e6, 2) == 161.25


@pytest.mark.parametrize("name", ["dmmi_small", "cmpc_video_small"])
def test_speed_is_measured_of_networks_of_images_and_of_clips(name):
    assert speed.measure_images_per_second(name, side=64) > 0
    assert speed.measure_training_seconds(name, side=64) > 0


@pytest.mark.parametrize(("limit", "measured"), [(22.0, [2.0, 4.0]), (0.0, [8.0])])
def test_runs_that_warm_up_do_not_count_and_a_slow_machine_has_fewer(limit, measured, monkeypatch):
    now, left = 0.0, [9.0, 8.0, 2.0, 4.0, 1.0]

    def run():
        nonlocal now
        now += left.pop(0)

    monkeypatch.setattr(speed.time, "perf_counter", lambda: now)
    monkeypatch.setattr(speed, "MOST_SECONDS", limit)
    assert speed._seconds(run, "cpu") == measured
