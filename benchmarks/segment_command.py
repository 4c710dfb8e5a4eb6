"""Wall time of the commands as a person meets them, start of Python and imports included."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from timing import medians, print_table


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--weights", default="selector")
    arguments.add_argument("--repeats", type=int, default=5)
    given = arguments.parse_args()
    scene = DrawnScenes("test", count=1)[0]
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "scene.png"
        Image.fromarray(scene.image).save(picture)
        rest = ["--weights", given.weights, "--out", folder]
        one = ["segment", str(picture), scene.expressions[0].text, *rest]
        eight = ["segment", str(picture), *(expression.text for expression in scene.expressions[:8]), *rest]
        cases = {
            "python -c pass": lambda: python("-c", "pass"),
            "python -c 'import torch'": lambda: python("-c", "import torch"),
            "refseg --help": lambda: refseg("--help"),
            "refseg segment, 1 expression": lambda: refseg(*one),
            "refseg segment, 8 expressions": lambda: refseg(*eight),
            "refseg segment, 1 expression, --torch": lambda: refseg(*one, "--torch"),
        }
        seconds = medians(cases, given.repeats)
    lines = [[name, f"{value:.2f}"] for name, value in seconds.items()]
    print_table(f"Commands, median of {given.repeats}", ["command", "seconds"], lines)
    print(f"torch is {'' if help_imports('torch') else 'not '}imported by `refseg --help`\n")


def refseg(*arguments: str) -> None:
    python("-m", "refseg", *arguments)


def python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def help_imports(module: str) -> bool:
    lines = [
        "import sys",
        "from refseg.cli import app",
        "app(['--help'], standalone_mode=False)",
        f"print('yes' if {module!r} in sys.modules else 'no', file=sys.stderr)",
    ]
    answer = subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True, text=True)
    return answer.stderr.strip() == "yes"


if __name__ == "__main__":
    main()
