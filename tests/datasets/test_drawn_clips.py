import hashlib
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from refseg import datasets
from refseg.datasets.drawn_clips.dataset import KINDS, MOTIONS, DrawnClip, DrawnClips
from refseg.datasets.drawn_clips.motions import GROWTH, ROUND, SPINNING, STILL, TURN_DEGREES
from refseg.datasets.drawn_clips.sentences import Doing, World
from refseg.datasets.drawn_clips.twins import alike
from refseg.datasets.drawn_scenes.balanced_sentences import object_ids
from refseg.datasets.drawn_scenes.grammar import plural
from refseg.datasets.drawn_scenes.objects import HELD_OUT_PAIRS, SHAPE, SHAPES
from refseg.datasets.drawn_scenes.programs import Noun
from refseg.errors import InvalidInput

SYMMETRY_DEGREES = {"square": 90, "triangle": 120, "star": 72, "cross": 90, "pentagon": 72, "heart": 360}


@pytest.fixture(scope="module")
def clips() -> list[DrawnClip]:
    return list(DrawnClips("val", 240))


def place(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(0)


# One frame does not tell ----------------------------------------------------------------------------------------------


def test_twins_share_their_middle_frame_and_their_sentences_but_no_answer(clips):
    for one, other in zip(clips[::2], clips[1::2], strict=True):
        assert one.middle == other.middle
        np.testing.assert_array_equal(one.labels(one.middle), other.labels(other.middle))
        texts = [[expression.text for expression in clip.expressions] for clip in (one, other)]
        assert texts[0] == texts[1] and len(set(texts[0])) == len(texts[0]) > 0
        for here, there in zip(one.expressions, other.expressions, strict=True):
            assert here.targets != there.targets
    np.testing.assert_array_equal(clips[0].frame(clips[0].middle), clips[1].frame(clips[1].middle))
    assert (clips[0].frame(0) != clips[1].frame(0)).any()


def test_a_referent_has_a_look_alike_that_does_something_else(clips):
    for clip in clips:
        for expression in clip.expressions:
            if len(expression.targets) == 1:
                target = expression.targets[0] - 1
                same = np.flatnonzero((clip.attributes == clip.attributes[target]).all(1))
                assert set(clip.motions[same]) > {clip.motions[target]}


def test_words_do_not_tell_which_sentences_refer_to_nothing():
    expressions = [(n // 2, e) for n, clip in enumerate(DrawnClips("train", 700)) for e in clip.expressions]
    words = CountVectorizer(ngram_range=(1, 2)).fit_transform([e.text for _, e in expressions])
    nothing = np.array([not e.targets for _, e in expressions])
    even = np.array([number % 2 == 0 for number, _ in expressions])
    model = LogisticRegression(max_iter=1000).fit(words[even], nothing[even])
    assert roc_auc_score(nothing[~even], model.decision_function(words[~even])) <= 0.55


# Certainty ------------------------------------------------------------------------------------------------------------


def test_every_program_evaluated_on_its_clip_gives_exactly_the_stored_targets(clips):
    for clip in clips:
        world = World(clip.layout(clip.middle), clip.motions.tolist())
        for program, expression in zip(clip.programs, clip.expressions, strict=True):
            found = program.evaluate(world)
            assert found is not None and object_ids(found) == expression.targets
            assert all(KINDS[clip.motions[k - 1]] == expression.kind for k in expression.targets)
            assert expression.type == "plural action" or len(expression.targets) <= 1


def test_several_for_a_singular_another_count_and_sizes_that_change_are_open(clips):
    def world(*motions: str) -> World:
        return World(layout, [MOTIONS.index(name) for name in motions])

    layout = next(clip.layout(0) for clip in clips if len(clip.motions) == 3)
    left = MOTIONS.index("left")
    assert Doing(Noun(), left).evaluate(world("left", "left", "up")) is None
    assert Doing(Noun(), left).evaluate(world("up", "left", "up")) == 0b010
    assert Doing(Noun(), left).evaluate(world("up", "down", "up")) == 0
    assert Doing(Noun(), left, many=True, count=2).evaluate(world("left", "left", "up")) == 0b011
    assert Doing(Noun(), left, many=True, count=2).evaluate(world("left", "left", "left")) is None
    size = layout.objects[0].attributes[2]
    assert Doing(Noun(size=size), left).evaluate(world("left", "up", "up")) == 0b001
    assert Doing(Noun(size=size), left).evaluate(world("growing", "left", "left")) is None


def test_motion_words_and_shapes_are_in_the_sentences(clips):
    roots = (
        "still",
        "mov",
        "left",
        "right",
        "up",
        "down",
        "spin",
        "turn",
        "rotat",
        "grow",
        "bigger",
        "shrink",
        "small",
    )
    words = Counter(word for clip in clips for e in clip.expressions for word in e.text.split())
    assert all(any(root in word for word in words) for root in roots)
    assert {plural("star"), "star"} <= words.keys()
    assert not any("that is" in e.text and e.text.count(" that ") > 1 for clip in clips for e in clip.expressions)


# Motions --------------------------------------------------------------------------------------------------------------


def test_objects_do_what_their_motion_says(clips):
    for clip in clips[:80]:
        first, last = clip.labels(0), clip.labels(len(clip) - 1)
        for k, motion in enumerate(clip.motions, start=1):
            name, (before, after) = MOTIONS[motion], (labels == k for labels in (first, last))
            down, right = place(after) - place(before)
            if name == "still":
                assert (before == after).all()
            elif name in ("left", "right"):
                assert {"left": -right, "right": right}[name] >= 8 > abs(down) * 8
            elif name in ("up", "down"):
                assert {"up": -down, "down": down}[name] >= 8 > abs(right) * 8
            elif name in ("growing", "shrinking"):
                ratio = (after.sum() / before.sum()) ** 0.5
                least = 0.9 * GROWTH[0] ** (len(clip) - 1)
                assert (ratio if name == "growing" else 1 / ratio) > max(least, 1.05)
            else:
                assert name == "spinning" and (before != (clip.labels(1) == k)).any()


def test_nobody_leaves_the_canvas_or_covers_another(clips):
    for clip in clips[:80]:
        for t in range(len(clip)):
            layout = clip.layout(t)
            for k, (thing, patch) in enumerate(zip(layout.objects, layout.patches, strict=True), start=1):
                whole = np.count_nonzero(patch.distance <= 0)
                assert np.count_nonzero(clip.labels(t) == k) >= 0.75 * whole
                edge = 0.8 * thing.radius - 1e-6
                assert edge <= thing.x <= clip.side - 1 - edge and edge <= thing.y <= clip.side - 1 - edge
            for j, one in enumerate(layout.objects):
                for other in layout.objects[:j]:
                    assert np.hypot(one.x - other.x, one.y - other.y) >= one.radius + other.radius + 2 - 1e-6


def test_what_looks_the_same_when_turned_does_not_spin_and_turns_can_be_followed(clips):
    assert {SHAPES[shape] for shape in ROUND} == set(SHAPES) - SYMMETRY_DEGREES.keys()
    assert max(TURN_DEGREES) < min(SYMMETRY_DEGREES.values()) / 2 and min(GROWTH) >= 1.04
    spinning = [clip.attributes[k, SHAPE] for clip in clips for k in np.flatnonzero(clip.motions == SPINNING)]
    assert spinning and not ROUND & set(spinning)


def test_motions_and_counts_have_their_shares(clips):
    expressions = [expression for clip in clips for expression in clip.expressions]
    kinds = Counter(expression.kind for expression in expressions)
    assert kinds.keys() == set(KINDS)
    assert all(abs(count / len(expressions) - 1 / 8) < 0.04 for count in kinds.values())
    targets = Counter(min(len(expression.targets), 2) for expression in expressions)
    assert 0.1 < targets[0] / len(expressions) < 0.2 and 0.05 < targets[2] / len(expressions) < 0.15
    assert {len(clip) for clip in clips} == set(range(5, 17))
    assert {len(clip.motions) for clip in clips} == {3, 4, 5, 6}


def test_compositions_that_scenes_hold_out_are_not_drawn(clips):
    assert not HELD_OUT_PAIRS & {tuple(values[:2]) for clip in clips for values in clip.attributes.tolist()}


def test_groups_of_look_alikes_keep_their_order():
    assert alike([(1, 0, 0, 0), (2, 0, 0, 0), (1, 0, 0, 0)]) == [[0, 2], [1]]


# Pixels, determinism, settings ----------------------------------------------------------------------------------------


def test_the_camera_is_static_and_noise_is_new_in_every_frame():
    clip = next(clip for clip in DrawnClips("val", 60) if (clip.motions == STILL).any())
    frames = [clip.frame(t).astype(int) for t in range(len(clip))]
    background = np.all([clip.labels(t) == 0 for t in range(len(clip))], axis=0)
    for one, other in pairwise(frames):
        difference = np.abs(one - other)[background]
        assert difference.any() and np.median(difference) < 12
    k = int(np.flatnonzero(clip.motions == STILL)[0]) + 1
    still = clip.labels(0) == k
    assert np.abs(frames[0][still].mean(0) - frames[-1][still].mean(0)).max() < 3


def test_a_clip_is_a_function_of_split_index_and_seed_alone():
    def digest(clip: DrawnClip) -> bytes:
        content = b"".join(clip.labels(t).tobytes() + clip.frame(t).tobytes() for t in range(len(clip)))
        return content + repr(clip.expressions).encode()

    clips = DrawnClips("val", 8)
    backwards = [digest(clips[k]) for k in (7, 6, 0)][::-1]
    assert backwards == [digest(DrawnClips("val", 100)[k]) for k in (0, 6, 7)]
    others = [DrawnClips("test", 8)[0], DrawnClips("train", 8)[0], DrawnClips("val", 8, seed=1)[0]]
    assert len({digest(clip) for clip in (clips[0], *others)}) == 4
    assert clips[-1].clip_id == "val-7" and [clip.clip_id for clip in clips][:2] == ["val-0", "val-1"]
    with pytest.raises(IndexError):
        clips[8]


def test_layout_and_sentences_are_those_of_this_version():
    found = hashlib.sha256()
    for clip in DrawnClips("test", 12):
        found.update(repr([(e.text, e.targets) for e in clip.expressions]).encode())
        found.update(b"".join(clip.labels(t).tobytes() for t in range(len(clip))))
    assert found.hexdigest()[:16] == "41497f227f409320"  # another one: raise VERSION


def test_the_middle_frame_is_annotated_or_all_are(clips):
    clip = clips[0]
    assert clip.annotated_frames(0) == (len(clip) // 2,)
    every = DrawnClips("val", 1, annotated="all")[0]
    assert every.annotated_frames(0) == tuple(range(len(every)))
    mask = every.mask(0, 0)
    assert (mask == np.isin(every.labels(0), every.expressions[0].targets)).all()
    with pytest.raises(IndexError, match=f"frame {len(clip)} of {len(clip)}"):
        clip.frame(len(clip))


def test_a_larger_canvas_has_the_same_clips_at_twice_the_size():
    large = DrawnClips("val", 2, side=256)[0]
    assert large.frame(0).shape == (256, 256, 3) and large.size_hw == (256, 256)
    radii = [thing.radius for thing in large.layout(large.middle).objects]
    assert all(22 <= radius <= 54 for radius in radii)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "hard"}, "unknown split 'hard' of drawn_clips; choose one of: train, val, test"),
        ({"split": "train"}, "say how many"),
        ({"split": "val", "count": 1001}, "has 1 to 1,000 clips, not 1001"),
        ({"split": "val", "side": 64}, "128 or 256 pixels, not 64"),
        ({"split": "val", "annotated": "first"}, "choose middle or all"),
        ({"split": "val", "tier": "base"}, "drawn_clips has no setting tier"),
        (
            {"split": "val", "frames": "abc"},
            r"^setting frames of drawn_clips: give a list of 2, each a whole number, for example frames=\[5,16\] "
            r"\(got 'abc'\)$",
        ),
        ({"split": "val", "frames": [7]}, r"give a list of 2, .* \(got \[7\]\)$"),
        (
            {"split": "val", "looks": "x"},
            r"looks of drawn_clips: give a whole number, for example looks=0 \(got 'x'\)$",
        ),
        ({"split": "val", "count": "x"}, r"count of drawn_clips: give a whole number \(got 'x'\)$"),
    ],
)
def test_settings_that_are_not_allowed_are_refused(settings, message):
    with pytest.raises(InvalidInput, match=message):
        datasets.build("drawn_clips", **settings)


@pytest.mark.parametrize("name", sorted(datasets.names_of_clips()))
def test_what_wants_images_refuses_videos_by_name(name):
    with pytest.raises(InvalidInput, match=f"{name} holds videos, images are wanted; choose one of: drawn_scenes"):
        datasets.build_images(name, split="val")
