"""Images and videos to try the page with: drawn scenes and clips with sentences about them."""

import random
from fractions import Fraction
from pathlib import Path

from PIL import Image

from refseg.datasets.drawn_clips.dataset import SHOWN_FRAMES, DrawnClips
from refseg.datasets.drawn_clips.dataset import SPLITS as CLIP_SPLITS
from refseg.datasets.drawn_scenes.dataset import SPLITS, DrawnScenes
from refseg.masks.pictures import encode_picture
from refseg.video.writer import video_writer

MAX_SENTENCES = 5  # sentences about a scene


def draw_sample(rng: random.Random) -> tuple[bytes, list[str]]:
    """Returns the PNG of a test scene, and sentences about it: about one object, several, and none.

    Args:
        rng: which scene, and which of its sentences.
    """
    scene = DrawnScenes(split="test")[rng.randrange(SPLITS["test"])]
    by_count: dict[int, list[str]] = {}
    for one in scene.expressions:
        by_count.setdefault(min(len(one.targets), 2), []).append(one.text)
    chosen = [rng.choice(by_count[count]) for count in (1, 2, 0) if count in by_count]
    others = [one.text for one in scene.expressions if one.targets and one.text not in chosen]
    return encode_picture(Image.fromarray(scene.image), "PNG"), [
        *chosen,
        *rng.sample(others, min(MAX_SENTENCES - len(chosen), len(others))),
    ]


def draw_clip(rng: random.Random, file: Path) -> list[str]:
    """Draws a test clip into a video file (MP4); returns sentences about it: about one object, several, and none.

    Args:
        rng: which clip, and which of its sentences.
        file: path of the video file.

    Raises:
        InvalidInput: if PyAV is not installed.
    """
    clip = DrawnClips(split="test", frames=SHOWN_FRAMES)[rng.randrange(CLIP_SPLITS["test"])]
    step = 1 / Fraction(clip.frame_rate)
    with video_writer(file, clip.size_hw, step) as write:
        for t in range(len(clip)):
            write(t * step, clip.frame(t))
    by_count: dict[int, list[str]] = {}
    for one in clip.expressions:
        by_count.setdefault(min(len(one.targets), 2), []).append(one.text)
    return [rng.choice(by_count[count]) for count in (1, 2, 0) if count in by_count]
