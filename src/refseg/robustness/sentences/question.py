"""Questions and kinds: what a change of a sentence starts from, and what it makes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from refseg.array_types import Mask
from refseg.datasets.drawn_scenes.objects import SeededRandom
from refseg.datasets.drawn_scenes.programs import Objects, Program, World
from refseg.readers.parse import read
from refseg.readers.program import Query
from refseg.robustness.sentences.drawn_wording import Wording
from refseg.robustness.variant import Effect
from refseg.samples import AnnotatedObjects, Sample


@dataclass(frozen=True, eq=False)
class Change:
    """A changed sentence before its mask is drawn.

    Attributes:
        text: the sentence.
        effect: on the referent.
        referents: of a drawn scene (bits), where the effect is "change"; None where they are not known.
        masks: of the referents (H, W), where the effect is "change" and the data set annotates them.
        certain: whether the effect is certain by construction.
        form: of the change, where a kind has several.
    """

    text: str
    effect: Effect = "stay"
    referents: Objects = None
    masks: tuple[Mask, ...] = ()
    certain: bool = True
    form: str = ""


@dataclass(frozen=True)
class Drawn:
    """An expression of a drawn scene, taken apart.

    Attributes:
        wording: its phrases.
        program: its meaning.
        world: the scene.
        referents: the set (bits) that it refers to, 0 for none.
    """

    wording: Wording
    program: Program
    world: World
    referents: int


class Question:
    """An expression about an image, as changes ask for it.

    Attributes:
        text: the expression.
        refers: whether it has a referent.
        drawn: what is known of it where the grammar of drawn scenes wrote it, otherwise None.
    """

    def __init__(
        self,
        sample: Sample,
        index: int,
        drawn: Drawn | None = None,
        annotated: Callable[[], AnnotatedObjects | None] = lambda: None,
    ):
        """Takes expression `index`; `annotated` gives the objects of the image when they are first asked for."""
        self._annotated = annotated
        self.text = sample.expressions[index].text
        self.refers = bool(sample.expressions[index].targets)
        self.drawn = drawn

    @cached_property
    def query(self) -> Query:
        """The expression as the reader understands it."""
        return read(self.text)

    @property
    def annotated(self) -> AnnotatedObjects | None:
        """All objects of the image, where the data set annotates them."""
        return self._annotated()


DrawnChange = Callable[[Drawn, SeededRandom], Change | None]
"""Changes an expression of a drawn scene; None where it does not lend itself to that."""
WrittenChange = Callable[[Question, SeededRandom], Change | None]
"""Changes any expression, by rules over its words; None where it does not lend itself to that."""


@dataclass(frozen=True)
class SentenceKind:
    """A kind of change of a sentence.

    Attributes:
        about: what it does, in one line.
        effects: that its variants may have on the referent.
        drawn: changes expressions of drawn scenes; None if `written` does.
        written: changes expressions that people wrote; None if nothing is safe to say of them.
    """

    about: str
    effects: tuple[Effect, ...]
    drawn: DrawnChange | None
    written: WrittenChange | None

    def change(self, question: Question, rng: SeededRandom) -> Change | None:
        """Returns a changed sentence; None where the expression does not lend itself to that."""
        if question.drawn is not None and self.drawn is not None:
            return self.drawn(question.drawn, rng)
        return self.written(question, rng) if self.written is not None else None
