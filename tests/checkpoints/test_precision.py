from contextlib import contextmanager

import numpy as np
import pytest
import torch

from refseg import networks
from refseg.checkpoints.config_file import check_precision, check_weights
from refseg.checkpoints.io import load_checkpoint, save_checkpoint
from refseg.checkpoints.precision import use_precision
from refseg.cli import app
from refseg.errors import InvalidInput
from refseg.evaluation.evaluate import evaluate
from refseg.inference.segmenter import Segmenter, load
from refseg.runtimes.entry import RuntimeEntry

NETWORKS = ("lavt_small", "cris_small", "cmirnet_small", "dmmi_small", "cmpc_video_small")


@pytest.fixture(scope="module")
def scene():
    from refseg.datasets.drawn_scenes.dataset import DrawnScenes

    return DrawnScenes("test", count=1)[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_that_are_cast_once_give_what_autocast_gives(name, checkpoint_folder):
    checkpoint = load_checkpoint(checkpoint_folder)
    torch.manual_seed(0)
    checkpoint.network = networks.build(name, networks.configured(name, {}), len(checkpoint.tokenizer)).eval()
    image = torch.rand(1, *checkpoint.network.image_shape((64, 64)))
    tokens = torch.tensor([[3, 4, 5]])
    asked = image, tokens, torch.ones_like(tokens, dtype=torch.bool)
    with torch.inference_mode():
        full = checkpoint.network(*asked).float().logits
        with torch.autocast("cpu", torch.bfloat16):
            expected = checkpoint.network(*asked).float().logits
            checkpoint.name = name
            use_precision(checkpoint, "bf16")
            cast = checkpoint.network(*asked).float().logits
    rounding = (expected - full).abs().max()
    assert rounding > 0
    assert (cast - expected).abs().max() <= 2 * rounding
    halves = [p for p in checkpoint.network.parameters() if p.dtype == torch.bfloat16]
    assert sum(p.numel() for p in halves) > 0.5 * sum(p.numel() for p in checkpoint.network.parameters())


def test_the_bundled_weights_answer_in_bfloat16_as_in_float32(scene):
    texts = [expression.text for expression in scene.expressions]
    full, half = load()(scene.image, texts), load(precision="bf16")(scene.image, texts)
    equal = np.mean([a.mask == b.mask for a, b in zip(full, half, strict=True)])
    assert equal > 0.99
    assert half[0].logits.dtype == torch.float32
    assert all(b.familiar == a.familiar for a, b in zip(full, half, strict=True))


def test_a_precision_without_instructions_for_it_is_not_chosen(checkpoint_folder, monkeypatch):
    monkeypatch.setattr("refseg.checkpoints.precision.supports_bfloat16", lambda: False)
    assert load_checkpoint(checkpoint_folder, precision="auto").network.compute_dtype == torch.float32


@pytest.mark.parametrize(("faster", "chosen"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_faster_precision_is_chosen(checkpoint_folder, monkeypatch, faster, chosen):
    monkeypatch.setattr("refseg.checkpoints.precision.supports_bfloat16", lambda: True)
    clock = iter([0.0, 1.0, 2.0, 2.5 if faster else 2.95])
    monkeypatch.setattr("refseg.checkpoints.precision.time.perf_counter", lambda: next(clock))
    assert load_checkpoint(checkpoint_folder, precision="auto").network.compute_dtype == chosen


def test_processes_choose_together(checkpoint_folder, monkeypatch):
    monkeypatch.setattr("refseg.checkpoints.precision.supports_bfloat16", lambda: True)
    for mean, chosen in (([1.0, 0.5], torch.bfloat16), ([1.0, 1.0], torch.float32)):
        monkeypatch.setattr("refseg.checkpoints.precision.mean_over_processes", lambda _, mean=mean: torch.tensor(mean))
        assert load_checkpoint(checkpoint_folder, precision="auto").network.compute_dtype == chosen


def test_rounded_weights_are_not_saved(checkpoint_folder, tmp_path):
    with pytest.raises(InvalidInput, match="would be saved so; load them with precision='f32'"):
        save_checkpoint(load_checkpoint(checkpoint_folder, precision="bf16"), tmp_path / "new")
    assert not any(tmp_path.iterdir())


def test_exported_weights_have_the_precision_of_their_graphs(checkpoint_folder):
    checkpoint = load_checkpoint(checkpoint_folder)
    for precision, told in (("f32", "float32"), ("bf16", "bfloat16"), ("int8", "int8")):
        checkpoint.runtime = RuntimeEntry.model_construct(precision=precision)
        assert checkpoint.precision == told


def test_an_unfinished_evaluation_does_not_go_on_in_another_precision(checkpoint_folder, tmp_path):
    @contextmanager
    def stops(*_, **__):
        def stop(*_):
            raise KeyboardInterrupt

        yield stop

    for first, then, told in (("bf16", "f32", "bfloat16, now float32"), ("f32", "bf16", "float32, now bfloat16")):
        given = {"dataset": "drawn_scenes", "count": 2, "out": tmp_path / first}
        with pytest.raises(KeyboardInterrupt):
            evaluate(checkpoint_folder, **given, precision=first, progress=stops)
        with pytest.raises(InvalidInput, match=f"another precision .{told}."):
            evaluate(checkpoint_folder, **given, precision=then)


def test_an_unknown_precision_is_refused_before_anything_is_loaded():
    with pytest.raises(InvalidInput, match="unknown precision 'bf61'; did you mean bf16"):
        load_checkpoint("nowhere", precision="bf61")


def test_a_precision_that_weights_do_not_have_is_refused_before_they_are_loaded(monkeypatch):
    with pytest.raises(InvalidInput, match="reader: these weights compute in f32; leave out precision='bf16'"):
        check_weights("reader:finder=annotations", "bf16")
    with pytest.raises(InvalidInput, match="selector: these weights have the precision of their export; leave out"):
        check_precision("selector", True, "bf16")
    check_weights("selector", "bf16")
    monkeypatch.setattr("refseg.inference.segmenter.load", None)
    for command in (["segment", "x.png", "the star", "--weights"], ["evaluate"], ["bench"]):
        words = [*command, "reader:finder=annotations", *(["drawn_scenes"] if command == ["evaluate"] else [])]
        with pytest.raises(InvalidInput, match="compute in f32"):
            app([*words, "--precision", "bf16"], standalone_mode=False)


def test_other_programs_networks_keep_their_precision():
    with pytest.raises(InvalidInput, match="compute in f32; leave out precision='bf16'"):
        load("reader", finder="annotations", precision="bf16")
    assert Segmenter(load_checkpoint("reader:finder=annotations", precision="auto")).network is not None


def test_a_report_says_in_which_precision_it_was_computed(checkpoint_folder):
    about = evaluate(checkpoint_folder, "drawn_scenes", count=1, precision="bf16").about
    assert about["precision"] == "bfloat16"
