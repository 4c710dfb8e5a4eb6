"""The page of the public names of `import refseg`; mkdocstrings writes what their docstrings say."""

INTRODUCTION = """# Python

`import refseg` takes no time: each name is imported when it is first used. Names that begin with an underscore, and
modules that this page does not name, may change without notice.
"""
GROUPS = {
    "An answer": ("load", "segment", "Segmenter", "Result", "Instance", "FrameResult", "FileResult"),
    "Data and networks": ("load_dataset", "create_network"),
    "Figures and weights": ("evaluate", "measure_robustness", "export_robustness", "train", "push"),
}
TABLES = {
    "DATASETS": "data sets, by name ([Data sets](../datasets.md))",
    "NETWORKS": "networks, by name ([Networks](../networks/index.md))",
    "PRESETS": "settings of networks, by name",
    "PROTOCOLS": "ways of scoring, by name ([Protocols](../protocols.md))",
    "RECIPES": "trainings, by name ([Recipes](../recipes.md))",
}


def page() -> str:
    """Returns the page as Markdown."""
    import refseg

    names = [name for name in refseg.__all__ if name != "__version__"]
    listed = {name for group in GROUPS.values() for name in group} | TABLES.keys()
    if left := [name for name in names if name not in listed]:
        raise SystemExit(f"docs/generate/python_api.py: no place is known for {', '.join(left)}")
    parts = [INTRODUCTION]
    for title, group in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(refseg._HOMES[name], name) for name in group if name in names]
    parts.append("## Tables of names\n\n| table | holds |\n|---|---|")
    parts += [f"| `refseg.{name}` | {what} |" for name, what in TABLES.items()]
    return "\n".join(parts) + "\n"


def _entry(module: str, name: str) -> str:
    return f"::: {module}.{name}\n    options:\n      heading: refseg.{name}\n      toc_label: {name}\n"
