"""Adapter: the base class of open models as networks.

Writing one
    1. `entries/NAME.py`: a config (subclass of `AdapterConfig`), the `HubModel`s, and ENTRY; a line in `catalogue.py`.
    2. `NAME.py`: a subclass of `Adapter` with `entry`, and a line in `adapters.ADAPTERS`. Its `__init__` takes the
       validated config and a `LocalModel` for each part, and loads them: `models["model"].load(TheirClass)`.
    3. `encode_image`: their image processor (`process_images`), and whatever needs no words; of B images.
    4. `encode_words`: text features (M, ...) of `self.expressions(tokens, word_mask)`; or leave it: the tokens stay,
       and `fuse` reads the sentences.
    5. `fuse`: mask logits that cover the whole image at any size (M, 1, h, w) and a logit of existence (M,). `join`
       makes the output of a list of objects for each expression: masks that assume existence, emptied where the logit
       is not above `exists_threshold_logit`; `certainty` makes the logit of scores. An expression alone must get the
       same answer as among others.
    6. `count_pieces`, if expressions are cut: for the remark in `Result.warnings`.

Images come as they are, 0 to 255, in batches of one size (`Preprocessing(resize="none")`); the models resize them.
Masks are brought to the image's size by refseg, so none of that is the adapter's.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor
from typing_extensions import override

from refseg.adapters.entry import AdapterConfig, AdapterEntry
from refseg.adapters.local_model import LocalModel
from refseg.adapters.sentences import Sentences
from refseg.batch import Batch
from refseg.errors import InvalidInput
from refseg.networks.network import Network, Output

OUTSIDE_LOGIT = -10.0  # mask logit where there is no object
SCORE_MARGIN = 1e-6  # smallest distance of a score from 0 and 1, so that its logit is finite


class Adapter(Network):
    """An open model as a network.

    Attributes:
        entry: facts about it that need no loading.
        models: its parts on this machine.
        config: its settings, with the commits that were loaded.
    """

    entry: ClassVar[AdapterEntry]
    supervision = "that of its authors; nothing is trained here"
    config: AdapterConfig

    def __init__(self, config: AdapterConfig, models: Mapping[str, LocalModel]):
        super().__init__()
        self.config, self.models = config, dict(models)

    @classmethod
    def load(cls, given: Mapping[str, object]) -> Self:
        """Loads the models from this machine; nothing is downloaded.

        Args:
            given: settings that differ from the defaults.

        Raises:
            InvalidInput: for a wrong setting, or files that are damaged or of another model.
            MissingFile: if a model is not on this machine; the message names the command that gets it.
        """
        config = cls.entry.configured(given)
        models = cls.entry.local_models(config)
        return cls(cls.entry.pinned(config, models), models)

    @cached_property
    def tokenizer(self) -> Sentences:
        """Keeps expressions as they are, and says what of them is cut."""
        count = self.count_pieces if self.most_pieces else None
        return Sentences(self.entry.name, count, self.most_pieces, self.entry.ignores)

    @property
    def most_pieces(self) -> int | None:
        """Pieces of an expression that the model reads."""
        return self.entry.most_pieces

    def count_pieces(self, expression: str) -> int:
        """Counts the pieces of an expression, the special ones included, if `most_pieces` limits them."""
        raise NotImplementedError

    def expressions(self, tokens: Tensor, word_mask: Tensor) -> list[str]:
        """Returns the expressions of tokens (M, L) that `tokenizer` made."""
        return [
            self.tokenizer.text(ids[known].tolist()) for ids, known in zip(tokens.cpu(), word_mask.cpu(), strict=True)
        ]

    @override
    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Returns the tokens (M, L) as they are, for `expressions` in `fuse`."""
        return tokens

    def certainty(self, scores: Tensor, threshold: float) -> Tensor:
        """Returns the logits of existence (M,) of the best objects' scores, 0 at the threshold of the settings.

        So whatever the threshold of scores is, an uncalibrated adapter finds something where an object is above it.
        """
        return scores.double().logit(eps=SCORE_MARGIN).float() - math.log(threshold / (1 - threshold))

    def join(self, objects: Sequence[Tensor], exists: Tensor) -> Output:
        """Makes an output of the objects of M expressions.

        Args:
            objects: mask logits (N, h, w) of the objects of each expression, all at one size; N may be 0, and is at
                least 1 of one of them.
            exists: (M,) logits of existence.
        """
        size_hw = objects[0].shape[1:]
        nothing = torch.full((1, *size_hw), OUTSIDE_LOGIT, device=exists.device)
        together = torch.stack([torch.cat([nothing, masks.float()]).amax(0, keepdim=True) for masks in objects])
        most = (exists - self.exists_threshold_logit)[:, None, None, None]
        return Output(torch.minimum(together, most), exists, referents=list(objects))

    @override
    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        raise InvalidInput(
            f"{self.entry.name} is used as its authors trained it; networks that can be trained: refseg recipes"
        )
