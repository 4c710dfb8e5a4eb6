import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from refseg.datasets.drawn_scenes.balanced_sentences import draw_block, object_ids
from refseg.datasets.drawn_scenes.dataset import KIND_SHARES, TYPE_SHARES, DrawnScenes, Scene
from refseg.datasets.drawn_scenes.grammar import REGIONS, plural
from refseg.datasets.drawn_scenes.layout import REACH, TIERS, draw_layout
from refseg.datasets.drawn_scenes.objects import (
    COLOUR,
    HELD_OUT_PAIRS,
    HELD_OUT_TRIPLES,
    MATERIAL,
    RADII,
    SHAPE,
    SHAPES,
    SIZE,
    DrawnObject,
    SeededRandom,
    signed_distance,
)
from refseg.datasets.drawn_scenes.programs import (
    All,
    BySize,
    Noun,
    Nth,
    Related,
    The,
    World,
    evaluate_steps,
    members,
    uses_held_out_role,
)
from refseg.errors import InvalidInput


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return list(DrawnScenes("val", 320))


@pytest.fixture(scope="module")
def many_expressions() -> list[tuple[int, str, str, bool]]:
    """20,000 expressions: block, text, type, whether it refers to nothing."""
    found = (
        (number // 64, expression.text, expression.type, not expression.targets)
        for number, scene in enumerate(DrawnScenes("train", 2000))
        for expression in scene.expressions
    )
    return list(islice(found, 20_000))


# Certainty ------------------------------------------------------------------------------------------------------------


def test_every_program_evaluated_on_its_scene_gives_exactly_the_stored_targets(scenes):
    for scene in scenes:
        world = World(scene.layout)
        for expression, program in zip(scene.expressions, scene.programs, strict=True):
            assert object_ids(program.evaluate(world)) == expression.targets, expression


def test_every_singular_expression_has_at_most_one_referent(scenes):
    for scene in scenes:
        for expression, program in zip(scene.expressions, scene.programs, strict=True):
            assert isinstance(program, All) or len(expression.targets) <= 1


def test_no_sentence_stands_twice_in_a_scene(scenes):
    for scene in scenes:
        texts = [expression.text for expression in scene.expressions]
        assert len(set(texts)) == len(texts)


def test_masks_are_the_visible_pixels_of_the_targets(scenes):
    scene = scenes[0]
    for index, expression in enumerate(scene.expressions):
        expected = np.zeros(scene.id_map.shape, bool)
        for target in expression.targets:
            expected |= scene.id_map == target
        np.testing.assert_array_equal(scene.mask(index), expected)


def test_an_object_in_front_hides_the_pixels_of_the_one_behind():
    behind = DrawnObject((1, 0, 2, 0), 60.0, 60.0, 24.0, 0)
    front = DrawnObject((0, 1, 0, 0), 60.0, 60.0, 11.0, 0)
    from refseg.datasets.drawn_scenes.layout import rasterise

    id_map = rasterise([behind, front], 128).id_map
    assert id_map[60, 60] == 2 and id_map[60, 60 + 15] == 1 and id_map[5, 5] == 0


def test_every_object_is_visible_enough(scenes):
    for scene in scenes[:64]:
        for number, patch in enumerate(scene.layout.patches, start=1):
            visible = np.count_nonzero(scene.id_map == number)
            assert visible >= 60 and visible >= 0.4 * np.count_nonzero(patch.distance <= 0)


@pytest.mark.parametrize("shape", range(len(SHAPES)), ids=SHAPES)
def test_a_shape_contains_its_centre_and_ends_inside_its_patch(shape):
    thing = DrawnObject((shape, 0, 0, 0), 0.0, 0.0, 20.0, 0)
    x, y = np.meshgrid(np.linspace(-40, 40, 161, dtype=np.float32), np.linspace(-40, 40, 161, dtype=np.float32))
    inside = signed_distance(thing, x, y) <= 0
    assert not inside[np.hypot(x, y) > REACH[0] * 20 + REACH[1]].any()
    assert 0.3 < inside.sum() / (np.pi * 20**2 * 4) < 1.05
    assert inside[80, 80] == (SHAPES[shape] != "ring")


# Meaning --------------------------------------------------------------------------------------------------------------


def world_of(*things: DrawnObject) -> World:
    from refseg.datasets.drawn_scenes.layout import rasterise

    return World(rasterise(list(things), 128))


RED, GREEN, BLUE = 0, 1, 2
LEFT_STAR = DrawnObject((3, RED, 0, 0), 20.0, 60.0, 12.0, 0)
MIDDLE_STAR = DrawnObject((3, GREEN, 1, 0), 60.0, 62.0, 17.0, 0)
RIGHT_CIRCLE = DrawnObject((0, BLUE, 2, 1), 100.0, 60.0, 24.0, 0)


@pytest.mark.parametrize(
    ("program", "referents"),
    [
        (The(Noun(colour=RED)), {0}),
        (The(Noun(shape=3)), None),  # two stars
        (The(Noun(shape=5)), set()),
        (All(Noun(shape=3)), {0, 1}),
        (All(Noun(shape=3), count=2), {0, 1}),
        (All(Noun(shape=3), count=3), None),
        (Nth(Noun(shape=3), "left"), {0}),
        (Nth(Noun(shape=3), "right"), {1}),
        (Nth(Noun(shape=3), "top"), None),  # 2 pixels apart
        (Nth(Noun(), "right", 3, True), {0}),
        (Nth(Noun(shape=3), "left", 3, True), set()),
        (BySize(Noun(shape=3), largest=True), {1}),
        (Related(Noun(shape=3), "nearest", The(Noun(shape=0))), {1}),
        (Related(Noun(shape=3), "farthest", The(Noun(shape=0))), {0}),
        (Related(Noun(), "left", The(Noun(colour=GREEN))), {0}),
        (Related(Noun(), "right", The(Noun(colour=GREEN))), {2}),
        (Related(Noun(), "right", The(Noun(colour=5))), set()),  # there is no orange thing
        (Related(Noun(), "right", The(Noun(shape=3))), None),  # which star?
        (Related(Noun(), "above", The(Noun(colour=GREEN))), None),
        (Related(Noun(), "same_shape", The(Noun(colour=RED))), {1}),
        (Related(Noun(), "same_pattern", The(Noun(colour=RED))), {1}),
        (Related(Noun(), "same_colour", The(Noun(colour=RED))), set()),
        (Related(Noun(), "between", The(Noun(colour=RED)), The(Noun(shape=0))), {1}),
        (Related(Noun(), "front", The(Noun(colour=GREEN))), {2}),
        (Related(Noun(), "behind", The(Noun(shape=0))), {1}),
        (Related(Noun(), "overlapping", The(Noun(colour=RED))), set()),
        (The(Noun(without=(SHAPE, 3))), {2}),
        (The(Noun(shape=3, region="left")), None),  # the middle star stands on the border
        (The(Noun(material=1, region="right")), {2}),
    ],
)
def test_a_program_means_what_it_says(program, referents):
    moved = DrawnObject(MIDDLE_STAR.attributes, 64.0, 62.0, 17.0, 0)
    found = program.evaluate(world_of(LEFT_STAR, moved, RIGHT_CIRCLE))
    assert found == (None if referents is None else sum(1 << k for k in referents))


@pytest.mark.parametrize(
    ("program", "steps"),
    [
        (The(Noun(colour=RED)), [{0}, set(), {0}, set()]),
        (All(Noun(shape=3, without=(COLOUR, RED))), [{0, 1}, set(), {1}, set()]),
        (The(Noun(region="right", material=1)), [{2}, set(), {2}, set()]),
        (Nth(Noun(shape=3), "right"), [{0, 1}, set(), {0, 1}, set()]),
        (Related(Noun(), "left", The(Noun(colour=GREEN))), [{0, 1, 2}, {1}, {0, 1, 2}, {1}]),
        (Related(Noun(), "nearest", Nth(Noun(shape=3), "left")), [{0, 1, 2}, {0, 1}, {0, 1, 2}, {0}]),
        (
            Related(Noun(), "between", The(Noun(colour=RED)), The(Noun(shape=0))),
            [{0, 1, 2}, {0, 2}, {0, 1, 2}, {0, 2}],
        ),
    ],
)
def test_the_steps_of_a_program_are_what_it_goes_through(program, steps):
    moved = DrawnObject(MIDDLE_STAR.attributes, 64.0, 62.0, 17.0, 0)
    found = evaluate_steps(program, world_of(LEFT_STAR, moved, RIGHT_CIRCLE))
    assert [set(members(step)) for step in found] == steps


def test_each_step_of_a_program_narrows_the_one_before(scenes):
    for scene in scenes[:100]:
        world = World(scene.layout)
        for program in scene.programs:
            named, anchors_named, described, anchors = evaluate_steps(program, world)
            assert program.evaluate(world) & ~described == described & ~named == anchors & ~anchors_named == 0


def test_comparisons_and_negations_are_needed(scenes):
    for scene in scenes[:64]:
        world = World(scene.layout)
        for expression, program in zip(scene.expressions, scene.programs, strict=True):
            if not expression.targets:
                continue
            if isinstance(program, Nth | BySize):
                assert program.noun.evaluate(world).bit_count() >= 2
            if expression.type == "negation":
                attribute, value = program.noun.without
                assert any(thing.attributes[attribute] == value for thing in scene.layout.objects)


# Shares ---------------------------------------------------------------------------------------------------------------


def test_types_occur_as_often_as_stated(scenes):
    count = Counter(e.type for scene in scenes for e in scene.expressions if e.targets)
    for name, share in TYPE_SHARES.items():
        assert count[name] / count.total() == pytest.approx(share, rel=0.05), name


def test_kinds_of_relation_occur_as_often_as_stated(scenes):
    count = Counter(e.kind for scene in scenes for e in scene.expressions if e.targets and e.kind)
    assert set(count) == set(KIND_SHARES)
    for name, share in KIND_SHARES.items():
        assert count[name] / count.total() == pytest.approx(share, rel=0.15), name


def test_expressions_refer_to_nothing_one_or_several_as_often_as_stated(scenes):
    count = Counter(min(len(e.targets), 2) for scene in scenes for e in scene.expressions)
    shares = [count[n] / count.total() for n in range(3)]
    assert shares == pytest.approx([0.14, 0.73, 0.12], abs=0.02)


@pytest.mark.slow
def test_a_bag_of_words_cannot_tell_that_an_expression_refers_to_nothing(many_expressions):
    blocks, texts, types, nothing = (np.array(column) for column in zip(*many_expressions, strict=True))
    words = CountVectorizer(token_pattern=r"\S+").fit_transform(texts)
    model = LogisticRegression(C=0.1, max_iter=500)
    for name in ("all", *TYPE_SHARES):
        chosen = (types == name) | (name == "all")
        x, y, folds = words[chosen], nothing[chosen], blocks[chosen] % 4
        guess = np.empty(len(y))
        for fold in range(4):
            guess[folds == fold] = model.fit(x[folds != fold], y[folds != fold]).decision_function(x[folds == fold])
        assert roc_auc_score(y, guess) <= 0.55, name


# Determinism ----------------------------------------------------------------------------------------------------------


def digest(scene: Scene) -> str:
    words = repr([(e.text, e.targets, e.type, e.kind) for e in scene.expressions]) + repr(scene.layout.objects)
    return hashlib.sha256(words.encode() + scene.id_map.tobytes()).hexdigest()[:16]


STORED = {
    "train": "b00eefcbf6ec92ab",
    "val": "105c28bebe6588a2",
    "test": "3090af3ccdef9629",
    "hard": "2abcaaae378b723b",
    "held_out": "02b0ec7dcf23372d",
}


@pytest.mark.parametrize("split", STORED)
def test_a_scene_is_the_same_on_every_machine(split):
    """Whoever changes a drawn byte or sentence on purpose raises VERSION and stores the new hash here."""
    assert digest(DrawnScenes(split, 200)[130]) == STORED[split]


def test_pixels_are_the_same_up_to_a_grey_level():
    image = DrawnScenes("val", 1)[0].image.astype(float)
    assert image.shape == (128, 128, 3)
    np.testing.assert_allclose(image.mean((0, 1)), (162.66, 159.47, 150.54), atol=1)


def test_a_scene_does_not_depend_on_the_way_to_it(monkeypatch):
    monkeypatch.setattr("refseg.datasets.drawn_scenes.dataset.draw_block", draw_block)  # none is kept
    scenes = DrawnScenes("val", 200)
    later, first = scenes[150], scenes[3]
    assert digest(DrawnScenes("val", 151)[150]) == digest(later)
    assert digest(DrawnScenes("val", 4)[3]) == digest(first)
    np.testing.assert_array_equal(DrawnScenes("val", 151)[150].image, later.image)


@pytest.mark.slow
def test_splits_and_seeds_share_no_scene():
    drawn = [digest(DrawnScenes(split, 1, seed=seed)[0]) for split in STORED for seed in (0, 1)]
    assert len(set(drawn)) == len(drawn)


# Tiers and held-out compositions --------------------------------------------------------------------------------------


def compositions(scene: Scene) -> tuple[set, set]:
    pairs = {(a[SHAPE], a[COLOUR]) for a in scene.attributes.tolist()}
    triples = {(a[SHAPE], a[COLOUR], a[MATERIAL]) for a in scene.attributes.tolist()}
    return pairs & HELD_OUT_PAIRS, triples & HELD_OUT_TRIPLES


@pytest.mark.parametrize("split", ["train", "val", "test", "hard"])
def test_held_out_compositions_occur_nowhere_else(split):
    for scene in DrawnScenes(split, 64):
        assert compositions(scene) == (set(), set())
        assert not any(uses_held_out_role(program) for program in scene.programs)


def test_the_parts_of_split_held_out_show_what_they_are_named_for():
    for scene in DrawnScenes("held_out", 64):
        pairs, triples = compositions(scene)
        assert bool(pairs) == (scene.part == "pairs") and bool(triples) == (scene.part == "triples")
        assert all(uses_held_out_role(program) == (scene.part == "roles") for program in scene.programs)


def test_easy_scenes_have_no_overlap_and_no_relation_that_needs_it():
    scenes = list(DrawnScenes("val", 64, tier="easy"))
    assert all(not any(scene.layout.touching) for scene in scenes)
    kinds = {e.kind for scene in scenes for e in scene.expressions}
    assert kinds.isdisjoint({"between", "nearest", "farthest", "front", "behind", "overlapping"})


def test_hard_scenes_have_up_to_twelve_objects_at_any_angle_and_second_qualifiers():
    scenes = list(DrawnScenes("hard", 64))
    counts = [len(scene.radii) for scene in scenes]
    assert min(counts) >= 5 and max(counts) > 8
    assert max(abs(thing.rotation_degrees) for scene in scenes for thing in scene.layout.objects) > 150
    asked = [pair for scene in scenes for pair in zip(scene.expressions, scene.programs, strict=True)]
    placed_anchors = [isinstance(p, Related) and isinstance(p.anchor, Nth) for _, p in asked]
    exclusions = [p.noun.without is not None and e.type != "negation" for e, p in asked]
    regions = [p.noun.region is not None and e.type not in ("location", "plural") for e, p in asked]
    assert all(map(any, (placed_anchors, exclusions, regions)))
    assert sum(map(any, zip(placed_anchors, exclusions, regions, strict=True))) > 0.25 * len(asked)


def test_a_larger_canvas_scales_every_length():
    layout = draw_layout(SeededRandom("test"), TIERS["base"], 256)
    low, high = (2 * bound for bound in RADII[layout.objects[0].attributes[SIZE]])
    assert layout.id_map.shape == (256, 256) and low <= layout.objects[0].radius <= high


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "vall"}, "choose one of: train, val"),
        ({"split": "val", "tier": "medium"}, "choose one of: easy, base, hard"),
        ({"split": "train"}, "say how many"),
        ({"split": "val", "count": 1001}, "1 to 1,000"),
        ({"split": "val", "side": 100}, "128 or 256"),
    ],
)
def test_bad_settings_are_refused_with_the_way_out(settings, message):
    with pytest.raises(InvalidInput, match=message):
        DrawnScenes(**settings)


def test_plurals_and_regions_are_english():
    assert [plural(word) for word in ("star", "box", "cross", "plus")] == ["stars", "boxes", "crosses", "pluses"]
    assert all(form.count("{}") == 1 for forms in REGIONS.values() for form in forms)


DRAW_FOR_EVER = """
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.drawn_scenes.stored_scenes import stored_scenes

if __name__ == "__main__":
    stored_scenes(DrawnScenes("train", 100_000), workers=2, progress=lambda drawn: print("drawn", flush=True))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")
def test_workers_end_with_a_process_that_is_killed(tmp_path):
    (tmp_path / "draw.py").write_text(DRAW_FOR_EVER)
    environment = os.environ | {"REFSEG_CACHE": str(tmp_path)}
    command = [sys.executable, str(tmp_path / "draw.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True) as process:
        assert process.stdout is not None and process.stdout.readline() == b"drawn\n"
        process.kill()
        process.wait()
    for _ in range(600):
        if not (left := _of_session(process.pid)):
            break
        time.sleep(0.1)
    assert not left


UNGUARDED = """
import sys

import refseg.datasets.drawn_scenes.stored_scenes as store
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput

store.all_or_nothing = lambda folder: sys.exit("begun, and left there by a process that is killed")
try:
    store.stored_scenes(DrawnScenes("train", 65), workers=2)
except InvalidInput as error:
    print(error)
"""


def test_a_script_that_each_process_would_run_again_is_told_so(tmp_path):
    (tmp_path / "draw.py").write_text(UNGUARDED)
    environment = os.environ | {"REFSEG_CACHE": str(tmp_path)}
    command = [sys.executable, str(tmp_path / "draw.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "write the call below `if __name__ == '__main__':`" in done.stdout
    assert not list(tmp_path.rglob("*.npy"))


def _of_session(number: int) -> list[str]:
    """The processes of a session, by their numbers."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = file.read_text().rpartition(")")[2].split()[:4]
            if int(session) == number and state != "Z":
                found.append(file.parent.name)
    return found
