"""The package's own face: what `import refseg` offers."""

import inspect
import subprocess
import sys

import pytest

import refseg

CLASSES = [name for name in refseg.__all__ if inspect.isclass(getattr(refseg, name))]


def test_importing_the_package_does_not_import_torch():
    code = "import sys, refseg; assert dir(refseg); print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_results_and_the_objects_in_them_are_exported():
    assert {"Result", "FrameResult", "Instance", "Segmenter"} <= set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_class_has_an_example_in_its_help(name):
    own = getattr(refseg, name).__dict__.get("__doc__") or ""
    assert ">>> " in own  # which the run of doctests executes


def test_all_names_are_there_and_nothing_else():
    assert all(hasattr(refseg, name) for name in refseg.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = refseg.nothing
