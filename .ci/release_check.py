"""Whether this version could be published: `make release-check`.

Builds sdist and wheel, looks into both, and installs the wheel into bare environments of each Python that is at hand:
without extras, with all of them, and with the lowest versions that pyproject.toml allows. In each it runs the five
lines of the README and `refseg demo`. What is not at hand is said, and is no failure.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
UV = ROOT / ".venv" / "bin" / "uv"
MOST_BYTES = 25_000_000  # of the wheel
NEEDED = (  # in the wheel
    "refseg/py.typed",
    "refseg/weights/selector/model.safetensors",
    "refseg/weights/selector_video/model.safetensors",
    "refseg/text/bert_base_uncased.txt",
    "refseg/text/clip_byte_pairs.LICENSE",
    "refseg/inspection/costs.json",
)
PYTHONS = ("3.11", "3.12", "3.13")


def run(*command: object, cwd: Path = ROOT) -> str:
    """Runs a command and returns what it printed; ends with what it said where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(words)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """Builds sdist and wheel."""
    run(UV, "build", "--quiet", "--out-dir", folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def relative_links(text: str) -> list[str]:
    """Returns links and pictures of a Markdown text that lead nowhere without the files beside it."""
    tokens = [one for token in MarkdownIt().parse(text) for one in (token, *(token.children or ()))]
    links = [str(token.attrs[name]) for token in tokens for name in ("href", "src") if name in token.attrs]
    html = "\n".join(token.content for token in tokens if token.type.startswith("html"))
    links += re.findall(r"""\b(?:href|src)\s*=\s*["']?([^"'\s>]+)""", html)
    return [link for link in links if not re.match(r"[a-z][a-z0-9+.-]*:", link)]


def look_into(sdist: Path, wheel: Path) -> None:
    """Checks names, size and metadata of what was built."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = re.search(r'__version__ = "(.+)"', (ROOT / "src/refseg/__init__.py").read_text(encoding="utf-8"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [about] = [message_from_bytes(archive.read(name)) for name in names if name.endswith(".dist-info/METADATA")]
    with tarfile.open(sdist) as archive:
        sources = [name.partition("/")[2] for name in archive.getnames()]
    licences = {name.rpartition("/")[2] for name in names if ".dist-info/licenses/" in name}
    faults = [
        *(f"the wheel lacks {name}" for name in NEEDED if name not in names),
        *(f"the wheel holds {name}" for name in names if not re.match(r"refseg(-[\w.]+\.dist-info)?/", name)),
        *(f"the sdist lacks {name}" for name in ("README.md", "LICENSE", "pyproject.toml") if name not in sources),
        *(f"{wheel.name} has {size:,} bytes" for size in [wheel.stat().st_size] if size > MOST_BYTES),
        *(["the wheel has no LICENSE"] if "LICENSE" not in licences else []),
        *(f"PyPI would show a link to {link}" for link in relative_links(about.get_payload())),
        *(["it has no long description"] if "## Install" not in about.get_payload() else []),
        *([f"its version is {about['Version']}"] if about["Version"] != project["version"] else []),
        *(["__version__ is another than pyproject.toml's"] if not version or version[1] != project["version"] else []),
    ]
    if faults:
        sys.exit("\n".join(faults))
    run(UV, "tool", "run", "twine", "check", "--strict", sdist, wheel)  # renders the README, too
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, {len(names)} files")
    print(f"{sdist.name}: {sdist.stat().st_size:,} bytes")


def find_pythons() -> list[tuple[str, str]]:
    """Returns versions and paths of the Pythons at hand; says which are not."""
    found = []
    for version in PYTHONS:
        asked = subprocess.run(
            [UV, "python", "find", "--no-project", "--system", version], capture_output=True, text=True, check=False
        )
        if asked.returncode:
            print(f"Python {version}: not at hand")
        else:
            found.append((version, asked.stdout.strip()))
    return found


def try_out(wheel: Path, python: str, what: str, extras: str, *options: str) -> None:
    """Installs the wheel into a bare environment and runs it as a newcomer does."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run(UV, "venv", "--quiet", "--python", python, home / "env")
        mine = home / "env" / "bin" / "python"
        run(UV, "pip", "install", "--quiet", "--python", mine, *options, f"refseg{extras} @ file://{wheel}")
        run(UV, "pip", "check", "--quiet", "--python", mine)
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        five_lines = re.search(r"## Five lines\n\n```python\n(.*?)```", readme, re.S)
        assert five_lines, "README.md has no five lines"
        (home / "five_lines.py").write_text(five_lines[1], encoding="utf-8")
        run(mine, "five_lines.py", cwd=home)
        run(home / "env" / "bin" / "refseg", "demo", "--out", "demo.png", cwd=home)
        pictures = sorted(path.name for path in home.glob("*.png"))
        version = run(mine, "--version").strip()
        print(f"{version}, {what}: five lines and demo ran, {len(pictures)} pictures", flush=True)


def main() -> None:
    """Runs all checks, or those that are asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--built-only", action="store_true", help="build and look into the files; install nothing")
    arguments = asked.parse_args()
    folder = ROOT / "out" / "release"
    shutil.rmtree(folder, ignore_errors=True)
    sdist, wheel = build(folder)
    look_into(sdist, wheel)
    if arguments.built_only:
        return
    for version, python in find_pythons():
        try_out(wheel, python, "no extra", "")
        try_out(wheel, python, "all extras", "[all]")
        if version == PYTHONS[0]:
            try_out(wheel, python, "lowest versions", "", "--resolution", "lowest-direct")


if __name__ == "__main__":
    main()
