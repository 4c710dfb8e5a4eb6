"""`refseg segment`: masks of what expressions refer to in images or a video."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refseg.checkpoints import bundled
from refseg.commands import options
from refseg.commands.options import Weights
from refseg.commands.segment_files import ALL_ENDINGS, ENDINGS, Format, ending_of, file_stems, list_warnings, write

if TYPE_CHECKING:
    from refseg.inference.exported_segmenter import ExportedSegmenter
    from refseg.inference.results import Result
    from refseg.inference.segmenter import Segmenter

MANY = Path("answers")  # folder of the results of many images


def segment(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE... EXPRESSION...",
            help="Images and what to find in them: desk.jpg 'the red cup'. An image is a file, a folder of "
            "photographs, a glob, or - for paths on stdin; a video is a file, an animation, or a folder of frames.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images",
            "-i",
            help="An image, folder or glob; repeatable. All words are then expressions.",
            metavar="IMAGE",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="A .csv or .jsonl with image and expression; its paths start from its folder, or --images."),
    ] = None,
    weights: Weights = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the files.", show_default=f". of one image or video, {MANY} of many images"),
    ] = None,
    format: Annotated[
        list[Format] | None,
        typer.Option(
            "--format",
            help="What to write for each expression; may be given several times.",
            show_default="mask, overlay",
        ),
    ] = None,
    coco: Annotated[
        Path | None, typer.Option(help="Of images, write a COCO results file, too.", metavar="FILE")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Of images, print a line of JSON an answer; files are then written with --out or --format alone. Of a "
            "video, --format json writes a line a frame.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    threshold: Annotated[
        float | None,
        typer.Option(help="Probability of existence above which there is a mask, 0 to 1 [default: the weights' own]."),
    ] = None,
    crf: Annotated[
        bool, typer.Option("--crf", help="Draw masks to the image's edges (DenseCRF): pip install 'refseg[crf]'.")
    ] = False,
    frames: Annotated[
        bool | None,
        typer.Option(
            "--frames/--photographs",
            help="Whether a folder is a video or photographs.",
            show_default="a video if its images have numbers for names and one size",
        ),
    ] = None,
    every: Annotated[
        int, typer.Option(min=1, help="Of a video, answer each n-th frame; its overlay keeps the last mask.")
    ] = 1,
    network: options.Network = None,
    settings: options.WeightsSettings = None,
    device: options.Device = "auto",
    precision: options.Precision = "f32",
    torch: Annotated[
        bool,
        typer.Option(
            "--torch", help="Answer one image with torch even where ONNX Runtime is installed (refseg[fast])."
        ),
    ] = False,
    manifest: Annotated[
        str | None,
        typer.Option(
            metavar="MANIFEST",
            help="Many images for many workers: a .jsonl, .csv or .parquet with image and expressions, tar files "
            "('shards/{000..099}.tar'), a folder, a glob, or a URL (s3://...). Answers are one line an image, in part "
            "files. For what one process can answer, --table writes one file.",
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Of a manifest, answer the I-th of N parts, such as 2/8.",
            show_default="what torchrun or Slurm say, else all",
        ),
    ] = None,
    piece_size: Annotated[
        int | None,
        typer.Option(min=1, help="Rows of a manifest in a part file; a tar file is always one.", show_default="1000"),
    ] = None,
    parquet: Annotated[
        bool,
        typer.Option("--parquet", help="Write part files of a manifest as Parquet: pip install 'refseg[parquet]'."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask pieces of a manifest again in which something failed.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Print how far the answers to a manifest in --out are, and stop.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Answer a manifest on a cluster of Ray: local (this machine), auto, or its address: "
            "pip install 'refseg[ray]'.",
        ),
    ] = None,
    actors: Annotated[
        str | None, typer.Option(metavar="N", help="Actors of Ray: 8, or 1:8 for one to eight.", show_default="1")
    ] = None,
    actor_gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs of an actor of Ray, such as 0.5.", show_default="0")
    ] = None,
) -> None:
    """Find what each EXPRESSION refers to in each IMAGE, and write masks and overlays.

    Of many images there is also a line of answers.jsonl for each image and expression. Of a video there is a mask for
    each frame, and an overlay video. What was stopped goes on where it was. Results of another image or video are never
    replaced. The bundled weights know drawn scenes; photographs go to `reader`, once `refseg weights get coco80` has
    fetched its finder.
    """
    from refseg.checkpoints.config_file import check_weights
    from refseg.commands.segment_inputs import read_inputs
    from refseg.errors import InvalidInput
    from refseg.files.atomic import check_file_writable, check_writable
    from refseg.hardware import check_device_name, check_precision_name

    of_manifests = {
        **{"part": part, "piece-size": piece_size, "parquet": parquet, "retry-failed": retry_failed},
        **{"ray": ray, "actors": actors, "actor-gpus": actor_gpus},
    }
    options.add_networks(network)
    check_device_name(device)
    check_precision_name(precision)
    if manifest is not None or status or any(of_manifests.values()):
        from refseg.commands.segment_manifest import run_manifest

        others = {"table": table, "coco": coco, "frames": frames, "torch": torch, "every": every > 1}
        how = {"threshold": threshold, "crf": crf, "precision": precision, "device": device}
        weights = options.with_settings(weights, settings)
        return run_manifest(
            manifest, words or [], images or [], out, format, weights, how, of_manifests, others, status, as_json, quiet
        )
    inputs = read_inputs(words or [], images or [], table, frames)
    formats = _formats(format)
    weights = options.with_settings(weights, settings)
    chosen = weights or bundled.default_weights(inputs.is_video)
    run = {"weights": chosen, "threshold": threshold, "crf": crf, "precision": precision}

    def segmenter() -> "Segmenter":
        from refseg.inference.crf import DenseCRF
        from refseg.inference.segmenter import load

        return load(chosen, device, DenseCRF() if crf else None, precision=precision)

    def best(images: Iterable[Any], before: str | None = None) -> "tuple[str, Segmenter]":
        """Returns the segmenter of the weights, or of those that suit the images where none are named."""
        if weights:
            return chosen, segmenter()
        from refseg.inference.crf import DenseCRF
        from refseg.inference.default_weights import load_default

        name, loaded, note = load_default(images, device, DenseCRF() if crf else None, before, precision)
        if note and not quiet:
            typer.echo(note, err=True)
        return name, loaded

    def without_torch(images: Iterable[Any]) -> "tuple[str, Segmenter | ExportedSegmenter]":
        """Returns the same, where ONNX Runtime can answer without the seconds that torch takes to import."""
        if not torch and not crf:
            from refseg.inference.exported_segmenter import load_default, load_exported

            where = device, precision
            if exported := load_exported(chosen, *where) if weights else load_default(images, *where):
                return chosen, exported
        return best(images)

    if inputs.note and not quiet:
        typer.echo(inputs.note, err=True)
    if inputs.is_video and (coco or as_json):
        raise InvalidInput("--coco and --json are of images; of a video --format json writes a line a frame")
    if inputs.one is None or coco or as_json:
        from refseg.commands.segment_many import segment_many

        written = (out or MANY) if out or format or coco or not as_json else None
        check_writable(written or MANY)
        if coco:
            check_file_writable(coco)
        check_weights(chosen, precision)
        return segment_many(inputs, formats, written, coco, as_json, quiet, run, best, describe)
    out = out or Path(".")
    check_writable(out)
    check_weights(chosen, precision)
    expressions = inputs.expressions or []
    if inputs.is_video:
        from refseg.commands.segment_video import segment_video

        return segment_video(inputs.one, expressions, formats, out, every, run, segmenter, quiet)
    _segment_image(inputs.one, expressions, formats, out, threshold, without_torch, quiet)


def _formats(given: list[Format] | None) -> list[Format]:
    formats = [Format.MASK, Format.OVERLAY] if given is None else list(dict.fromkeys(given))
    return list(ENDINGS) if Format.ALL in formats else [kind for kind in formats if kind != Format.NONE]


def _segment_image(
    image: Path,
    expressions: list[str],
    formats: list[Format],
    out: Path,
    threshold: float | None,
    load: "Callable[[Iterable[Any]], tuple[str, Segmenter | ExportedSegmenter]]",
    quiet: bool,
) -> None:
    from refseg.commands.sources import check_replaceable, is_same, source_of, warn_of_replaced
    from refseg.files.atomic import all_or_nothing
    from refseg.preprocessing.images import read_image

    stems, source = file_stems(image, expressions), source_of(image, out)
    names = [[f"{stem}.{ending_of(kind, image)}" for kind in formats] for stem in stems]

    def check(new: Path | None = None) -> list[Path]:
        replaced = []
        for stem, some in zip(stems, names, strict=True):
            files = [out / f"{stem}.{ending}" for ending in ALL_ENDINGS]
            replaced += check_replaceable(files, [out / name for name in some], source, new)
        return replaced

    unsaid = check()
    warn_of_replaced(unsaid)
    pixels = read_image(image)  # before the seconds that torch takes to import
    _, segmenter = load([pixels])
    results = segmenter.ask(pixels, expressions, threshold)
    del pixels  # of which the segmenter has its own
    report, warned, replaced = [], [], []
    with all_or_nothing(out) as folder:
        for result, some in zip(results, names, strict=True):
            result.source = source
            for kind, name in zip(formats, some, strict=True):
                write(result, kind, folder / name)
                if (out / name).exists() and out / name not in unsaid and not is_same(out / name, folder / name):
                    replaced.append(str(out / name))
            empty = [" (empty)" if kind is Format.MASK and not result.found else "" for kind in formats]
            warned.append((result.expression, result.warnings))
            report.append((describe(result), [f"{out / name}{note}" for name, note in zip(some, empty, strict=True)]))
        check(folder)
    if quiet:
        return
    for warning in list_warnings(warned):
        typer.echo(f"warning: {warning}", err=True)
    if replaced:
        typer.echo(f"replaced, of an earlier run about this image: {', '.join(replaced)}", err=True)
    for text, files in report:
        typer.echo(text)
        for file in files:
            typer.echo(f"  {file}")


def describe(result: "Result") -> str:
    """The answer for people: one line with the expression, one with what was found."""
    title = typer.style(result.expression, bold=True)
    if not result.found:
        return f"{title}\n  {typer.style(result.verdict, fg='yellow')}"
    boxes = "  ".join(" ".join(map(str, box)) for box in result.boxes)
    verdict = typer.style(result.verdict, fg="green")
    word = "box" if len(result.boxes) == 1 else "boxes"
    return f"{title}\n  {verdict}, area {result.area} px ({result.share:.1%}), {word} {boxes}"
