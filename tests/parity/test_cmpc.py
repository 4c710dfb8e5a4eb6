import numpy as np
import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from refseg.checkpoints.io import load_checkpoint
from refseg.cli import app
from refseg.conversion import mapping
from refseg.conversion.cmpc import ENTRY, CMPCLayout
from refseg.encoders.configs import DeepLabConfig, LstmConfig
from refseg.networks.cmpc import CMPC, LEVELS, PRESETS, ImageFeatures, corner_resize, l2_normalize, weighted
from refseg.networks.cmpc_video import PRESETS as VIDEO_PRESETS
from refseg.networks.cmpc_video import CMPCVideo
from refseg.text.word_list import SPECIAL, WordList

LAYOUT = CMPCLayout()
TOLERANCE = 2e-5
GRID, IMAGE = (7, 9), (56, 72)
CASES = ("padded", "full", "one")
TINY = {
    "image_encoder": DeepLabConfig(depths=(1, 1, 1, 1)),
    "word_encoder": LstmConfig(vector=24, width=48),
    "width": 48,
    "fused": 32,
    "grid_hw": GRID,
}
NETWORKS = {  # golden -> network
    "cmpc_image": (CMPC, PRESETS["cmpc_release"].replace(**TINY)),
    "cmpc_video": (CMPCVideo, VIDEO_PRESETS["cmpc_video_release"].replace(**TINY)),
}


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def built(g):
    """The network with the release's weights; the golden knows nothing of the image encoder."""
    kind, config = NETWORKS[g.name]
    network = kind(config, g.about["settings"]["vocab_size"]).eval()
    weights = g.weights()
    by_release = {entry["tf_name"].removeprefix("text_objseg/"): entry["name"] for entry in g.about["state_dict"]}
    own, shapes, state, unused = network.state_dict(), LAYOUT.official_shapes(network), {}, set(weights)
    for key, names in LAYOUT.official_names(network).items():
        if key.startswith("image_encoder."):
            continue
        names = [names] if isinstance(names, str) else names
        parts = [weights[by_release[name]] for name in names]
        unused -= {by_release[name] for name in names}
        if ".peepholes." in key:
            parts = [part.permute(1, 2, 0) for part in parts]
        assert all(tuple(part.shape) == shapes.get(key, tuple(part.shape)) for part in parts)
        state[key] = torch.cat(parts).reshape(own[key].shape)
    assert not unused
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected and all(key.startswith("image_encoder.") for key in missing)
    return network


def asked(g, cases, padding="back"):
    """Tokens and word mask of cases, padded to the longest, on either side."""
    rows = [torch.tensor(g.about["cases"][case]["words"]) for case in cases]
    longest = max(map(len, rows)) + 2
    sides = {"back": lambda n: (0, longest - n), "front": lambda n: (longest - n, 0)}[padding]
    tokens = torch.stack([F.pad(row, sides(len(row))) for row in rows])
    return tokens, torch.stack([F.pad(torch.ones_like(row, dtype=torch.bool), sides(len(row))) for row in rows])


def stages(g, cases):
    """What the image encoder gives for each level of some cases."""
    made = {}
    for name in LEVELS:
        shape = g.about["input_shapes"][name]
        maps = [g.input("noise", f"input/{g.about['prefix']}{case}.{name}", shape) for case in cases]
        if len(shape) == 5:  # frames differ as a whole as well
            names = [f"input/{g.about['prefix']}{case}.{name}.frames" for case in cases]
            maps = [x + g.input("noise", more, (*shape[:3], 1, 1)) for x, more in zip(maps, names, strict=True)]
        made[name] = torch.cat(maps).clamp(min=0)
    return made


class Run:
    """One forward pass with everything that the golden knows, as the golden has it: image-shaped as (M, C, h, w)."""

    def __init__(self, g, network, cases, padding="back"):
        tokens, self.word_mask = asked(g, cases, padding)
        self.seen = {}
        first = {"types": network.parser, "conv_lstm": network.conv_lstm}
        first |= {f"cell {k}": norm for k, norm in network.conv_lstm.norms.items()}
        for name, level in network.levels.items():
            first |= {f"M.{name}": level.perceive, f"Mbar.{name}": level.reason}
            if network.frames > 1:
                act = level.act
                first |= {f"D.{name}": act.pixels, f"E.{name}": act.frames}
                first |= {f"Pbar.{name}": act.graph, f"Phat.{name}": act}
        for number, one_round in enumerate(network.exchange, start=1):
            first[f"round {number}"] = one_round
            first |= {f"c.{name}.{number}": update.summary for name, update in one_round.levels.items()}
        hooks = [
            module.register_forward_hook(lambda _, __, out, name=name: self.seen.setdefault(name, []).append(out))
            for name, module in first.items()
        ]
        self.words = network.encode_words(tokens, self.word_mask)
        self.maps = stages(g, cases)
        features = {name: level.project_image(self.maps[name], GRID) for name, level in network.levels.items()}
        self.network = network
        about = ImageFeatures(features, IMAGE, self.maps["c3"]), self.words, self.word_mask, torch.arange(len(cases))
        self.pred, self.outputs = network.compute_logits(*about)
        self.expression = network.encode_expression(self.words, self.word_mask)
        for hook in hooks:
            hook.remove()


def check(g, run, case, row):
    """All outputs of a case, which is this row of the batch."""
    network, done = run.network, set()

    def same(name, value):
        done.add(f"{case}.{name}")
        g.check(f"{case}.{name}", value[row : row + 1], TOLERANCE)

    def image(name, value):
        same(name, value.movedim(-1, -3))

    def words(name, value, axis):
        real = value[row : row + 1].movedim(axis, 0)[run.word_mask[row]]
        done.add(f"{case}.{name}")
        g.check(f"{case}.{name}", real.movedim(0, axis), TOLERANCE)

    words("words", run.words, 1)
    words("p", run.seen["types"][0], 1)
    if network.frames > 1:
        same("q_a", weighted(run.words, run.expression.types["action"]))
    same("q", run.expression.entities)
    same("s_nec", run.expression.necessary)
    for name, level in network.levels.items():
        image(f"X.{name}", l2_normalize(level.lateral(run.maps[name].movedim(-3, -1))))
        entities = run.seen[f"M.{name}"][0]
        image(f"M.{name}", entities)
        if network.frames > 1:
            vertices = level.act.gather(entities.flatten(2, 3), run.expression, GRID)
            same(f"P.{name}", vertices)
            same(f"A_V.{name}", level.act.graph.edges(vertices))
            for part in ("D", "Pbar", "E"):
                same(f"{part}.{name}", run.seen[f"{part}.{name}"][0])
            image(f"Phat.{name}", run.seen[f"Phat.{name}"][0])
            entities = entities[:, network.annotated]
        to_words, to_vertices = level.reason.edges(entities.flatten(1, 2), run.expression, GRID)
        words(f"B1.{name}", to_words, 2)
        words(f"B2.{name}", to_vertices, 2)
        same(f"A.{name}", to_words @ to_vertices.mT)
        image(f"Mbar.{name}", run.seen[f"Mbar.{name}"][0])
        image(f"Y.{name}", run.outputs[name])
        scores = network.level_scores[name](run.outputs[name].permute(0, 3, 1, 2))
        same(f"score.{name}", scores)
        same(f"up.{name}", corner_resize(scores, IMAGE))
    levels = run.outputs
    for number, one_round in enumerate(network.exchange, start=1):
        for name, update in one_round.levels.items():
            pixels = levels[name].flatten(1, 2)
            weights = update.key(pixels) @ update.query(run.expression.necessary).unsqueeze(-1) * update.scale
            same(f"lambda.{name}.{number}", weights.softmax(1).squeeze(-1).unflatten(1, GRID))
            same(f"c.{name}.{number}", l2_normalize(run.seen[f"c.{name}.{number}"][0]))
        levels = run.seen[f"round {number}"][0]
        for name, value in levels.items():
            image(f"tgfe.{name}.{number}", value)
    joined = list(levels.values())
    for count, name in enumerate(levels, start=1):
        image(f"conv_lstm.h.{name}", network.conv_lstm(joined[:count]))
    image("conv_lstm.c", run.seen["cell c"][2])
    same("pred", run.pred)
    same("up", network.to_image(run.pred, IMAGE))
    assert done == {name for name in g.about["outputs"] if name.startswith(f"{case}.")}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NETWORKS)
def test_each_expression_alone(golden, name, case):
    g = golden(name)
    check(g, Run(g, built(g), [case]), case, 0)


@pytest.mark.parametrize("padding", ["back", "front"])
@pytest.mark.parametrize("name", NETWORKS)
def test_three_expressions_at_once_with_padding_on_either_side(golden, name, padding):
    g = golden(name)
    run = Run(g, built(g), CASES, padding)
    for row, case in enumerate(CASES):
        check(g, run, case, row)


def converted(file, words, folder):
    """The network of an exported file, through the command, and what the command said."""
    WordList([*SPECIAL, *(f"word{n}" for n in range(words - len(SPECIAL)))]).write(folder / "words.txt")
    asked = ["convert", "cmpc", file, "--vocabulary", folder / "words.txt", "--out", folder / "ours"]
    out = CliRunner().invoke(app, list(map(str, asked)), catch_exceptions=False, standalone_mode=False).output
    return load_checkpoint(folder / "ours").network, out


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_file_answers_as_the_authors(golden, name, tmp_path, monkeypatch):
    g = golden(name)
    preset = f"{name.removesuffix('_image')}_release"
    kind, config = NETWORKS[name]
    monkeypatch.setitem(PRESETS if kind is CMPC else VIDEO_PRESETS, preset, config)
    weights, entries = g.weights(), g.about["state_dict"]
    export = {entry["tf_name"]: weights[entry["name"]].numpy().transpose(entry["tf_axes"]) for entry in entries}
    assert all(list(export[entry["tf_name"]].shape) == entry["tf_shape"] for entry in entries)
    own = kind(config, g.about["settings"]["vocab_size"])
    heads = {f"{ENTRY}.{entry['tf_name'].removeprefix('text_objseg/')}" for entry in entries}
    trunk = {name: value for name, value in official_release(own).items() if name not in heads}
    LAYOUT.write(tmp_path / "trunk.npz", trunk)
    with np.load(tmp_path / "trunk.npz") as file:
        np.savez(tmp_path / "cmpc.npz", **export, **file)
    network, out = converted(tmp_path / "cmpc.npz", 60, tmp_path)
    assert out.startswith(f"{preset}: {len(export) + len(trunk)} tensors taken")
    run = Run(g, network, CASES)
    for row, case in enumerate(CASES):
        g.check(f"{case}.up", network.to_image(run.pred, IMAGE)[row : row + 1], TOLERANCE)
    back = ["convert", "cmpc", tmp_path / "ours", "--to-official", "--out", tmp_path / "back.npz"]
    CliRunner().invoke(app, list(map(str, back)), catch_exceptions=False, standalone_mode=False)
    with np.load(tmp_path / "back.npz") as file:
        assert all(np.array_equal(file[name], value) for name, value in export.items())


def official_release(network):
    """The tensors of a network by the authors' names."""
    return mapping.to_official(mapping.map_tensors(LAYOUT, network), network.state_dict())


@pytest.mark.full_size
@pytest.mark.parametrize(
    ("preset", "kind", "presets"),
    [("cmpc_release", CMPC, PRESETS), ("cmpc_video_release", CMPCVideo, VIDEO_PRESETS)],
)
def test_a_file_of_the_release_s_size_arrives_bit_for_bit(tmp_path, preset, kind, presets):
    torch.manual_seed(0)
    network = kind(presets[preset], 12112)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(-1, 1)
    LAYOUT.write(tmp_path / "cmpc.npz", official_release(network))
    ours, out = converted(tmp_path / "cmpc.npz", 12112, tmp_path)
    assert out.startswith(f"{preset}: ")
    theirs = network.state_dict()
    for key, value in ours.state_dict().items():
        assert torch.equal(value, theirs[key]), key
