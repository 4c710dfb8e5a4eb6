"""A picture of a run's curves."""

from pathlib import Path

from refseg.errors import MissingFile
from refseg.files.atomic import write_atomically
from refseg.optional import import_optional
from refseg.training.metrics_table import STEP, read_rows

PLOT = "curves.png"
PANELS = (("train/loss",), ("val/oIoU", "val/mIoU"), ("lr/",))


def plot_run(run: Path) -> Path:
    """Draws losses, validation metrics and learning rates of each stage of a run to RUN/curves.png; returns its path.

    Raises:
        MissingFile: if the run has no metrics.csv.
        InvalidInput: if one is damaged, or matplotlib is not installed.
        UnwritableOutput: if the picture cannot be written.
    """
    files = sorted((run / "logs").glob("*/metrics.csv"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise MissingFile(
            f"{run / 'logs'} has no metrics.csv of a stage; give the folder of a run, which `refseg train` fills "
            "unless csv is not among its loggers"
        )
    tables = {file.parent.name: read_rows(file) for file in files}
    figure_module = import_optional("matplotlib.figure", "curves are drawn with matplotlib", "plot")
    figure = figure_module.Figure(figsize=(5 * len(PANELS), 3.2 * len(tables)), layout="constrained")
    axes = figure.subplots(len(tables), len(PANELS), squeeze=False)
    for (stage, rows), row_of_axes in zip(tables.items(), axes, strict=True):
        names = list(dict.fromkeys(name for row in rows for name in row))
        for wanted, axis in zip(PANELS, row_of_axes, strict=True):
            for name in (name for name in names if name.startswith(wanted)):
                points = [(row[STEP], row[name]) for row in rows if name in row]
                axis.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 40 else None)
            if axis.lines:
                axis.legend(fontsize="small")
            axis.set(title=f"{stage}: {wanted[0].partition('/')[0]}", xlabel="step")
            axis.grid(alpha=0.3)
    with write_atomically(run / PLOT) as partial:
        figure.savefig(partial, dpi=120)
    return run / PLOT
