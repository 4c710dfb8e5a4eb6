"""Writes the pages of the site that are made from the code: commands, Python, configs, networks with their figures.

python docs/generate            writes them
python docs/generate --check    names those that are not what the code says, and ends with 1 if there are any
"""

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import configs
import flows
import python_api

import commands
import networks

DOCS = Path(__file__).parent.parent


def pages() -> Mapping[str, str]:
    """Returns the text of each page, by its path below docs/."""
    return {
        "reference/commands.md": commands.page(),
        "reference/python.md": python_api.page(),
        "reference/configs.md": configs.page(),
        "networks/index.md": networks.overview(),
        **{f"networks/{name}.md": networks.page(name) for name in networks.NAMES},
        **{f"networks/{name}.svg": figure for name, figure in flows.figures().items()},
    }


def main() -> int:
    """Writes or checks all pages; returns the exit code."""
    stale = []
    for name, text in pages().items():
        file = DOCS / name
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"docs/{name}")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
