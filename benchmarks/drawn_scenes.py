"""How fast scenes and their expressions are drawn on one core."""

import argparse
import time

from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from timing import print_table

TIERS = ("easy", "base", "hard")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--scenes", type=int, default=256)
    count = arguments.parse_args().scenes
    lines = []
    for tier in TIERS:
        scenes, expressions = DrawnScenes("train", count=count, tier=tier), 0
        begin = time.process_time()
        for scene in scenes:
            expressions += len(scene.expressions)
            assert scene.image.size
        seconds = time.process_time() - begin
        lines.append([tier, f"{count / seconds:.0f}", f"{expressions / seconds:.0f}", f"{expressions / count:.1f}"])
    head = ["tier", "scenes a second", "expressions a second", "expressions a scene"]
    print_table(f"Drawn scenes, {count} of each tier, one core", head, lines)


if __name__ == "__main__":
    main()
