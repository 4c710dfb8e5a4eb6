"""`refseg demo`: draws a scene, asks for one object, for several and for something that is not there; one picture.

And draws a clip, asks for an object in it, and writes the answers as a short video.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refseg.checkpoints import bundled

if TYPE_CHECKING:
    from PIL.Image import Image

    from refseg.datasets.drawn_clips.dataset import DrawnClip
    from refseg.datasets.drawn_scenes.dataset import Scene
    from refseg.inference.results import Result
    from refseg.inference.segmenter import Segmenter

PANEL, MARGIN, LINE = 320, 16, 26  # pixels


def demo(
    out: Annotated[Path, typer.Option(help="The picture to write (.png).")] = Path("refseg_demo.png"),
    weights: Annotated[
        str, typer.Option(help="A bundled name, a checkpoint folder, or a hub id.")
    ] = bundled.FOR_IMAGES,
    video_weights: Annotated[str, typer.Option(help="The same, for the clip.")] = bundled.FOR_VIDEOS,
    scene: Annotated[int, typer.Option(min=0, max=1999, help="Number of the first test scene to look at.")] = 0,
) -> None:
    """Segment a drawn scene by three expressions: for one object, for several, and for nothing.

    Beside the picture, a short video shows an object that was found in a drawn clip (needs refseg[video]).
    """
    from importlib.util import find_spec

    from refseg.errors import InvalidInput
    from refseg.files.atomic import all_or_nothing, check_file_writable

    if out.suffix.lower() != ".png":
        raise InvalidInput(f"{out} does not end in .png; give the picture's name, for example --out demo.png")
    check_file_writable(out)

    from refseg.commands.segment import describe
    from refseg.inference.segmenter import load

    segmenter = load(weights)
    shown, expressions = choose_scene(scene)
    results = segmenter(shown.image, expressions)
    video = out.with_suffix(".mp4")
    with all_or_nothing(out.parent) as folder:
        picture(results).save(folder / out.name)
        if has_video := find_spec("av") is not None:
            write_video(segmenter if video_weights == weights else load(video_weights), scene, folder / video.name)
    for result in results:
        typer.echo(describe(result))
    typer.echo(out)
    typer.echo(video if has_video else "no video, which needs PyAV; install it with: pip install 'refseg[video]'")


def choose_scene(first: int) -> tuple["Scene", list[str]]:
    """The first test scene from this number on that has an expression for one object, for several, and for none."""
    from refseg.datasets.drawn_scenes.dataset import SPLITS, DrawnScenes

    scenes = DrawnScenes("test")
    for i in range(SPLITS["test"]):
        scene = scenes[(first + i) % SPLITS["test"]]
        one = [e.text for e in scene.expressions if len(e.targets) == 1 and e.type == "relation"]
        many = [e.text for e in scene.expressions if len(e.targets) > 1]
        none = [e.text for e in scene.expressions if not e.targets]
        if one and many and none:
            return scene, [one[0], many[0], none[0]]
    raise AssertionError("no test scene has expressions for one object, for several and for none")


def write_video(segmenter: "Segmenter", first: int, path: Path) -> None:
    """The answers to an expression about the first test clip from this number on that has one for these weights."""
    import numpy as np

    from refseg.video.reading import read_frames
    from refseg.video.writer import video_writer

    clip, expression = choose_clip(first, acts=segmenter.network.frames > 1)
    frames = read_frames(clip)
    pictures = [np.asarray(picture([result], "the clip")) for result in segmenter.video(frames, expression)]
    height, width, _ = pictures[0].shape
    with video_writer(path, (height, width), frames.time_base) as write:
        for t, shown in enumerate(pictures):
            write(t * frames.time_base, shown)


def choose_clip(first: int, acts: bool) -> tuple["DrawnClip", str]:
    """The first test clip from this number on with an object that does something, and an expression for it.

    Args:
        first: number of a clip.
        acts: say what it does? Otherwise how it looks, if nothing else looks so.
    """
    from refseg.datasets.drawn_clips.dataset import KINDS, SPLITS, DrawnClips
    from refseg.datasets.drawn_clips.motions import DIRECTIONS, STILL
    from refseg.datasets.drawn_scenes.objects import COLOUR, COLOURS, SHAPE, SHAPES

    clips = DrawnClips("test")
    for i in range(SPLITS["test"]):
        clip = clips[(first + i) % SPLITS["test"]]
        looks = [(values[COLOUR], values[SHAPE]) for values in clip.attributes.tolist()]
        goes = [look for look, motion in zip(looks, clip.motions.tolist(), strict=True) if motion in DIRECTIONS]
        alone = [
            f"the {COLOURS[colour]} {SHAPES[shape]}" for colour, shape in goes if looks.count((colour, shape)) == 1
        ]
        said = [e.text for e in clip.expressions if len(e.targets) == 1 and e.kind != KINDS[STILL]]
        if found := said if acts else alone:
            return clip, found[0]
    raise AssertionError("no test clip has an object that moves")


def picture(results: Sequence["Result"], shown: str = "the scene") -> "Image":
    """What is shown and each result's overlay side by side, with the expressions below."""
    from PIL import Image, ImageDraw, ImageFont

    font, small = ImageFont.load_default(20), ImageFont.load_default(17)
    captions = [(_wrap(shown, font.getlength), "")]
    captions += [(_wrap(f"“{result.expression}”", font.getlength), _verdict(result)) for result in results]
    panels = [Image.fromarray(results[0].image), *(result.overlay() for result in results)]
    step, lines = PANEL + MARGIN, max(len(title) for title, _ in captions) + 1
    sheet = Image.new("RGB", (step * len(panels) + MARGIN, PANEL + 3 * MARGIN + LINE * lines), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (panel, (title, verdict)) in enumerate(zip(panels, captions, strict=True)):
        x, y = MARGIN + i * step, PANEL + 2 * MARGIN - 4
        sheet.paste(panel.resize((PANEL, PANEL), Image.Resampling.LANCZOS), (x, MARGIN))
        for number, line in enumerate(title):
            draw.text((x, y + number * LINE), line, fill="black", font=font)
        draw.text((x, y + len(title) * LINE), verdict, fill=(110, 110, 110), font=small)
    return sheet


def _verdict(result: "Result") -> str:
    if not result.found:
        return f"nothing matches, exists {result.exists:.1%}"
    count = len(result.boxes)
    return f"{count} object{'s' if count > 1 else ''}, exists {result.exists:.1%}"


def _wrap(text: str, length: Callable[[str], float]) -> list[str]:
    """Lines no longer than a panel, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and length(longer) > PANEL:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
