"""A word encoder is taught which objects are meant, without pixels, and other networks start from it."""

import pytest
import torch
from safetensors import safe_open

from refseg.batch import Batch, Objects
from refseg.errors import InvalidInput
from refseg.networks import build
from refseg.recipes import find_recipe
from refseg.text.vocabulary import Vocabulary
from refseg.training.devices import Devices
from refseg.training.initial_weights import initialise
from refseg.training.run import train
from refseg.training.word_pretraining import ObjectChooser, object_features

CPU = Devices(accelerator="cpu")
WORDS = {"kind": "bert", "width": 8, "layers": 1, "heads": 2, "feed_forward": 8, "positions": 32, "sentence": "mean"}
TINY = {"image_encoder": {"kind": "small", "finder": [4, 8, 8, 8], "top": 8}, "word_encoder": WORDS, "hidden": 4}
CLASSES = {"shape": 3, "colour": 2}


def tiny(*settings):
    few = ["data.scenes=16", "data.validation_scenes=2", "stages.teach.steps=3", "stages.teach.images=4"]
    return find_recipe("small_words").with_settings([*few, f"config={TINY}", *settings])


@pytest.fixture
def batch():
    """Two images of 8 x 8, of two objects and of one; three expressions."""
    id_map = torch.zeros(2, 8, 8, dtype=torch.long)
    id_map[0, :2, :2], id_map[0, 4:, 4:], id_map[1, 3:5, 3:5] = 1, 2, 1
    objects = Objects(
        id_map,
        centres=torch.tensor([[[0.5, 0.5], [5.5, 5.5]], [[3.5, 3.5], [0, 0]]]),
        radii=torch.tensor([[1.0, 2.0], [1.0, 0.0]]),
        attributes=torch.tensor([[[0, 1], [2, 1]], [[1, 0], [0, 0]]]),
        present=torch.tensor([[True, True], [True, False]]),
    )
    return Batch(
        torch.zeros(2, 3, 8, 8),
        tokens=torch.tensor([[2, 3], [4, 0], [3, 4]]),
        word_mask=torch.tensor([[True, True], [True, False], [True, True]]),
        image_of_expression=torch.tensor([0, 0, 1]),
        targets=torch.tensor([[True, False], [True, True], [False, False]]),
        objects=objects,
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("lavt_small", TINY, vocabulary_size=5)


def test_objects_and_pairs_are_told_by_what_is_true_of_them(batch):
    own, pairs = object_features(batch.objects, tuple(CLASSES.values()))
    assert own[0, 1, :5].tolist() == [0, 0, 1, 0, 1]  # its classes
    torch.testing.assert_close(own[0, 1, 5:], torch.tensor([2.0, 2.0, 2.0]) / 40)  # place from the middle, radius
    dx, dy, distance, size, gap, order, *agree = pairs[0, 0, 1].tolist()  # the second relative to the first
    assert dx == dy == pytest.approx(5 / 40) and distance == pytest.approx(50**0.5 / 40)
    assert size == pytest.approx(0.6931472) and gap == pytest.approx((50**0.5 - 3) / 40)
    assert order == 1 and pairs[0, 1, 0, 5] == -1 and agree == [0, 1]


def test_padding_changes_nothing_and_is_never_chosen(batch, network):
    chooser = ObjectChooser.of(network.eval(), CLASSES).eval()
    scores, exists = chooser(network, batch)
    alone = Batch(**{**vars(batch), "image_of_expression": torch.zeros(1, dtype=torch.long)})
    alone.tokens, alone.word_mask = batch.tokens[2:], batch.word_mask[2:]
    alone.objects = Objects(
        *(
            value[1:, :1] if value.ndim < 4 and value.shape[1] == 2 else value[1:]
            for value in vars(batch.objects).values()
        )
    )
    one, there = chooser(network, alone)
    torch.testing.assert_close(scores[2, 0], one[0, 0])
    torch.testing.assert_close(exists[2], there[0])
    assert scores[2, 1] < -10


def test_the_right_choice_costs_nothing_and_is_drawn_by_the_true_masks(batch, network, monkeypatch):
    chooser = ObjectChooser.of(network, CLASSES)
    sure = torch.where(batch.targets, 50.0, -50.0), torch.where(batch.targets.any(1), 50.0, -50.0)
    monkeypatch.setattr(chooser, "forward", lambda network, batch: sure)
    losses = chooser.loss(network, batch)
    assert losses["loss"] < 1e-6 and losses["IoU"] == 1
    assert torch.equal(chooser.predict(network, batch).logits[:, 0] > 0, batch.masks())


def test_words_learn_with_the_chooser(batch, network):
    torch.manual_seed(1)
    chooser = ObjectChooser.of(network, CLASSES)
    table = network.word_encoder.table.weight
    before = table.detach().clone()
    optimizer = torch.optim.AdamW([*network.word_encoder.parameters(), *chooser.parameters()], lr=1e-2)
    for _ in range(40):
        losses = chooser.loss(network, batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    assert losses["IoU"] == 1 and losses["loss"] < 0.1
    assert not torch.equal(table[2:], before[2:]) and network.image_encoder.net[0][0].weight.grad is None


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("words") / "run"
        train(tiny(), out, devices=CPU)
    return out


def test_a_run_writes_words_with_their_vectors_and_no_checkpoint_that_could_be_taken_for_a_network(taught):
    assert not (taught / "best").exists() and not (taught / "weights").exists()
    with safe_open(taught / "word_encoder.safetensors", "pt") as file:
        words = file.metadata()["words"].splitlines()
        rows = file.get_tensor("bert.embeddings.word_embeddings.weight")
    assert "the" in words and len(rows) == len(words) + 2


def test_a_network_that_knows_other_words_starts_from_those_that_both_know(taught, network):
    with safe_open(taught / "word_encoder.safetensors", "pt") as file:
        words = file.metadata()["words"].splitlines()
        rows = file.get_tensor("bert.embeddings.word_embeddings.weight").float()
    own = Vocabulary(["the", "xylophone", words[-1]])
    fresh = network.word_encoder.table.weight.detach().clone()
    initialise(network, {"word_encoder": str(taught / "word_encoder.safetensors")}, own)
    table = network.word_encoder.table.weight
    assert torch.equal(table[2], rows[2 + words.index("the")]) and torch.equal(table[4], rows[-1])
    assert torch.equal(table[3], fresh[3]) and torch.equal(table[:2], rows[:2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["stages.teach.groups={fusion: {lr: 1}}"], "stage teach teaches the word encoder .* so not fusion"),
        (["network=selector", "config={}"], "and a network that has one"),
        (["data={dataset: refer, settings: {root: x}}"], "refer does not tell what objects are"),
    ],
)
def test_other_parts_and_data_without_objects_are_refused(settings, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        train(tiny(*settings), tmp_path / "run", devices=CPU)
    assert not (tmp_path / "run").exists()
