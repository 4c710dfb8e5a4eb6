import errno
import json
import os
import shutil
import time
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file, save_file

from refseg import networks
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.empty_network import load_into
from refseg.checkpoints.familiarity import Familiarity
from refseg.checkpoints.io import _tokenizer_entry, load_checkpoint, save_checkpoint
from refseg.checkpoints.locate import find
from refseg.checkpoints.tokenizers import build_tokenizer
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.text.byte_pairs import BytePairs

SMALL = [f"{name}_small" for name in "cris eavl vlt lavt cmpc cmirnet dcmfnet dmmi cmpc_video".split()]


@pytest.fixture
def folder(checkpoint_folder, tmp_path):
    """A copy to break."""
    return shutil.copytree(checkpoint_folder, tmp_path / "copy")


def edit(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_what_is_saved_is_loaded(checkpoint_folder, tmp_path):
    checkpoint = load_checkpoint(checkpoint_folder)
    checkpoint.calibration = Calibration(temperature=2.0, exists_threshold=0.25, fitted_on="ten scenes")
    checkpoint.familiarity = Familiarity(torch.randn(4), torch.randn(4, 4), threshold=3.5, fitted_on="ten scenes")
    save_checkpoint(checkpoint, tmp_path / "again")
    again = load_checkpoint(tmp_path / "again")
    for name in ("name", "preprocessing", "calibration", "knows", "recipe", "card", "trained_on"):
        assert getattr(again, name) == getattr(checkpoint, name)
    assert again.tokenizer.words == checkpoint.tokenizer.words
    assert again.familiarity is not None and again.familiarity.threshold == 3.5
    torch.testing.assert_close(again.familiarity.precision, checkpoint.familiarity.precision)
    torch.testing.assert_close(again.network.state_dict(), checkpoint.network.state_dict())


def test_the_existence_threshold_reaches_the_network_as_a_logit(checkpoint_folder, tmp_path):
    checkpoint = load_checkpoint(checkpoint_folder)
    assert checkpoint.network.exists_threshold_logit == 0
    checkpoint.calibration = Calibration(temperature=2.0, exists_threshold=0.25)
    save_checkpoint(checkpoint, tmp_path / "again")
    t = torch.tensor(load_checkpoint(tmp_path / "again").network.exists_threshold_logit)
    torch.testing.assert_close((t / 2).sigmoid(), torch.tensor(0.25))


def test_a_release_is_half_as_large_and_lacks_what_only_training_needs(checkpoint_folder, tmp_path):
    checkpoint = load_checkpoint(checkpoint_folder)
    save_checkpoint(checkpoint, tmp_path / "whole")
    save_checkpoint(checkpoint, tmp_path / "half", half=True)
    whole, half = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "half"))
    assert set(whole) - set(half) == {name for name in whole if name.startswith(checkpoint.network.training_only)}
    assert half["chooser.score.weight"].dtype == torch.float16
    assert not load_checkpoint(tmp_path / "half").network.training


def test_a_checkpoint_is_replaced_as_a_whole(checkpoint_folder, folder):
    (folder / "left_over").touch()
    checkpoint = load_checkpoint(checkpoint_folder)
    checkpoint.card, checkpoint.recipe = "", "name: any"
    save_checkpoint(checkpoint, folder)  # texts that are empty make no files
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors", "recipe.yaml"]
    assert [path.name for path in folder.parent.iterdir()] == ["copy"]


def test_a_folder_with_other_things_is_not_replaced(checkpoint_folder, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UnwritableOutput, match="no checkpoint"):
        save_checkpoint(load_checkpoint(checkpoint_folder), tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_a_place_that_cannot_be_written_is_told_in_one_line(checkpoint_folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableOutput, match="cannot be written"):
        save_checkpoint(load_checkpoint(checkpoint_folder), tmp_path / "file" / "below")


def remove_weights(folder):
    (folder / "model.safetensors").unlink()


def remove_config(folder):
    (folder / "config.json").unlink()


def take_its_run(folder):
    run = shutil.copytree(folder, folder / "weights", copy_function=shutil.copy)
    for file in folder.iterdir():
        if file != run:
            file.unlink()


def cut_weights(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def break_config(folder):
    (folder / "config.json").write_text("{")


def change_tensor(name, change):
    def fault(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors, name)
        save_file(tensors, folder / "model.safetensors")

    return fault


def change_config(change):
    return lambda folder: edit(folder, change)


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (remove_weights, MissingFile, "model.safetensors is missing"),
        (remove_config, MissingFile, "config.json is missing"),
        (take_its_run, MissingFile, "is the folder of a training; give its weights: "),
        (cut_weights, InvalidInput, "damaged"),
        (break_config, InvalidInput, "not valid JSON"),
        (change_config(lambda c: c.update(format=7)), InvalidInput, "format 7"),
        (change_config(lambda c: c.pop("format")), InvalidInput, "format None"),
        (change_config(lambda c: c.update(colour="red")), InvalidInput, "colour: unknown field"),
        (change_config(lambda c: c.pop("calibration")), InvalidInput, "calibration: is missing"),
        (change_config(lambda c: c["network"].update(name="selektor")), InvalidInput, "unknown network 'selektor'"),
        (change_config(lambda c: c["network"]["config"].update(width="wide")), InvalidInput, "width"),
        (change_config(lambda c: c["network"]["config"].update(blocks=5)), InvalidInput, "lacks chooser.blocks.4"),
        (
            change_config(lambda c: c["network"]["config"].update(blocks=3)),
            InvalidInput,
            "has unknown chooser.blocks.3",
        ),
        (change_config(lambda c: c["tokenizer"]["words"].append("dog")), InvalidInput, "other shapes of chooser.words"),
        (change_tensor("finder.norm.bias", lambda t, n: t.pop(n)), InvalidInput, "lacks finder.norm.bias"),
        (
            change_config(lambda c: c.update(familiarity={"threshold": 1.0, "fitted_on": "x"})),
            InvalidInput,
            "lacks 'familiarity.mean'",
        ),
    ],
)
def test_a_broken_checkpoint_is_explained_in_one_line(folder, fault, error, said):
    fault(folder)
    with pytest.raises(error) as caught:
        load_checkpoint(folder)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def set_size(*path, value):
    def change(config):
        node = config
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return change_config(change)


@pytest.mark.parametrize("value", [-1, 0, 10**6, 10**9, 10**100, 1.5, "1"])
@pytest.mark.parametrize(
    "path",
    [
        ("network", "config", "width"),
        ("network", "config", "stages", 0),
        ("network", "config", "blocks"),
        ("network", "config", "heads"),
        ("network", "config", "candidates"),
        ("network", "config", "max_words"),
        ("network", "config", "attributes"),
        ("tokenizer", "max_words"),
        ("preprocessing", "side"),
        ("preprocessing", "longest_side"),
        ("preprocessing", "multiple_of"),
        ("preprocessing", "std"),
        ("preprocessing", "clip", "offsets"),
    ],
)
def test_sizes_that_no_network_has_are_refused_in_one_line(folder, path, value):
    set_size(*path, value=value)(folder)
    try:
        load_checkpoint(folder)  # 1.5, or "1", may be allowed
    except InvalidInput as error:
        assert str(folder) in str(error) and "\n" not in str(error) and len(str(error)) < 600
    else:
        assert value in (1.5, "1") or path[-1] in ("std", "longest_side") and value > 0


def test_no_memory_is_taken_for_sizes_that_the_weights_do_not_have(folder, monkeypatch):
    set_size("network", "config", "width", value=16_384)(folder)
    devices = set()
    build = networks.build

    def noting(*arguments):
        devices.add(torch.get_default_device().type)
        return build(*arguments)

    monkeypatch.setattr(networks, "build", noting)
    with pytest.raises(InvalidInput, match="has other shapes of"):
        load_checkpoint(folder)
    assert devices == {"meta"}


def test_clips_that_the_network_does_not_take_are_refused(folder):
    set_size("preprocessing", "clip", "offsets", value=[-1, 0, 1])(folder)
    with pytest.raises(InvalidInput, match="does not take clips"):
        load_checkpoint(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["finder.norm.bias", "chooser.score.weight"])
def test_weights_that_are_not_finite_are_refused_by_name(folder, name, value):
    change_tensor(name, lambda tensors, name: tensors[name].view(-1)[-1:].fill_(value))(folder)
    with pytest.raises(InvalidInput, match=f"model.safetensors: {name} holds numbers that are not finite"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "not valid JSON"),
        (b'{"format": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"format": NaN}', "NaN is no number"),
        (b'{"format": 1, "knows": "\xff"}', "is not UTF-8"),
        (b'{"format": {"a": 1}}', "has format"),
        (b'{"format": [' + b"1," * 10_000 + b"1]}", "has format"),
        (b'{"format": 1' + b"".join(b', "%d": 1' % k for k in range(5000)) + b"}", "unknown field.* more$"),
        (b'{"format": 1, "' + b"k" * 5000 + b'": 1}', "unknown field"),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_one_line(folder, content, said):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=said) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_numbers_of_a_config_are_finite(folder):
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"temperature": 1.0', '"temperature": 1e999'))
    with pytest.raises(InvalidInput, match="temperature: input should be a finite number"):
        load_checkpoint(folder)


def test_files_may_begin_with_a_byte_order_mark(folder):
    (folder / "recipe.yaml").write_text("name: any")
    for name in ("config.json", "recipe.yaml"):
        path = folder / name
        path.write_text(path.read_text(), encoding="utf-8-sig")
    assert not load_checkpoint(folder).recipe.startswith("\ufeff")


@pytest.mark.parametrize("name", ["recipe.yaml", "card.md"])
def test_a_text_beside_the_weights_that_is_not_utf_8_is_told(folder, name):
    (folder / name).write_bytes("caf\u00e9".encode("latin1"))
    with pytest.raises(InvalidInput, match=f"{name} is not UTF-8 .*save it as UTF-8"):
        load_checkpoint(folder)


@pytest.mark.parametrize("where", ["x" * 300, "x" * 5000, "a\0b"])
def test_a_name_that_no_folder_can_have_is_told(where):
    with pytest.raises((InvalidInput, MissingFile)) as caught:
        load_checkpoint(where)
    assert "\n" not in str(caught.value)


def test_a_folder_that_may_not_be_entered_is_told(folder, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(InvalidInput, match="cannot be opened .*Permission denied"):
        find(folder)


def test_a_familiarity_that_is_no_square_is_refused(checkpoint_folder, tmp_path):
    checkpoint = load_checkpoint(checkpoint_folder)
    checkpoint.familiarity = Familiarity(torch.randn(4), torch.randn(4, 3), threshold=3.5, fitted_on="ten scenes")
    save_checkpoint(checkpoint, tmp_path / "again")
    with pytest.raises(InvalidInput, match="other shapes of familiarity.precision"):
        load_checkpoint(tmp_path / "again")


def test_unknown_weights_are_told_with_the_names_there_are(tmp_path):
    for where in ("selektor", str(tmp_path / "none"), tmp_path / "none"):
        with pytest.raises(MissingFile, match="bundled|one of"):
            find(where)
    (tmp_path / "model.pth").touch()
    with pytest.raises(InvalidInput, match="is a file"):
        find(tmp_path / "model.pth")


def test_without_the_hub_the_answer_comes_at_once(monkeypatch):
    import huggingface_hub

    class Unplugged:
        def head(self, *_, **__):
            raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "get_session", Unplugged)
    start = time.perf_counter()
    with pytest.raises(MissingFile, match="cannot be reached"):
        find("nobody/nothing-of-that-name")
    assert time.perf_counter() - start < 15  # the hub's own retries take longer


def test_an_unknown_device_is_told(checkpoint_folder):
    with pytest.raises(InvalidInput, match="device 'toaster'"):
        load_checkpoint(checkpoint_folder, device="toaster")


def test_the_tokenizer_of_clip_is_kept_by_its_name():
    entry = _tokenizer_entry(BytePairs(22))
    assert entry.model_dump() == {"name": "clip_byte_pairs", "max_words": 22}
    again = build_tokenizer(entry)
    assert isinstance(again, BytePairs) and again.max_words == 22


@pytest.mark.parametrize("name", ["recipe.yaml", "card.md"])
def test_a_pipe_in_the_place_of_a_text_is_not_waited_for(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(InvalidInput, match=f"{name} is no file"):
        load_checkpoint(folder)


def test_whole_numbers_in_the_place_of_weights_are_told(folder):
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name, value in tensors.items() if value.is_floating_point())
    save_file({**tensors, name: tensors[name].int()}, folder / "model.safetensors")
    with pytest.raises(InvalidInput, match=f"has numbers of another type in {name}"):
        load_checkpoint(folder)


def test_weights_of_a_training_that_has_not_ended_say_how_it_goes_on(tmp_path):
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(MissingFile, match=f"go on with: refseg train --resume --out {tmp_path}$"):
        find(tmp_path / "weights")
    (tmp_path / "best").mkdir()
    with pytest.raises(MissingFile, match=f", or take the best so far: {tmp_path / 'best'}$"):
        find(str(tmp_path / "weights"))


@pytest.mark.parametrize("name", SMALL)
def test_no_first_values_are_made_for_weights_that_a_file_holds(name):
    build = Mock(side_effect=partial(networks.build, name, networks.configured(name, {}), 60))
    given = build()
    loaded = load_into(build, given.state_dict())
    assert build.call_count == 2
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in given.parameters()]
    for (one, own), (other, known) in zip(loaded.named_buffers(), given.named_buffers(), strict=True):
        assert one == other and torch.equal(own, known)  # those that no file holds, too
    if given.frames == 1:
        tokens = torch.tensor([[3, 4, 5]])
        asked = torch.rand(1, 3, 64, 64), tokens, torch.ones_like(tokens, dtype=torch.bool)
        with torch.inference_mode():
            assert torch.equal(loaded.eval()(*asked).logits, given.eval()(*asked).logits)


class WithScratch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(2))
        self.register_buffer("scale", torch.empty(2).fill_(3), persistent=False)


class WithTable(torch.nn.Linear):
    def __init__(self):
        super().__init__(1, 1, bias=False)
        self.table = torch.empty(2).fill_(4)


def test_what_is_filled_and_in_no_file_is_made():
    loaded = load_into(WithScratch, {"weight": torch.ones(2)})
    assert loaded.weight.tolist() == [1, 1] and loaded.scale.tolist() == [3, 3]
    assert load_into(WithTable, {"weight": torch.ones(1, 1)}).table.tolist() == [4, 4]


def test_weights_of_training_that_a_file_lacks_are_drawn(checkpoint_folder, tmp_path):
    save_checkpoint(load_checkpoint(checkpoint_folder), tmp_path / "half", half=True)
    network = load_checkpoint(tmp_path / "half").network
    drawn = [p for name, p in network.named_parameters() if name.startswith(network.training_only)]
    assert drawn and all(p.isfinite().all() and p.std() < 10 for p in drawn if p.numel() > 1)
