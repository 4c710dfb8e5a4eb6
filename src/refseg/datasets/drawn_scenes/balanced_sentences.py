"""Blocks of 64 scenes: balanced types of sentences, some shown again where they have no referent.

A block is a function of (seed, split, tier, side, number). Expressions that refer to nothing are true sentences of
another scene of the block whose program gives the empty set here, so that their words do not give them away.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from refseg.datasets.drawn_scenes.grammar import KIND_SHARES, NEEDS_OVERLAP, TYPE_SHARES, Sentence, compose
from refseg.datasets.drawn_scenes.layout import TIERS, Layout, Tier, draw_layout
from refseg.datasets.drawn_scenes.objects import COLOUR, HELD_OUT_PAIRS, HELD_OUT_TRIPLES, MATERIAL, SHAPE, SeededRandom
from refseg.datasets.drawn_scenes.programs import World, members

BLOCK = 64
POSITIVES = 20  # expressions with a referent, a scene
NO_TARGET = 0.176  # share of these that are shown a second time, where they refer to nothing
CANDIDATE_SCENES = 6  # among so many of them the nearest miss is taken
TRIED_SCENES = 12  # scenes in which a sentence is tried; if it is false in none, it is a truism
TRUISMS = 0.1  # share of truisms ("the leftmost thing") that are kept: they can hardly be shown where they are false
PATIENCE = 4  # times as many attempts at a second qualifier, which is seldom both certain and needed
ATTEMPTS = 8  # at one type or kind before the next is tried
PARTS = ("pairs", "triples", "roles")  # of split held_out, scene by scene in turn


@dataclass
class Block:
    """A block of scenes without pixels.

    Attributes:
        layouts: one a scene.
        parts: part of split held_out, "" elsewhere.
        sentences: for each scene its sentences with the set (bits) of referents, 0 = none.
    """

    layouts: list[Layout] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    sentences: list[list[tuple[Sentence, int]]] = field(default_factory=list)


def draw_block(seed: int, split: str, tier_name: str, side: int, number: int) -> Block:
    """Draws block `number` of a split; a function of its arguments."""
    rng = SeededRandom("drawn scenes", seed, split, tier_name, side, number)
    tier, block = TIERS[tier_name], Block()
    for scene in range(BLOCK):
        part = PARTS[(number * BLOCK + scene) % len(PARTS)] if split == "held_out" else ""
        block.parts.append(part)
        block.layouts.append(draw_layout(rng, tier, side, part))
    worlds = [World(layout) for layout in block.layouts]
    shares = _Shares(tier)
    for world, part in zip(worlds, block.parts, strict=True):
        block.sentences.append(_true_sentences(world, worlds, tier, rng, shares, part))
    for scene, additions in enumerate(_false_sentences(worlds, block, rng)):
        block.sentences[scene] = rng.shuffled(block.sentences[scene] + additions)
    return block


class _Shares:
    """Balances types and kinds: those furthest behind their shares come first."""

    def __init__(self, tier: Tier):
        self.kinds = {k: share for k, share in KIND_SHARES.items() if tier.overlap or k not in NEEDS_OVERLAP}
        self.count: Counter[str] = Counter()
        self.kind_count: Counter[str] = Counter()

    def next_types(self) -> list[str]:
        total = self.count.total()
        return sorted(TYPE_SHARES, key=lambda name: self.count[name] - TYPE_SHARES[name] * total)

    def next_kinds(self, type_: str) -> list[str]:
        if type_ != "relation":
            return [""]
        total = self.kind_count.total()
        return sorted(self.kinds, key=lambda name: self.kind_count[name] - self.kinds[name] * total)

    def add(self, sentence: Sentence) -> None:
        self.count[sentence.type] += 1
        self.kind_count[sentence.kind] += bool(sentence.kind)


def _true_sentences(
    world: World, worlds: list[World], tier: Tier, rng: SeededRandom, shares: _Shares, part: str
) -> list[tuple[Sentence, int]]:
    found: dict[str, tuple[Sentence, int]] = {}
    featured = _held_out_objects(world, part)
    for _ in range(POSITIVES):
        for sentence in _attempts(world, tier, rng, shares, part == "roles"):
            referents = sentence.program.evaluate(world)
            if sentence.text in found or not referents or not (part in ("", "roles") or referents & featured):
                continue
            if _can_fail(sentence, worlds, rng) or rng.chance(TRUISMS):
                found[sentence.text] = sentence, referents
                shares.add(sentence)
                break
    return list(found.values())


def _attempts(world: World, tier: Tier, rng: SeededRandom, shares: _Shares, held_out_roles: bool) -> Iterator[Sentence]:
    for type_ in shares.next_types():
        for kind in shares.next_kinds(type_):
            second = tier.second_qualifier > 0 and rng.chance(tier.second_qualifier)
            for qualified in [True] * ATTEMPTS * PATIENCE * second + [False] * ATTEMPTS:
                sentence = compose(world, rng, type_, kind, held_out_roles, qualified)
                if sentence is not None:
                    yield sentence


def _can_fail(sentence: Sentence, worlds: list[World], rng: SeededRandom) -> bool:
    """Whether the sentence refers to nothing in one of some other scenes of the block."""
    return any(sentence.program.evaluate(rng.pick(worlds)) == 0 for _ in range(TRIED_SCENES))


def _held_out_objects(world: World, part: str) -> int:
    """Returns the held-out objects; each expression of the part refers to at least one of them."""
    found = 0
    for k, thing in enumerate(world.layout.objects):
        pair = thing.attributes[SHAPE], thing.attributes[COLOUR]
        if pair in HELD_OUT_PAIRS or (*pair, thing.attributes[MATERIAL]) in HELD_OUT_TRIPLES:
            found |= 1 << k
    return found


def _false_sentences(worlds: list[World], block: Block, rng: SeededRandom) -> list[list[tuple[Sentence, int]]]:
    """Returns, for each scene, the sentences of other scenes that have no referent in it."""
    additions: list[list[tuple[Sentence, int]]] = [[] for _ in worlds]
    for home, sentences in enumerate(block.sentences):
        for sentence, _ in sentences:
            if not rng.chance(NO_TARGET):
                continue
            empty: list[int] = []
            for scene in rng.shuffled(range(len(worlds))):
                same_part = block.parts[scene] == block.parts[home]
                if scene != home and same_part and sentence.program.evaluate(worlds[scene]) == 0:
                    empty.append(scene)
                    if len(empty) == CANDIDATE_SCENES:
                        break
            if empty:
                nearest = max(empty, key=lambda scene: _likeness(sentence, worlds[scene]))
                if all(other.text != sentence.text for other, _ in additions[nearest]):
                    additions[nearest].append((sentence, 0))
    return additions


def _likeness(sentence: Sentence, world: World) -> int:
    """Largest number of the noun phrase's attributes that one object of the scene has."""
    wanted = [(a, v) for a, v in enumerate(sentence.program.noun.attributes) if v is not None]
    return max(sum(thing.attributes[a] == v for a, v in wanted) for thing in world.layout.objects)


def object_ids(objects: int) -> tuple[int, ...]:
    """Returns the ids, in the scene's id map, of a set (bits) of objects."""
    return tuple(k + 1 for k in members(objects))
