"""Sentences about motions: a noun phrase of the drawn scenes, a motion, and the program of both."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from refseg.datasets.drawn_clips.motions import GROWING, MOTIONS, SHRINKING
from refseg.datasets.drawn_scenes import programs
from refseg.datasets.drawn_scenes.grammar import ATTRIBUTE_USE, NUMBERS, say_all, say_noun, say_the
from refseg.datasets.drawn_scenes.layout import Layout
from refseg.datasets.drawn_scenes.objects import COLOUR, MATERIAL, SHAPE, SIZE, Attributes, SeededRandom
from refseg.datasets.drawn_scenes.programs import Noun, Objects, single

KINDS = ("stays still", "moves left", "moves right", "moves up", "moves down", "spins", "grows", "shrinks")
"""The motions as kinds of expressions, in the order of MOTIONS."""

BEFORE = {
    "still": ("motionless", "unmoving"),
    "spinning": ("spinning", "rotating", "turning"),
    "growing": ("growing",),
    "shrinking": ("shrinking",),
}
AFTER = {  # a clause and a participle, about one and about several
    "still": (("that stays still", "standing still"), ("that stay still", "standing still")),
    "left": (("that moves left", "moving to the left"), ("that move left", "moving to the left")),
    "right": (("that moves right", "moving to the right"), ("that move right", "moving to the right")),
    "up": (("that moves up", "moving upwards"), ("that move up", "moving upwards")),
    "down": (("that moves down", "moving downwards"), ("that move down", "moving downwards")),
    "spinning": (("that spins", "turning around"), ("that spin", "turning around")),
    "growing": (("that grows", "getting bigger"), ("that grow", "getting bigger")),
    "shrinking": (("that shrinks", "getting smaller"), ("that shrink", "getting smaller")),
}
PHRASINGS = 2  # of each motion of each group of look-alikes
ATTEMPTS = 6  # at a noun phrase for it


class World(programs.World):
    """A clip as programs query it: its middle frame and the motion of each object."""

    def __init__(self, layout: Layout, motions: Sequence[int]):
        super().__init__(layout)
        self.doing = [0] * len(MOTIONS)  # [motion] -> the set that does it
        for k, motion in enumerate(motions):
            self.doing[motion] |= 1 << k


@dataclass(frozen=True, slots=True)
class Doing:
    """Program of "the X that moves so", or of all such X; `count` ("both", "the three") holds for that number only."""

    noun: Noun
    motion: int
    many: bool = False
    count: int | None = None

    def evaluate(self, world: World) -> Objects:
        """Returns the noun's objects with this motion; open where the noun names a size that changes."""
        found = self.noun.evaluate(world)
        if self.noun.size is not None:
            any_size = replace(self.noun, size=None).evaluate(world) or 0
            if any_size & (world.doing[GROWING] | world.doing[SHRINKING]):
                return None
        if found is None:
            return None
        found &= world.doing[self.motion]
        if not self.many:
            return single(found)
        return None if self.count not in (None, found.bit_count()) and found else found


@dataclass(frozen=True, slots=True)
class Sentence:
    """An expression with its program."""

    text: str
    program: Doing

    @property
    def type(self) -> str:
        """Form of the sentence."""
        return "plural action" if self.program.many else "action"

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return KINDS[self.program.motion]


def sentences_about(here: World, there: World, rng: SeededRandom) -> list[tuple[Sentence, tuple[int, int]]]:
    """Composes different sentences about two clips of one middle frame, with the set (bits) of referents in each."""
    groups: dict[Attributes, int] = defaultdict(int)
    for k, thing in enumerate(here.layout.objects):
        groups[thing.attributes] |= 1 << k
    found: dict[str, tuple[Sentence, tuple[int, int]]] = {}
    for attributes, members in groups.items():
        for motion in range(len(MOTIONS)):
            several = [(world.doing[motion] & members).bit_count() for world in (here, there)]
            if members.bit_count() == 1 or not any(several):
                continue
            for _ in range(PHRASINGS):
                for _ in range(ATTEMPTS):
                    program = _program(attributes, motion, max(several), rng)
                    first, second = program.evaluate(here), program.evaluate(there)
                    if first is not None and second is not None and first != second:
                        sentence = Sentence(say(program, rng), program)
                        found.setdefault(sentence.text, (sentence, (first, second)))
                        break
    return rng.shuffled(list(found.values()))


def _program(attributes: Attributes, motion: int, several: int, rng: SeededRandom) -> Doing:
    chosen = [value if rng.chance(use) else None for value, use in zip(attributes, ATTRIBUTE_USE, strict=True)]
    noun = Noun(chosen[SHAPE], chosen[COLOUR], chosen[SIZE], chosen[MATERIAL])
    many = several > 1
    return Doing(noun, motion, many, several if many and several in NUMBERS and rng.chance(0.5) else None)


def say(program: Doing, rng: SeededRandom) -> str:
    """Writes a program as an English expression."""
    phrase, name = say_noun(program.noun, rng, program.many), MOTIONS[program.motion]
    if name in BEFORE and rng.chance(0.4):
        phrase = f"{rng.pick(BEFORE[name])} {phrase}"
    else:
        clause, participle = AFTER[name][program.many]
        phrase = f"{phrase} {participle if ' that ' in phrase or rng.chance(0.5) else clause}"
    return say_all(phrase, program.count, rng) if program.many else say_the(phrase, rng)
