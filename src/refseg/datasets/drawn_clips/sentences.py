"""Sentences about clips: a noun phrase of the drawn scenes, a motion or none, and the program of both."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from refseg.datasets.drawn_clips.motions import GROWING, MOTIONS, SHRINKING
from refseg.datasets.drawn_scenes import programs
from refseg.datasets.drawn_scenes.grammar import ATTRIBUTE_USE, NUMBERS, say_all, say_noun, say_the
from refseg.datasets.drawn_scenes.layout import Layout
from refseg.datasets.drawn_scenes.objects import COLOUR, MATERIAL, SHAPE, SIZE, VALUES, Attributes, SeededRandom
from refseg.datasets.drawn_scenes.programs import Noun, Objects, single

KINDS = ("stays still", "moves left", "moves right", "moves up", "moves down", "spins", "grows", "shrinks")
"""The motions as kinds of expressions, in the order of MOTIONS."""

LOOKS = "looks"
"""The kind of expressions that say what things look like, and not what they do."""

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
OTHER_LOOKS = 0.3  # share of noun phrases with an attribute that was drawn anew, most of which describe nothing
MANY_ABSENT = 0.3  # share of those in the plural
MANY_KEPT = 0.3  # of noun phrases of several things, which are most, since clips have look-alikes


class World(programs.World):
    """A clip as programs query it: its middle frame and the motion of each object."""

    def __init__(self, layout: Layout, motions: Sequence[int]):
        super().__init__(layout)
        self.doing = [0] * len(MOTIONS)  # [motion] -> the set that does it
        for k, motion in enumerate(motions):
            self.doing[motion] |= 1 << k


@dataclass(frozen=True, slots=True)
class Doing:
    """Program of "the X that moves so", or of all such X; `count` ("both", "the three") holds for that number only.

    Without a motion it is that of "the X", whatever it does.
    """

    noun: Noun
    motion: int | None
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
        if self.motion is not None:
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
        form = "action" if self.program.motion is not None else "attribute"
        return f"plural {form}" if self.program.many else form

    @property
    def kind(self) -> str:
        """One of KINDS, or LOOKS."""
        return LOOKS if self.program.motion is None else KINDS[self.program.motion]


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


def sentences_about_looks(world: World, count: int, rng: SeededRandom) -> list[tuple[Sentence, int]]:
    """Composes up to `count` different sentences that say no motion, with the set (bits) of their referents."""
    found: dict[str, tuple[Sentence, int]] = {}
    for _ in range(count * ATTEMPTS):
        attributes = list(rng.pick(world.layout.objects).attributes)
        if rng.chance(OTHER_LOOKS):
            changed = rng.below(len(attributes))
            attributes[changed] = rng.below(len(VALUES[changed]))
        noun = _noun(attributes, rng)
        several = noun.named(world).bit_count()
        if several > 1 and not rng.chance(MANY_KEPT):
            continue
        program = _counted(noun, None, several or (2 if rng.chance(MANY_ABSENT) else 0), rng)
        referents = program.evaluate(world)
        if referents is not None:
            sentence = Sentence(say(program, rng), program)
            found.setdefault(sentence.text, (sentence, referents))
        if len(found) == count:
            break
    return list(found.values())


def _program(attributes: Attributes, motion: int, several: int, rng: SeededRandom) -> Doing:
    return _counted(_noun(attributes, rng), motion, several, rng)


def _noun(attributes: Sequence[int], rng: SeededRandom) -> Noun:
    """Names some of these attributes."""
    chosen = [value if rng.chance(use) else None for value, use in zip(attributes, ATTRIBUTE_USE, strict=True)]
    return Noun(chosen[SHAPE], chosen[COLOUR], chosen[SIZE], chosen[MATERIAL])


def _counted(noun: Noun, motion: int | None, several: int, rng: SeededRandom) -> Doing:
    """Speaks of one thing or of all, whose number it says half of the time."""
    many = several > 1
    return Doing(noun, motion, many, several if many and several in NUMBERS and rng.chance(0.5) else None)


def say(program: Doing, rng: SeededRandom) -> str:
    """Writes a program as an English expression."""
    phrase = say_noun(program.noun, rng, program.many)
    if program.motion is not None:
        phrase = _moving(phrase, MOTIONS[program.motion], program.many, rng)
    return say_all(phrase, program.count, rng) if program.many else say_the(phrase, rng)


def _moving(phrase: str, motion: str, many: bool, rng: SeededRandom) -> str:
    """Adds a motion to a noun phrase, before or after it."""
    if motion in BEFORE and rng.chance(0.4):
        return f"{rng.pick(BEFORE[motion])} {phrase}"
    clause, participle = AFTER[motion][many]
    return f"{phrase} {participle if ' that ' in phrase or rng.chance(0.5) else clause}"
