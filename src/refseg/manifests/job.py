"""A job: what a worker needs to answer pieces, in plain values that can be sent to another machine."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg import __version__
from refseg.errors import InvalidInput, RefsegError
from refseg.hardware import choose_device
from refseg.manifests.answer import FileKind, SegmenterAnswer, about_answers
from refseg.manifests.manifest import LOOKED_AT, Manifest
from refseg.manifests.open_manifest import open_manifest
from refseg.manifests.places import is_url
from refseg.manifests.plan import Plan, make_plan
from refseg.manifests.run_pieces import PieceRunner
from refseg.manifests.share import Share
from refseg.manifests.store import Store, open_store

if TYPE_CHECKING:
    from refseg.inference.segmenter import Segmenter

_DTYPES = {"f32": "float32", "bf16": "bfloat16"}  # as a checkpoint names its precision


@dataclass(frozen=True)
class Job:
    """Settings of a run over a manifest; attributes as the arguments of `segment_manifest`."""

    manifest: str
    out: str
    expressions: tuple[str, ...] = ()
    weights: str | None = None
    images: str | None = None
    threshold: float | None = None
    crf: bool = False
    precision: str = "f32"
    device: str = "auto"
    files: tuple[FileKind, ...] = ()
    parquet: bool = False
    piece_size: int = 1000

    def open(self) -> tuple[Store, Manifest]:
        """Opens the folder of answers and the manifest; nothing is written."""
        store = open_store(self.out)
        return store, open_manifest(self.manifest, self.expressions, self.images, store)

    def settings(self) -> dict[str, Any]:
        """Returns what all answers have in common, as far as it is known before weights are loaded."""
        named = {"weights": self.weights, "threshold": self.threshold, "precision": _DTYPES.get(self.precision)}
        return {
            "expressions": list(self.expressions),
            "images": self.images,
            "files": list(self.files),
            "parquet": self.parquet,
            "crf": self.crf,
            "version": __version__,
            **{name: value for name, value in named.items() if value is not None},
        }

    def sendable(self, weights: str) -> "Job":
        """Returns the same job with the weights chosen, and with paths that processes in other folders understand."""
        places = {"manifest": self.manifest, "out": self.out, "images": self.images, "weights": weights}
        absolute: dict[str, Any] = {
            name: str(Path(place).absolute())
            for name, place in places.items()
            if place is not None and not is_url(place) and (name != "weights" or Path(place).exists())
        }
        return replace(self, **{"weights": weights, **absolute})

    def load(self, manifest: Manifest, share: Share, before: str | None) -> "tuple[str, Segmenter, str]":
        """Loads what answers.

        Args:
            manifest: looked at where no weights are named.
            share: of this worker, which says which GPU is its own.
            before: weights of the answers that are there.

        Returns:
            the name of the weights, the segmenter, and a line for the user, "" without need.
        """
        from refseg.inference.crf import DenseCRF
        from refseg.inference.default_weights import load_default
        from refseg.inference.segmenter import load

        device, crf = _own_device(self.device, share), DenseCRF() if self.crf else None
        if self.weights:
            return self.weights, load(self.weights, device, crf, precision=self.precision), ""
        return load_default(_first_images(manifest), device, crf, before, self.precision)

    def runner(
        self, store: Store, manifest: Manifest, loaded: "tuple[str, Segmenter]", plan: Plan | None = None
    ) -> PieceRunner:
        """Returns what answers pieces; the plan is written unless there is one.

        Raises:
            InvalidInput: if the folder holds answers to another manifest, or with other settings.
        """
        weights, segmenter = loaded
        segmenter.check(list(self.expressions), self.threshold)
        about = about_answers(segmenter, weights, self.threshold, self.crf)
        if plan is None:
            settings = {**self.settings(), **about, "precision": segmenter.checkpoint.precision}
            plan = make_plan(manifest, store, self.piece_size, settings)
        elif about["sha256"] != plan.settings.get("sha256"):
            raise InvalidInput(f"{weights} on this machine are other weights than those that the run began with")
        about["weights"] = plan.settings["weights"]  # as the first worker named them
        answer = SegmenterAnswer(segmenter, manifest.root, self.threshold, about, self.files)
        return PieceRunner(plan, manifest, store, answer)


def _own_device(device: str, share: Share) -> str:
    """Returns the device of a worker: its own GPU, where several workers of a machine see all of them."""
    device = choose_device(device)
    if device != "cuda" or share.world == 1:
        return device
    import torch

    return f"cuda:{share.local_rank % max(torch.cuda.device_count(), 1)}"


def _first_images(manifest: Manifest) -> Iterator[str | Path | bytes]:
    """Yields the first images of a manifest."""
    for row in islice(manifest.first_rows(), LOOKED_AT):
        if row.content is not None:
            yield row.content
        elif row.image is not None:
            try:
                yield manifest.root.image(row.image)
            except RefsegError:  # told when it is to be answered
                continue
