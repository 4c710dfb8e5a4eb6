import argparse
import json
import os
import pathlib
import pickle
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from refseg.checkpoints.io import load_checkpoint
from refseg.conversion import mapping
from refseg.conversion.official_layout import TensorSlice, find_layout
from refseg.conversion.to_checkpoint import convert
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.files.digest import sha256
from refseg.preprocessing.transform import Preprocessing, photographs
from refseg.text.word_pieces import WordPieces


@pytest.fixture
def changed(tiny_release, tmp_path):
    """Converts the tiny release after a change of what its file holds."""

    def run(change, **options):
        change(tiny_release.content)
        file = tmp_path / "changed.pth"
        torch.save(tiny_release.content, file)
        return convert("tiny", file, tmp_path / "ours", **options)

    run.folder = tmp_path / "ours"
    return run


def write_tiny(network, file):
    return mapping.write_official(find_layout("tiny"), network, file)


def test_every_tensor_arrives_under_our_name(tiny_release, tmp_path):
    report = convert("tiny", tiny_release.file, tmp_path / "ours")
    weights = load_file(tmp_path / "ours" / "model.safetensors")
    assert weights.keys() == tiny_release.weights.keys()
    for name, value in tiny_release.weights.items():
        assert torch.equal(weights[name], value), name
    assert report.preset == "tiny_narrow" and report.fits
    assert report.tensors_taken == len(tiny_release.weights) + 2  # two stacks of two


def test_aliases_and_what_never_acts_are_left_out_and_named(tiny_release, tmp_path):
    report = convert("tiny", tiny_release.file, tmp_path / "ours")
    assert report.aliases == {"model.layer1.0.weight": "model.backbone.conv.weight"}
    assert report.groups["unused"] == {
        "model.copy.*": 2,
        "bert_model.embeddings.position_ids": 1,
        "bert_model.pooler.*": 1,
    }
    assert report.others == ("optimizer", "lr_scheduler", "epoch")


def test_the_checkpoint_says_what_it_is(tiny_release, tmp_path):
    convert("tiny", tiny_release.file, tmp_path / "ours", knows="photographs", about={"Trained on": "RefCOCOg"})
    checkpoint = load_checkpoint(tmp_path / "ours")
    assert checkpoint.name == "tiny" and checkpoint.knows == "photographs" and checkpoint.recipe == ""
    assert checkpoint.preprocessing == photographs(448)
    assert len(checkpoint.tokenizer) == 30522
    digest = sha256(tiny_release.file)
    assert checkpoint.trained_on == {"converted_from": "release.pth", "sha256": digest}
    for said in (digest, "RefCOCOg", "not stated", "model.copy.*", "448 x 448"):
        assert said in checkpoint.card


@pytest.mark.parametrize(("args", "asked", "side"), [({}, None, 480), ({"img_size": 448}, None, 448), ({}, 320, 320)])
def test_the_image_size_is_the_asked_one_or_that_of_the_file(changed, args, asked, side):
    changed(lambda content: content.update(args=argparse.Namespace(**args)), image_size=asked)
    assert load_checkpoint(changed.folder).preprocessing.side == side


def test_the_way_back_gives_every_tensor_bit_for_bit(tiny_release, tmp_path):
    convert("tiny", tiny_release.file, tmp_path / "ours")
    report = mapping.write_official(
        find_layout("tiny"), load_checkpoint(tmp_path / "ours").network, tmp_path / "back.pth"
    )
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert list(back) == ["model", "bert_model"]
    for key, value in tiny_release.content["model"].items():
        name = key.removeprefix("module.")
        if not name.startswith("copy."):
            assert torch.equal(back["model"][name], value), name
    assert back["model"]["copy.bias"].tolist() == [1, 1, 1] and report.groups["unused"] == {"model.copy.*": 2}
    assert back["bert_model"].keys() == tiny_release.content["bert_model"].keys() - {
        "embeddings.position_ids",
        "pooler.dense.weight",
    }
    convert("tiny", tmp_path / "back.pth", tmp_path / "again")
    ours, again = (load_file(tmp_path / name / "model.safetensors") for name in ("ours", "again"))
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_a_pooler_is_written_for_scripts_that_want_one(tiny_release, tmp_path):
    sys.modules["tiny_release"].TinyLayout.has_pooler = True
    convert("tiny", tiny_release.file, tmp_path / "ours")
    report = mapping.write_official(
        find_layout("tiny"), load_checkpoint(tmp_path / "ours").network, tmp_path / "back.pth"
    )
    assert report.groups["unused"]["bert_model.pooler.*"] == 2


def test_a_network_that_the_authors_do_not_have_is_not_written(tiny_release, tmp_path):
    from refseg import networks

    network = networks.build("tiny", {"width": 5}, 30522)
    with pytest.raises(InvalidInput, match="no such network: beside tiny_wide .* of another shape"):
        write_tiny(network, tmp_path / "back.pth")
    assert not (tmp_path / "back.pth").exists()


def rename(content):
    content["model"]["module.backbone.conv.kernel"] = content["model"].pop("module.backbone.conv.bias")


def test_a_renamed_tensor_is_missing_and_unexpected(changed, tmp_path):
    with pytest.raises(
        InvalidInput, match=r"1 missing \(model.backbone.conv.bias\), 1 unexpected .*report_file='fit.json'"
    ):
        changed(rename)
    assert not changed.folder.exists()
    with pytest.raises(InvalidInput, match="why.json lists all"):
        changed(lambda _: None, report_file=tmp_path / "why.json")
    why = json.loads((tmp_path / "why.json").read_text())
    assert why["missing"] == ["model.backbone.conv.bias"] and why["unexpected"] == ["model.backbone.conv.kernel"]


def test_a_tensor_of_another_shape_is_refused(changed):
    with pytest.raises(InvalidInput, match=r"model.project.weight: 4x8 in place of 4x8x1"):
        changed(lambda content: content["model"].update({"module.project.weight": torch.zeros(4, 8)}))


def test_two_names_of_one_tensor_must_hold_the_same(changed):
    with pytest.raises(InvalidInput, match="layer1.0.weight and model.backbone.conv.weight differ"):
        changed(lambda content: content["model"].update({"module.layer1.0.weight": torch.zeros(4, 3, 1, 1)}))


def test_another_networks_file_is_refused(changed):
    with pytest.raises(InvalidInput, match="changed.pth: no tiny network has these tensors"):
        changed(lambda content: content.update(model={"head.weight": torch.zeros(1)}))


def test_the_other_file_of_a_release_is_refused(tiny_release, tmp_path):
    with pytest.raises(InvalidInput, match="holds a tiny_narrow, not a tiny_wide"):
        convert("tiny", tiny_release.file, tmp_path / "ours", expected="tiny_wide")


def test_numbers_that_are_not_finite_are_refused_and_nothing_is_written(changed):
    with pytest.raises(InvalidInput, match="changed.pth: image_encoder.0.bias holds numbers that are not finite"):
        changed(lambda content: content["model"]["module.backbone.conv.bias"].fill_(float("nan")))
    assert not changed.folder.exists()


def test_settings_that_are_objects_are_passed_over_and_named(changed):
    settings = argparse.Namespace(img_size=448, output_dir=pathlib.PurePosixPath("runs"))
    report = changed(lambda content: content.update(args=settings, best_iou=np.float64(0.6)))
    assert load_checkpoint(changed.folder).preprocessing.side == 448
    assert report.others == ("args.output_dir", "optimizer", "lr_scheduler", "epoch", "best_iou")


@pytest.mark.parametrize("prefixes", [("module.", "_orig_mod."), ("_orig_mod.", "module."), ("module.module.", "")])
def test_prefixes_of_wrappers_are_left_out_and_what_they_count_is_named(changed, prefixes):
    def wrap(content):
        names = {name.removeprefix("module."): value for name, value in content["model"].items()}
        content["model"] = {"".join(prefixes) + name: value for name, value in names.items()}
        content["model"]["n_averaged"] = torch.tensor(5)

    report = changed(wrap)
    assert report.fits and report.others[0] == "model.n_averaged"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("bert_model"), "has no 'bert_model' .it holds model, .* training script saved"),
        (lambda content: content.pop("model"), "has no 'model'"),
        (lambda content: content.update(model=3), "'model' is not a state dict"),
        (lambda content: content["model"].update({"module.a": "b"}), "model.module.a is a str, not a tensor"),
    ],
)
def test_a_file_without_the_tensors_is_refused(changed, change, message):
    with pytest.raises(InvalidInput, match=message):
        changed(change)
    assert not changed.folder.exists()


class Runs:
    def __reduce__(self):
        return os.system, ("touch it_ran",)


def test_code_in_a_file_is_named_and_never_run(changed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=r"holds code \((posix|nt).system\), which is never run"):
        changed(lambda content: content.update(epoch=Runs()))
    assert not (tmp_path / "it_ran").exists() and not changed.folder.exists()


def test_code_in_a_file_of_the_old_format_is_not_run_either(tiny_release, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tiny_release.content["epoch"] = Runs()
    torch.save(tiny_release.content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(InvalidInput, match="holds code"):
        convert("tiny", tmp_path / "old.pth", tmp_path / "ours")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Runs()))
    with pytest.raises(InvalidInput, match="bare.pth"):
        convert("tiny", tmp_path / "bare.pth", tmp_path / "ours")
    assert not (tmp_path / "it_ran").exists()


def test_a_file_of_the_old_format_is_read(tiny_release, tmp_path):
    torch.save(tiny_release.content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert convert("tiny", tmp_path / "old.pth", tmp_path / "ours").fits


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("new_format", [True, False])
def test_a_truncated_file_is_refused(tiny_release, tmp_path, share, new_format):
    torch.save(tiny_release.content, tmp_path / "whole.pth", _use_new_zipfile_serialization=new_format)
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InvalidInput, match="cut.pth is (empty|damaged|not a checkpoint)"):
        convert("tiny", tmp_path / "cut.pth", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "picture.pth is"),
        (b"PK\x03\x04" + bytes(100), "picture.pth is damaged"),
        (b"just some text\n", "picture.pth is"),
        (b" <!DOCTYPE html><html>quota exceeded</html>", "is a web page"),
        (pickle.dumps([1, 2]), "picture.pth"),
    ],
)
def test_something_else_than_a_checkpoint_is_refused(tiny_release, tmp_path, content, message):
    (tmp_path / "picture.pth").write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        convert("tiny", tmp_path / "picture.pth", tmp_path / "ours")


def test_a_tensor_alone_a_folder_and_nothing_are_refused(tiny_release, tmp_path):
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(InvalidInput, match="holds a Tensor"):
        convert("tiny", tmp_path / "tensor.pth", tmp_path / "ours")
    with pytest.raises(InvalidInput, match="is a folder"):
        convert("tiny", tmp_path, tmp_path / "ours")
    with pytest.raises(MissingFile, match="published_weights.md"):
        convert("tiny", tmp_path / "nowhere.pth", tmp_path / "ours")


def test_a_folder_of_something_else_is_left_alone(tiny_release, tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "thesis.tex").touch()
    with pytest.raises(UnwritableOutput, match="no checkpoint"):
        convert("tiny", tiny_release.file, tmp_path / "ours", overwrite=True)
    assert [file.name for file in (tmp_path / "ours").iterdir()] == ["thesis.tex"]


def test_ctrl_c_leaves_nothing(tiny_release, tmp_path, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("refseg.checkpoints.io.save_file", interrupted)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        convert("tiny", tiny_release.file, tmp_path / "ours", overwrite=True)
    assert sorted(tmp_path.iterdir()) == before
    shutil.rmtree(tmp_path)


class TestOtherForms:
    """Layouts that differ from the defaults."""

    @pytest.fixture
    def tiny(self, tiny_release):
        """The layout of the tiny release."""
        return sys.modules["tiny_release"].TinyLayout

    def test_words_are_found_in_either_place_and_go_back_to_the_first(self, tiny, tiny_release, changed, tmp_path):
        tiny.bert_prefixes = ("bert_model.", "model.text_encoder.")

        def move(content):
            words = content.pop("bert_model")
            content["model"] |= {f"module.text_encoder.{key}": value for key, value in words.items()}

        report = changed(move)
        weights = load_file(changed.folder / "model.safetensors")
        assert all(torch.equal(weights[name], value) for name, value in tiny_release.weights.items())
        table = "embeddings.word_embeddings.weight"
        assert report.taken[f"word_encoder.bert.{table}"] == (f"model.text_encoder.{table}",)
        assert report.groups["unused"]["model.text_encoder.embeddings.position_ids"] == 1
        write_tiny(load_checkpoint(changed.folder).network, tmp_path / "back.pth")
        back = torch.load(tmp_path / "back.pth", weights_only=True)
        assert torch.equal(back["bert_model"][table], tiny_release.weights[f"word_encoder.bert.{table}"])
        assert convert("tiny", tmp_path / "back.pth", tmp_path / "again").fits

    def test_words_in_neither_place_are_missing(self, tiny, changed):
        tiny.bert_prefixes = ("bert_model.", "model.text_encoder.")
        with pytest.raises(InvalidInput, match="has no 'bert_model'"):
            changed(lambda content: content.pop("bert_model"))

    @pytest.fixture
    def pieces(self, tiny, tiny_release, monkeypatch):
        """The tiny release as one state dict, with a stack of three of our tensors and a transposed one."""
        names, model = tiny.official_names, tiny_release.content["model"]
        start, parts = "word_encoder.bert.", ("query", "key", "value")

        def official_names(self, network):
            found = {key: f"words.{key.removeprefix(start)}" for key in network.state_dict() if key.startswith(start)}
            for key in found:
                for part, name in enumerate(parts):
                    if f".self.{name}." in key:
                        found[key] = TensorSlice(found[key].replace(f".{name}.", ".all."), part, of=3)
            return names(self, network) | found | {"project.weight": TensorSlice("project", transposed=True)}

        for key, value in tiny_release.content.pop("bert_model").items():
            if not key.startswith(("pooler.", "embeddings.position_ids")) and ".self." not in key:
                model[f"module.words.{key}"] = value
        own, layer = tiny_release.weights, "encoder.layer.0.attention.self"
        for leaf in ("weight", "bias"):
            stack = torch.cat([own[f"{start}{layer}.{name}.{leaf}"] for name in parts])
            model[f"module.words.{layer}.all.{leaf}"] = stack
        del model["module.project.weight"]
        model["module.project"] = own["project.weight"].mT.contiguous()
        tiny_release.content["state_dict"] = tiny_release.content.pop("model")
        tiny.entry, tiny.bert_prefixes, tiny.official_names = "state_dict", (), official_names
        del tiny.official_shapes
        return tiny_release

    def test_parts_and_transposed_tensors_arrive_and_go_back(self, pieces, changed, tmp_path):
        report = changed(lambda _: None)
        weights = load_file(changed.folder / "model.safetensors")
        assert all(torch.equal(weights[name], value) for name, value in pieces.weights.items())
        assert report.tensors_taken == len(pieces.content["state_dict"]) - 3  # an alias, and two that never act
        assert "epoch" in report.others and "state_dict" not in report.others
        write_tiny(load_checkpoint(changed.folder).network, tmp_path / "back.pth")
        back = torch.load(tmp_path / "back.pth", weights_only=True)
        assert list(back) == ["state_dict"]
        for key, value in pieces.content["state_dict"].items():
            if ".copy." not in key:
                assert torch.equal(back["state_dict"][key.removeprefix("module.")], value), key

    @pytest.mark.parametrize(
        ("name", "shape", "message"),
        [
            ("words.encoder.layer.0.attention.self.all.weight", (16, 8), "16x8 in place of 24x8"),
            ("project", (4, 8), "state_dict.project: 4x8 in place of 8x4"),
        ],
    )
    def test_parts_and_transposed_tensors_of_another_shape_are_refused_once(
        self, pieces, changed, name, shape, message
    ):
        with pytest.raises(InvalidInput, match=f": 1 of another shape .*{message}"):
            changed(lambda content: content["state_dict"].update({f"module.{name}": torch.zeros(shape)}))

    def test_a_file_without_the_entry_is_told_what_to_look_for(self, pieces, changed):
        with pytest.raises(InvalidInput, match="has no 'state_dict' .*the network as 'state_dict' .initial"):
            changed(lambda content: content.update(model=content.pop("state_dict")))

    def test_the_layout_has_its_own_tokenizer_and_images(self, tiny, tiny_release, changed):
        tiny.tokenizer = lambda self, max_words: WordPieces(max_words + 1)
        tiny.preprocessing = lambda self, side: Preprocessing(side=side)
        tiny.image_size, tiny.image_note = 416, "as they are, at {side}"
        changed(lambda content: content.pop("args"))
        checkpoint = load_checkpoint(changed.folder)
        assert checkpoint.tokenizer.max_words == 21
        assert checkpoint.preprocessing == Preprocessing(side=416)
        assert "| Images | as they are, at 416 |" in checkpoint.card
