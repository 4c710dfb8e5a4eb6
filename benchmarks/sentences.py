"""What of a BERT without pretraining tells objects apart soonest: a state, or all words? Objects are given, not seen.

python benchmarks/sentences.py   (minutes on one core)
"""

import argparse
from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.datasets import build
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.encoders import build_word_encoder
from refseg.encoders.configs import WORD_ENCODERS
from refseg.text.vocabulary import Vocabulary
from timing import print_table

SCENES, HELD_BACK, AT_ONCE, EXPRESSIONS, WIDTH, SIDE = 4000, 200, 4, 8, 64, 128
READ = "first", "[CLS]", "mean", "attention"  # state of the first word or of [CLS], mean of all, what objects look for
CLS = 1  # the id of an unknown word, which no expression has here


class Chooser(nn.Module):
    """Scores of objects: each times the sentence, then they look at one another."""

    def __init__(self, read: str, vocabulary: int, properties: int):
        super().__init__()
        self.read = read
        self.words = build_word_encoder(WORD_ENCODERS["bert_small"], vocabulary)
        self.objects = nn.Sequential(nn.Linear(properties, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.key, self.value = (nn.Linear(self.words.channels, WIDTH) for _ in range(2))
        self.compare = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True)
        self.score = nn.Linear(WIDTH, 1)

    def forward(self, objects: Tensor, there: Tensor, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """(M, Q) of objects (M, Q, P) with `there` (M, Q), and tokens (M, L) with word_mask (M, L)."""
        words, objects = self.words(tokens, word_mask), self.objects(objects)
        if self.read == "attention":
            said = F.scaled_dot_product_attention(objects, self.key(words), self.value(words), word_mask[:, None])
        else:
            states = words[:, 0] if self.read in ("first", "[CLS]") else self.words.sentence(words, word_mask)
            said = self.value(states)[:, None]
        return self.score(self.compare(objects * said, src_key_padding_mask=~there))[..., 0]


class Scenes:
    """What drawn scenes show and ask, without their pixels."""

    def __init__(self) -> None:
        scenes = list(build("drawn_scenes", split="train", count=SCENES))
        self.asked = [scene.expressions for scene in scenes]
        classes = DrawnScenes.object_classes.values()
        self.objects = [
            np.concatenate(
                [*(np.eye(n)[scene.attributes[:, k]] for k, n in enumerate(classes)), scene.centres / SIDE],
                axis=1,
            )
            for scene in scenes
        ]
        self.vocabulary = Vocabulary.of(each.text for asked in self.asked for each in asked)

    def batch(self, numbers: np.ndarray, rng: np.random.Generator, cls: bool) -> tuple[list[Tensor], Tensor, list[str]]:
        """The arguments of a `Chooser`, which objects are meant, and the types of expressions."""
        pairs = [(n, k) for n in numbers for k in rng.choice(len(self.asked[n]), EXPRESSIONS, replace=False)]
        most = max(len(self.objects[n]) for n in numbers)
        objects = torch.zeros(len(pairs), most, self.objects[0].shape[1])
        there, meant = torch.zeros(len(pairs), most, dtype=torch.bool), torch.zeros(len(pairs), most)
        for m, (n, k) in enumerate(pairs):
            objects[m, : len(self.objects[n])] = torch.from_numpy(self.objects[n])
            there[m, : len(self.objects[n])] = True
            meant[m, [target - 1 for target in self.asked[n][k].targets]] = 1
        tokens, word_mask = self.vocabulary([self.asked[n][k].text for n, k in pairs])
        if cls:
            tokens, word_mask = F.pad(tokens, (1, 0), value=CLS), F.pad(word_mask, (1, 0), value=True)
        return [objects, there, tokens, word_mask], meant, [self.asked[n][k].type for n, k in pairs]


def learn(scenes: Scenes, read: str, rate: float, steps: int) -> dict[str, float]:
    """Mean IoU of sets of objects by type of expression, on scenes held back, for expressions with a referent."""
    torch.manual_seed(0)
    rng, cls = np.random.default_rng(0), read == "[CLS]"
    network = Chooser(read, len(scenes.vocabulary), scenes.objects[0].shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    warm = torch.optim.lr_scheduler.LinearLR(optimiser, 1e-3, total_iters=max(1, steps // 25))
    for _ in range(steps):
        given, meant, _ = scenes.batch(rng.choice(SCENES - HELD_BACK, AT_ONCE), rng, cls)
        loss = F.binary_cross_entropy_with_logits(network(*given)[given[1]], meant[given[1]])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        warm.step()
    given, meant, types = scenes.batch(np.arange(SCENES - HELD_BACK, SCENES), rng, cls)
    with torch.no_grad():
        found = (network.eval()(*given) > 0) & given[1]
    values = defaultdict(list)
    for of_type, one, truth in zip(types, found, meant > 0, strict=True):
        if truth.any():
            iou = ((one & truth).sum() / (one | truth).sum()).item()
            values[of_type].append(iou)
            values["all"].append(iou)
    return {name: 100 * float(np.mean(of_type)) for name, of_type in sorted(values.items())}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=900)
    options.add_argument("--rates", type=float, nargs="+", default=[4e-4])
    options = options.parse_args()
    scenes, rows, head = Scenes(), [], []
    for read in READ:
        for rate in options.rates:
            found = learn(scenes, read, rate, options.steps)
            head = ["what is read", "rate", *found]
            rows.append([read, f"{rate:g}", *(f"{value:.0f}" for value in found.values())])
    print_table(f"mean IoU of sets of objects after {options.steps} steps of {AT_ONCE} x {EXPRESSIONS}", head, rows)


if __name__ == "__main__":
    main()
