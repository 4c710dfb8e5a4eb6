import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from refseg.checkpoints.io import load_checkpoint
from refseg.cli import app
from refseg.conversion import cmpc, fit_report, mapping
from refseg.errors import InvalidInput, MissingFile, RefsegError
from refseg.networks.cmpc import CMPC, PRESETS
from refseg.text.word_list import SPECIAL, WordList

LAYOUT = Path(__file__).parents[1] / "assets" / "parity" / "cmpc_image.json"
SCOPE = "text_objseg/"
SIDES = {24: 300, 32: 500, 48: 1000, 56: 1008, 60: 30, 64: 1000, 72: 1300, 80: 1500, 128: 2000, 152: 3008, 192: 4000}


@pytest.fixture(scope="module")
def shapes():
    """The variables of the authors' checkpoint at full width, but with 30 words, in TensorFlow's layout."""
    head = {}
    for entry in json.loads(LAYOUT.read_text())["state_dict"]:
        name, shape = entry["tf_name"], entry["tf_shape"]
        whole = [SIDES.get(side, side) if side != shape[0] or len(shape) != 4 else side for side in shape]
        head[name] = (40, 40, 500) if "/W_c" in name else tuple(whole)
    return head | trunk()


def trunk():
    """Caffe's ResNet-101 in the order of its layers."""
    made = {"conv1/DW": (7, 7, 3, 64)} | norm("bn_conv1", 64)
    inputs = 64
    for stage, blocks in ((2, 3), (3, 4), (4, 23), (5, 3)):
        inner = 64 * 2 ** (stage - 2)
        letters = "abc" if stage in (2, 5) else ["a", *(f"b{n}" for n in range(1, blocks))]
        for block in letters:
            place = f"{stage}{block}_branch"
            if block == "a":
                made |= {f"res{place}1/DW": (1, 1, inputs, 4 * inner)} | norm(f"bn{place}1", 4 * inner)
            made |= {f"res{place}2a/DW": (1, 1, inputs, inner), f"res{place}2b/DW": (3, 3, inner, inner)}
            made |= {f"res{place}2c/DW": (1, 1, inner, 4 * inner)}
            for letter, size in (("a", inner), ("b", inner), ("c", 4 * inner)):
                made |= norm(f"bn{place}2{letter}", size)
            inputs = 4 * inner
    return {f"deeplab/{name}": shape for name, shape in made.items()}


def norm(name, size):
    return {f"{name}/{leaf}": (size,) for leaf in ("gamma", "beta", "moving_mean", "moving_variance")}


def short(full):
    return cmpc.short_name(full)


def test_every_variable_has_a_place_of_its_shape(shapes):
    with torch.device("meta"):
        tensors = {
            f"{cmpc.ENTRY}.{short(name)}": torch.empty(torch_shape(name, shape)) for name, shape in shapes.items()
        }
    network, _, report = mapping.compare(cmpc.CMPCLayout(), tensors)
    assert report.preset == "cmpc_release" and report.fits, fit_report.misfits(report)
    assert network.word_encoder.vectors.num_embeddings == 30
    assert report.tensors_taken == len(shapes)


def torch_shape(name, shape):
    if len(shape) == 4:
        return (*shape[:1:-1], *shape[:2])
    return shape[::-1] if name.endswith("/kernel") else shape


def test_every_name_is_that_of_one_tensor():
    with torch.device("meta"):
        network = CMPC(PRESETS["cmpc_release"], 30)
    places = [
        place if isinstance(place, tuple) else (place,) for place in cmpc.CMPCLayout().official_names(network).values()
    ]
    names = [name for place in places for name in place]
    assert len(set(names)) == len(names)


@pytest.fixture
def export(tmp_path, tiny_release_of_cmpc):
    """A file of few channels, and the list of words that goes with it."""
    path, words = tmp_path / "cmpc.npz", tmp_path / "words.txt"
    WordList([*SPECIAL, *(f"word{n}" for n in range(26))]).write(words)
    slots = {f"{SCOPE}{SCOPE}fusion_c5/DW/Adam{n}": np.zeros(3, np.float32) for n in ("", "_1")}
    np.savez(path, **tiny_release_of_cmpc, **slots, **{"beta1_power": np.float32(0.5), "global_step": np.int64(7)})
    return path, words


@pytest.fixture
def tiny_release_of_cmpc(shapes, monkeypatch):
    """The authors' variables with a tenth of the channels and one block a stage, and such a preset to take them."""
    config = PRESETS["cmpc_release"].replace(
        image_encoder={"kind": "deeplab", "depths": (1, 1, 1, 1)},
        word_encoder={"kind": "lstm", "vector": 6, "width": 10},
        parser_hidden=7,
        width=8,
        fused=5,
        grid_hw=(4, 4),
    )
    monkeypatch.setitem(PRESETS, "cmpc_release", config)
    torch.manual_seed(0)
    network = CMPC(config, 30)
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    places = mapping.map_tensors(cmpc.CMPCLayout(), network)
    tensors = mapping.to_official(places, network.state_dict())
    named = {name.removeprefix(f"{cmpc.ENTRY}."): value for name, value in tensors.items()}
    return {
        (name if cmpc.TRUNK.search(name) else SCOPE + name): cmpc.to_tensorflow(name, value)
        for name, value in named.items()
    }


def convert(*arguments: object) -> str:
    asked = ["convert", "cmpc", *map(str, arguments)]
    return CliRunner().invoke(app, asked, catch_exceptions=False, standalone_mode=False).output


def test_an_export_becomes_a_checkpoint_and_an_export_again(export, tiny_release_of_cmpc, tmp_path):
    path, words = export
    out = convert(path, "--vocabulary", words, "--out", tmp_path / "ours")
    assert out.startswith("cmpc_release: ") and "not read: Adam (2), beta1_power (1), global_step (1)" in out
    checkpoint = load_checkpoint(tmp_path / "ours")
    assert checkpoint.name == "cmpc" and checkpoint.tokenizer.ids("word3 what") == [7, 3]
    assert checkpoint.preprocessing.side == 320 and checkpoint.preprocessing.resize == "letterbox_rounded"
    convert(tmp_path / "ours", "--to-official", "--out", tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert set(back.files) == set(tiny_release_of_cmpc)
        for name, value in tiny_release_of_cmpc.items():
            np.testing.assert_array_equal(back[name], value)


def test_values_arrive_where_their_layer_is(export, tiny_release_of_cmpc, tmp_path):
    path, words = export
    convert(path, "--vocabulary", words, "--out", tmp_path / "ours")
    ours = load_file(tmp_path / "ours" / "model.safetensors")
    theirs = {name.removeprefix(SCOPE): value for name, value in tiny_release_of_cmpc.items()}
    heads = [theirs[f"vis_trans_c4_head{n}/DW"][0, 0].T for n in range(1, 6)]
    np.testing.assert_array_equal(ours["levels.c4.perceive.visual.weight"], np.concatenate(heads))
    np.testing.assert_array_equal(
        ours["image_encoder.net.conv1.weight"][:, 0], theirs["conv1/DW"][:, :, 2].transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(ours["word_encoder.weight"], theirs[f"{cmpc.LSTM}kernel"].T)


@pytest.mark.parametrize("resize", ["letterbox", "keep"])
def test_an_image_is_put_on_black(resize):
    prepare = cmpc.CMPCLayout().preprocessing(32).replace(resize=resize, multiple_of=32)
    pixels, _ = prepare(np.full((32, 40, 3), 200, np.uint8))
    colours = pixels + torch.tensor(cmpc.TRUNK_MEAN).view(3, 1, 1)
    padded = colours[:, [0, -1]] if resize == "letterbox" else colours[:, -1]
    assert padded.abs().max() < 1e-3
    torch.testing.assert_close(colours[:, 12, 16], torch.full((3,), 200.0))


def rename(arrays):
    arrays[f"{SCOPE}fusion_c5/kernel"] = arrays.pop(f"{SCOPE}fusion_c5/DW")


def cut(arrays):
    arrays[f"{SCOPE}score/DW"] = arrays[f"{SCOPE}score/DW"][:2]


def without_trunk(arrays):
    for name in [name for name in arrays if not name.startswith(SCOPE)]:
        del arrays[name]


def more_types(arrays):
    arrays[f"{SCOPE}words_parse_2/DW"] = np.zeros((1, 1, 7, 6), np.float32)


def without_words(arrays):
    del arrays[f"{SCOPE}Variable"]


def integers(arrays):
    arrays[f"{SCOPE}score/DW"] = arrays[f"{SCOPE}score/DW"].astype(np.int32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename, r"1 missing \(variables.fusion_c5/DW\), 1 unexpected \(variables.fusion_c5/kernel\)"),
        (cut, r"1 of another shape \(variables.score/DW: 1x5x2x3 in place of 1x5x3x3\)"),
        (without_trunk, r"missing \(variables.conv1/DW"),
        (more_types, "has 6 types of words"),
        (without_words, "text_objseg/Variable are missing"),
        (integers, "score/DW holds int32"),
        (lambda arrays: arrays.clear(), "no weights of CMPC"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(export, tiny_release_of_cmpc, tmp_path, change, message):
    path, words = export
    change(tiny_release_of_cmpc)
    np.savez(path, **tiny_release_of_cmpc)
    with pytest.raises(InvalidInput, match=message):
        convert(path, "--vocabulary", words, "--out", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


class Evil:
    def __reduce__(self):
        return open, ("touched", "w")


def test_a_file_that_holds_code_is_refused_and_the_code_not_run(export, tiny_release_of_cmpc, tmp_path, monkeypatch):
    path, words = export
    monkeypatch.chdir(tmp_path)
    code = np.array([Evil()], dtype=object)
    np.savez(path, **tiny_release_of_cmpc | {f"{SCOPE}score/DW": code})
    np.save(tmp_path / "alone.npy", code)
    (tmp_path / "truncated.npz").write_bytes(path.read_bytes()[:5000])
    (tmp_path / "page.npz").write_text("<!DOCTYPE html><title>quota</title>")
    (tmp_path / "empty.npz").touch()
    for file, message in (
        (path, "pickled code, which is never run"),
        (tmp_path / "alone.npy", "damaged or no .pth or .npz"),
        (tmp_path / "truncated.npz", "damaged or no .pth or .npz"),
        (tmp_path / "page.npz", "web page"),
        (tmp_path / "empty.npz", "is empty"),
    ):
        with pytest.raises(InvalidInput, match=message):
            convert(file, "--vocabulary", words, "--out", tmp_path / "ours")
    assert not (tmp_path / "touched").exists() and not (tmp_path / "ours").exists()


def test_the_words_must_be_those_of_the_weights(export, tmp_path):
    path, words = export
    with pytest.raises(InvalidInput, match="--vocabulary vocabulary.txt"):
        convert(path, "--out", tmp_path / "ours")
    WordList([*SPECIAL, "few"]).write(words)
    with pytest.raises(InvalidInput, match="has 5 words, these weights know 30"):
        convert(path, "--vocabulary", words, "--out", tmp_path / "ours")
    words.write_text("red\ngreen\n")
    with pytest.raises(InvalidInput, match="does not begin with the lines <pad>"):
        convert(path, "--vocabulary", words, "--out", tmp_path / "ours")
    with pytest.raises(MissingFile, match="nowhere.txt is missing"):
        convert(path, "--vocabulary", tmp_path / "nowhere.txt", "--out", tmp_path / "ours")
    with pytest.raises(RefsegError, match="--vocabulary"):
        convert(tmp_path / "ours", "--vocabulary", words, "--to-official", "--out", tmp_path / "back.npz")


@pytest.mark.parametrize("key", ["aligner.weight", "levels.c3.reason.layers.1.update.weight", "word_encoder.x.weight"])
def test_a_layer_that_the_authors_do_not_have_is_named(key):
    with pytest.raises(InvalidInput, match=f"{key} has no name"):
        cmpc.official_name(key)
