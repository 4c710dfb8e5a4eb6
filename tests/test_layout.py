"""Imports go one way: from rooms before one's own in ORDER, and no files import each other in a cycle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import refseg

PACKAGE = Path(refseg.__file__).parent
ORDER = (
    "errors counting lazy progress extensions array_types config hardware optional distributed files metrics "
    "preprocessing masks text samples batch losses video datasets readers blocks encoders finders networks adapters "
    "runtimes checkpoints compositions protocols inference evaluation manifests conversion recipes training "
    "inspection robustness export studies service commands cli"
).split()
FILES = [file.relative_to(PACKAGE).with_suffix("") for file in PACKAGE.rglob("*.py")]
MODULES = {".".join(["refseg", *file.parts]): PACKAGE / f"{file}.py" for file in FILES}


def imported(file: Path) -> Iterator[str]:
    """The modules of this package that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                places = name, f"{name}.__init__", f"{node.module}", f"{node.module}.__init__"
                yield from [place for place in places if place in MODULES][:1]


def rank(module: str) -> int:
    """The place of a module's room; the package's own face may import everything."""
    room = module.split(".")[1]
    return ORDER.index(room) if room in ORDER else len(ORDER)


def test_a_file_imports_from_rooms_before_its_own():
    pairs = [(module, other) for module, file in MODULES.items() for other in imported(file)]
    assert not [f"{a} -> {b}" for a, b in pairs if rank(a) < rank(b) < len(ORDER)]


def test_no_files_import_each_other_in_a_cycle():
    faces = {"refseg.__init__"}  # imports its public names when they are asked for
    graph = {module: {*imported(file)} - {module} - faces for module, file in MODULES.items() if module not in faces}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the files
