"""Training learns: small networks fit a handful of scenes. No score is required here, only that errors vanish."""

import pytest
import torch

from refseg.batch import CachedObjectBatch
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.drawn_scenes.stored_scenes import stored_scenes
from refseg.networks import build
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes import find_recipe
from refseg.text.vocabulary import Vocabulary
from refseg.training.data.scene_batches import SceneBatches, TokenTable


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        stored = stored_scenes(DrawnScenes("train", 64), workers=1)
    vocabulary = Vocabulary.of(stored.texts)
    stage = find_recipe("selector").stages[-1].replace(images=4, expressions_per_image=6, unknown_words=0, flip=0)
    batch = SceneBatches(stored, TokenTable(stored.texts, vocabulary), Preprocessing(), stage, (0, 0))[0]
    return batch, len(vocabulary)


def fit(network, loss, steps: int, lr: float = 2e-3) -> list[float]:
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=lr)
    values = []
    for _ in range(steps):
        optimiser.zero_grad()
        value = loss()["loss"]
        value.backward()
        optimiser.step()
        values.append(float(value))
    return values


def test_the_chooser_fits_a_cached_handful(batch):
    torch.manual_seed(0)
    batch, vocabulary_size = batch
    network = build("selector", {"width": 64}, vocabulary_size).eval()
    slots = batch.objects.present.shape[1]
    cached = CachedObjectBatch(
        found_tokens=torch.randn(4, slots, 64),
        valid=batch.objects.present,
        pairs=torch.randn(4, slots, slots, 12),
        matched=torch.where(batch.objects.present, torch.arange(slots), -1),
        tokens=batch.tokens,
        word_mask=batch.word_mask,
        image_of_expression=batch.image_of_expression,
        targets=batch.targets,
    )
    values = fit(network, lambda: network.choose_loss(**vars(cached)), 120)
    assert values[-1] < 0.15 * values[0]
