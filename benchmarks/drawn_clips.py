"""How fast clips are drawn on one core, and how far one frame alone gets."""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from refseg.datasets.drawn_clips.dataset import MOTIONS, DrawnClip, DrawnClips
from refseg.datasets.drawn_clips.twins import alike
from refseg.datasets.drawn_scenes.programs import World, members
from timing import print_table

WINDOW = 5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clips", type=int, default=1000)
    count = arguments.parse_args().clips
    speed(min(count, 200))
    clips = list(DrawnClips("val", count))
    choices(clips)
    motions_seen(clips)


def speed(count: int) -> None:
    lines = []
    for name, frames in ((f"{WINDOW} in the middle", WINDOW), ("all", 99)):
        begin, drawn = time.process_time(), 0
        for clip in DrawnClips("train", count):
            for t in range(max(clip.middle - frames // 2, 0), min(clip.middle + frames // 2 + 1, len(clip))):
                assert clip.frame(t).size
                drawn += 1
            assert all(clip.mask(i, clip.middle) is not None for i in range(len(clip.expressions)))
        seconds = time.process_time() - begin
        lines.append([name, f"{count / seconds:.0f}", f"{drawn / seconds:.0f}"])
    head = ["frames", "clips a second", "frames a second"]
    print_table(f"Drawn clips with their expressions and masks, {count} of train, one core", head, lines)


def choices(clips: Sequence[DrawnClip]) -> None:
    """Answers that see the middle frame only, in percent."""
    rng = np.random.default_rng(0)
    ways: dict[str, Callable[[DrawnClip, int], list[int]]] = {
        "all objects": lambda clip, i: list(range(len(clip.motions))),
        "random object": lambda clip, i: [int(rng.integers(len(clip.motions)))],
        "all objects of the noun phrase": named,
        "random object of the noun phrase": lambda clip, i: [int(rng.choice(named(clip, i)))],
        "largest object of the noun phrase": lambda clip, i: [max(named(clip, i), key=lambda k: radius(clip, k))],
    }
    lines = []
    for name, choose in ways.items():
        ious, right, total = [], 0, 0
        for clip in clips:
            for i, expression in enumerate(clip.expressions):
                chosen = {k + 1 for k in choose(clip, i)}
                right += chosen == set(expression.targets)
                total += 1
                if expression.targets:
                    answer, truth = np.isin(clip.labels(clip.middle), list(chosen)), clip.mask(i, clip.middle)
                    ious.append((answer & truth).sum() / (answer | truth).sum())
        values = np.array(ious)
        lines.append([name, *(f"{100 * x:.1f}" for x in (right / total, values.mean(), (values >= 0.5).mean()))])
    print_table(
        f"What sees the middle frame only, {len(clips)} clips of val", ["answer", "right", "mIoU", "P@.5"], lines
    )
    pairs = [(a, b) for a, b in zip(clips[::2], clips[1::2], strict=True)]
    same = sum(x.targets == y.targets for a, b in pairs for x, y in zip(a.expressions, b.expressions, strict=True))
    alike_frames = all((a.frame(a.middle) == b.frame(b.middle)).all() for a, b in pairs[:50])
    print(f"answers that twins share: {same}; their middle frames are equal: {alike_frames}\n")


def motions_seen(clips: Sequence[DrawnClip]) -> None:
    """Share of look-alikes whose motion is told by place, size and rotation in one frame, by a forest."""
    lines = []
    frames: dict[str, Callable[[DrawnClip], int]] = {
        "first": lambda clip: 0,
        "middle": lambda clip: clip.middle,
        "last": lambda clip: len(clip) - 1,
    }
    for name, number in frames.items():
        features, motions, half = [], [], 0
        for position, clip in enumerate(clips):
            if position == len(clips) // 4 * 2:
                half = len(features)
            for group in alike(list(map(tuple, clip.attributes.tolist()))):
                for k in group if len(group) > 1 else ():
                    thing = clip.layout(number(clip)).objects[k]
                    turned = (thing.rotation_degrees + 180) % 360 - 180
                    features.append([thing.x, thing.y, thing.radius, turned, *thing.attributes, len(clip)])
                    motions.append(clip.motions[k])
        forest = RandomForestClassifier(300, min_samples_leaf=3, random_state=0).fit(features[:half], motions[:half])
        lines.append([name, f"{100 * forest.score(features[half:], motions[half:]):.1f}"])
    print_table(f"Motion told from one frame, chance {100 / len(MOTIONS):.1f} %", ["frame", "right"], lines)


def named(clip: DrawnClip, index: int) -> list[int]:
    """The objects that the noun phrase of an expression describes."""
    return members(clip.programs[index].noun.evaluate(World(clip.layout(clip.middle))) or 0)


def radius(clip: DrawnClip, k: int) -> float:
    """Of object k in the middle frame."""
    return clip.layout(clip.middle).objects[k].radius


if __name__ == "__main__":
    main()
