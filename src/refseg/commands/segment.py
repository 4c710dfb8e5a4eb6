"""`refseg segment`: masks of what expressions refer to in an image or a video."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refseg.checkpoints import bundled
from refseg.commands import options
from refseg.commands.options import Weights

if TYPE_CHECKING:
    from refseg.inference.results import Result
    from refseg.inference.segmenter import Segmenter
from refseg.commands.segment_files import Format, file_stems

_ENDINGS = {
    Format.MASK: "mask.png",
    Format.OVERLAY: "overlay.png",
    Format.RLE: "rle.json",
    Format.POLYGONS: "polygons.json",
    Format.JSON: "json",
}


def segment(
    image: Annotated[
        Path,
        typer.Argument(help="An image or a video: a file, an animation, or a folder of frames.", show_default=False),
    ],
    expressions: Annotated[
        list[str], typer.Argument(metavar="EXPRESSION...", help='What to find: "the red star".', show_default=False)
    ],
    weights: Weights = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("."),
    format: Annotated[
        list[Format], typer.Option("--format", help="What to write for each expression; may be given several times.")
    ] = [Format.MASK, Format.OVERLAY],  # noqa: B006
    threshold: Annotated[
        float | None,
        typer.Option(help="Probability of existence above which there is a mask, 0 to 1 [default: the weights' own]."),
    ] = None,
    crf: Annotated[
        bool, typer.Option("--crf", help="Draw masks to the image's edges (DenseCRF): pip install 'refseg[crf]'.")
    ] = False,
    every: Annotated[
        int, typer.Option(min=1, help="Of a video, answer each n-th frame; its overlay keeps the last mask.")
    ] = 1,
    network: options.Network = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Find what each EXPRESSION refers to in IMAGE, and write masks and overlays.

    Of a video there is a mask for each frame, and an overlay video; what was stopped goes on where it was. Results of
    another image or video are never replaced. The bundled weights know drawn scenes only, no photographs.
    """
    from refseg.commands.sources import check_replaceable, source_of, warn_of_replaced
    from refseg.files.atomic import all_or_nothing, check_writable
    from refseg.preprocessing.images import read_image
    from refseg.video.reading import is_video

    options.add_networks(network)
    check_writable(out)
    formats = list(_ENDINGS) if Format.ALL in format else list(dict.fromkeys(format))

    def segmenter() -> "Segmenter":
        from refseg.inference.crf import DenseCRF
        from refseg.inference.segmenter import load

        return load(chosen, device, DenseCRF() if crf else None)

    of_video = is_video(image)
    chosen = weights or bundled.default_weights(of_video)
    if of_video:
        from refseg.commands.segment_video import segment_video

        run = {"weights": chosen, "threshold": threshold, "crf": crf}
        return segment_video(image, expressions, formats, out, every, run, segmenter)
    stems, source = file_stems(image, expressions), source_of(image, out)
    names = [[f"{stem}.{_ENDINGS[kind]}" for kind in formats] for stem in stems]

    def check(new: Path | None = None) -> list[Path]:
        replaced = []
        for stem, some in zip(stems, names, strict=True):
            files = [out / f"{stem}.{ending}" for ending in _ENDINGS.values()]
            replaced += check_replaceable(files, [out / name for name in some], source, new)
        return replaced

    warn_of_replaced(check())
    pixels = read_image(image)  # before the seconds that torch takes to import
    results = segmenter().ask(pixels, expressions, threshold)
    del pixels  # of which the segmenter has its own
    report, warnings = [], {}
    with all_or_nothing(out) as folder:
        for result, some in zip(results, names, strict=True):
            result.source = source
            for kind, name in zip(formats, some, strict=True):
                write(result, kind, folder / name)
            report.append((describe(result), [str(out / name) for name in some]))
            warnings.update(dict.fromkeys(result.warnings))
        check(folder)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    for text, files in report:
        typer.echo(text)
        for file in files:
            typer.echo(f"  {file}")


def write(result: "Result", kind: Format, path: Path) -> None:
    """Writes one form of a result; a mask is a PNG of 0 and 255."""
    if kind in (Format.MASK, Format.OVERLAY):
        from PIL import Image

        from refseg.commands.sources import png_text

        mask = kind is Format.MASK
        image = Image.fromarray(result.mask.astype("uint8") * 255) if mask else result.overlay()
        image.save(path, pnginfo=png_text(result.source))
    else:
        content = {Format.RLE: result.rle, Format.POLYGONS: result.polygons, Format.JSON: result.to_dict}[kind]()
        path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def describe(result: "Result") -> str:
    """The answer for people: one line with the expression, one with what was found."""
    title = typer.style(result.expression, bold=True)
    exists = f"exists {result.exists:.1%}"
    if not result.found:
        return f"{title}\n  {typer.style('nothing matches', fg='yellow')}, {exists}"
    count = len(result.boxes)
    objects = "1 object" if count == 1 else f"{count} objects"
    boxes = "  ".join(" ".join(map(str, box)) for box in result.boxes)
    found = typer.style(objects, fg="green")
    word = "box" if count == 1 else "boxes"
    return f"{title}\n  {found}, {exists}, area {result.area} px ({result.share:.1%}), {word} {boxes}"
