"""Images to try the page with: drawn scenes with sentences about them."""

import random

from PIL import Image

from refseg.datasets.drawn_scenes.dataset import SPLITS, DrawnScenes
from refseg.masks.pictures import encode_picture

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
