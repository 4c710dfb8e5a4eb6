"""Variants: changed sentences about an image, with the effect that the change has on the referent."""

from dataclasses import dataclass
from typing import Literal

from refseg.array_types import Mask

Effect = Literal["stay", "change", "vanish"]
"""Effect on the referent: the same one, another one, none."""

NEW_WORDS = "new words"
"""Last part of `detail` where a sentence holds words outside of the drawn grammar that the original has not."""


@dataclass(frozen=True, eq=False)
class Variant:
    """A changed sentence about an image.

    Attributes:
        index: of the original expression in its sample.
        kind: of SENTENCE_KINDS.
        text: the changed sentence, never equal to the original.
        effect: on the referent.
        target: true mask (H, W): the original's where the referent stays, another where it changes, empty where it
            vanishes; None if it is not known.
        certain: whether the effect is certain by construction.
        detail: `form` and NEW_WORDS, joined by ", "; may be "".
    """

    index: int
    kind: str
    text: str
    effect: Effect
    target: Mask | None
    certain: bool
    detail: str = ""

    @property
    def form(self) -> str:
        """Form of the change, where a kind has several, otherwise ""."""
        return self.detail.removesuffix(NEW_WORDS).removesuffix(", ")

    @property
    def has_new_words(self) -> bool:
        """Whether it holds words outside of the drawn grammar that the original has not."""
        return self.detail.endswith(NEW_WORDS)
