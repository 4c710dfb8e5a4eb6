# %% [markdown]
# # A network of your own
#
# A network says what it computes once for an image (`encode_image`), how it reads a sentence (`encode_words`), how
# both are joined (`fuse`), and its loss. Training, evaluation, service and studies then take it as they take those
# of the papers.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

import refseg
from refseg.config import Config
from refseg.networks.network import Network


class DotConfig(Config):
    width: int = 32


class DotNetwork(Network):
    """Pixels and sentence meet in a dot product."""

    idea = "Pixels and words meet in a dot product"
    config: DotConfig

    def __init__(self, config, vocabulary_size):
        super().__init__()
        self.config = config
        width = config.width
        self.image_encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.word_encoder = nn.Embedding(vocabulary_size, width)

    def encode_image(self, image):
        return self.image_encoder(image)

    def encode_words(self, tokens, word_mask):
        return self.word_encoder(tokens)

    def fuse(self, image_features, words, word_mask, image_of_expression):
        sentence = (words * word_mask[..., None]).sum(1) / word_mask.sum(1, keepdim=True)
        logits = torch.einsum("mchw,mc->mhw", image_features[image_of_expression], sentence)[:, None]
        return self.answer(nn.functional.interpolate(logits, scale_factor=2, mode="bilinear"))

    def loss(self, batch):
        words = self.encode_words(batch.tokens, batch.word_mask)
        logits = self.fuse(self.encode_image(batch.image), words, batch.word_mask, batch.image_of_expression).logits
        return {"loss": nn.functional.binary_cross_entropy_with_logits(logits[:, 0], batch.soft_masks())}


# %% [markdown]
# A recipe says on what it is trained, and how. Its parts are the names of the network's modules.

# %%
from refseg.networks import NETWORKS
from refseg.recipes.recipe import Group, Recipe, SceneData, Stage

NETWORKS["DotNetwork"] = DotNetwork
groups = {"image_encoder": Group(lr=1e-2), "word_encoder": Group(lr=1e-2)}
stage = Stage(name="learn", groups=groups, steps=60, images=8, expressions_per_image=8)
data = SceneData(scenes=64, validation_scenes=8, calibration_scenes=16)
recipe = Recipe(name="dot", network="DotNetwork", data=data, stages=(stage,))

folder = TemporaryDirectory()
refseg.train(recipe, Path(folder.name) / "run")

# %% [markdown]
# Its weights are a folder like any other. A dot product with colours does not get far;
# [Networks](../networks/index.md) do more.

# %%
weights = Path(folder.name) / "run" / "weights"
report = refseg.evaluate(weights, "drawn_scenes", split="val", count=8)
print({name: round(100 * value, 1) for name, value in report.metrics["standard"].items() if name in ("oIoU", "mIoU")})
scene = refseg.load_dataset("drawn_scenes", split="val")[0]
refseg.load(weights)(scene.image, scene.expressions[0].text)

# %% [markdown]
# In a file of its own, `dot.py`, every command takes it: `refseg train my_recipe.py:my_recipe`, `refseg evaluate
# WEIGHTS --network dot.py:DotNetwork` ([Your own](../your_own.md)).
