"""Writes graphs beside the weights of a checkpoint folder, so that ONNX Runtime answers where torch is slow to start.

The graphs hold no weights: they read them from the file beside them, and so take a fiftieth of its size.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from refseg.checkpoints.graphs_beside import GRAPHS_FILE, GraphsBeside
from refseg.checkpoints.io import familiarity_tensors, load_checkpoint, write_tensors, write_texts
from refseg.checkpoints.schema import WEIGHTS
from refseg.export.agreement import Agreement
from refseg.export.choices import check_choices
from refseg.export.export import compare_folder, digest_graphs, trace_graphs
from refseg.export.write_graph import write_onnx_beside
from refseg.files.atomic import all_or_nothing
from refseg.files.digest import sha256
from refseg.runtimes.entry import FAMILIARITY_FILE


def write_graphs_beside(folder: str | Path) -> Agreement:
    """Writes graphs for ONNX Runtime into a checkpoint folder, for `inference.exported_segmenter.load_exported`.

    Returns:
        how far they agree with the weights, of which they are refused as of `export`.

    Raises:
        MissingFile, InvalidInput: if there are no such weights, their network cannot be exported, or answers otherwise.
        UnwritableOutput: if the folder cannot be written.
    """
    folder = Path(folder)
    check_choices("onnx", "f32")
    checkpoint = load_checkpoint(folder)
    traces, entry, sizes = trace_graphs(checkpoint, "onnx", None, "f32")
    with TemporaryDirectory() as made:
        new = Path(made) / folder.name
        new.mkdir()
        shutil.copy(folder / WEIGHTS, new)
        for trace in traces:
            write_onnx_beside(trace, new, WEIGHTS)
        entry = entry.replace(sha256=digest_graphs(new, entry))
        if checkpoint.familiarity is not None:
            write_tensors(familiarity_tensors(checkpoint.familiarity), new / FAMILIARITY_FILE)
        write_texts(replace(checkpoint, runtime=entry), new)
        agreement = compare_folder(checkpoint, new, entry, sizes)
        beside = GraphsBeside(weights_sha256=sha256(new / WEIGHTS), runtime=entry)
        with all_or_nothing(folder) as files:
            for name in entry.files:
                shutil.copy(new / name, files)
            (files / GRAPHS_FILE).write_text(beside.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return agreement
