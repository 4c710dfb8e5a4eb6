"""`refseg demo`: draws a scene, asks for one object, for several and for something that is not there; one picture.

And draws a clip, asks for an object in it, and writes both the clip and the answers as short videos.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refseg.checkpoints import bundled
from refseg.commands import options

if TYPE_CHECKING:
    from PIL.Image import Image

    from refseg.datasets.drawn_clips.dataset import DrawnClip
    from refseg.datasets.drawn_scenes.dataset import Scene
    from refseg.inference.results import Result
    from refseg.inference.segmenter import Segmenter
    from refseg.inference.verdicts import FramesVerdict
    from refseg.masks.overlay import Colour

PANEL, MARGIN, LINE = 384, 16, 26  # pixels
VERDICT_LINES = 2
MARK = "refseg demo"  # of its picture and its video


def demo(
    out: Annotated[Path, typer.Option(help="The picture to write (.png).")] = Path("refseg_demo.png"),
    weights: Annotated[
        str, typer.Option(help="A bundled name, a checkpoint folder, or a hub id.")
    ] = bundled.FOR_IMAGES,
    video_weights: Annotated[str, typer.Option(help="The same, for the clip.")] = bundled.FOR_VIDEOS,
    scene: Annotated[int, typer.Option(min=0, max=1999, help="Number of the first test scene to look at.")] = 0,
    device: options.Device = "auto",
) -> None:
    """Segment a drawn scene by three expressions: for one object, for several, and for nothing.

    Beside the picture lie the scene itself, to ask more about, and (with refseg[video]) a drawn clip and a video that
    shows an object which was found in it.
    """
    from importlib.util import find_spec
    from shlex import join

    from refseg.errors import InvalidInput
    from refseg.files.atomic import all_or_nothing, check_file_writable
    from refseg.files.earlier import check_earlier, named, png_mark
    from refseg.hardware import check_device_name

    if out.suffix.lower() != ".png":
        raise InvalidInput(f"{out} does not end in .png; give the picture's name, for example --out demo.png")
    check_device_name(device)
    check_file_writable(out)
    alone, video, clip = (out.with_name(out.stem + ending) for ending in ("_scene.png", ".mp4", "_clip.mp4"))
    has_video = find_spec("av") is not None
    replaced = check_earlier({out: MARK, alone: MARK} | ({video: MARK, clip: MARK} if has_video else {}))

    from PIL import Image

    from refseg.commands.segment import describe
    from refseg.inference.segmenter import load

    segmenter = load(weights, device)
    shown, expressions = choose_scene(scene)
    results = segmenter(shown.image, expressions)
    with all_or_nothing(out.parent) as folder:
        picture(results).save(folder / out.name, pnginfo=png_mark(MARK))
        Image.fromarray(shown.image).save(folder / alone.name, pnginfo=png_mark(MARK))
        if has_video:
            others = segmenter if video_weights == weights else load(video_weights, device)
            asked, found = write_video(others, scene, folder / video.name, folder / clip.name)
    for result in results:
        typer.echo(describe(result))
    typer.echo(named(out, replaced))
    typer.echo(named(alone, replaced))
    typer.echo(f"ask more: {join(['refseg', 'segment', str(alone), expressions[1]])}")
    if not has_video:
        typer.echo("no video, which needs PyAV; install it with: pip install 'refseg[video]'")
        return
    typer.echo(f"{typer.style(asked, bold=True)}\n  {found}")
    typer.echo(named(video, replaced))
    typer.echo(named(clip, replaced))
    typer.echo(f"ask more: {join(['refseg', 'segment', str(clip), asked])}")


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


def write_video(segmenter: "Segmenter", first: int, path: Path, clip_path: Path) -> tuple[str, "FramesVerdict"]:
    """Writes a clip, and the answers to an expression about it; returns the expression, and what was found.

    Args:
        segmenter: what answers.
        first: number of the clip from which one is chosen.
        path: of the video with the answers.
        clip_path: of the clip.
    """
    import numpy as np

    from refseg.inference.verdicts import FramesVerdict
    from refseg.video.reading import read_frames
    from refseg.video.writer import video_writer

    clip, expression = choose_clip(first, acts=segmenter.network.frames > 1)
    frames = read_frames(clip)
    results = list(segmenter.video(frames, expression))
    colours = next((result.colours() for result in results if result.found), [])  # the same in all frames
    pictures = [np.asarray(picture([result], "the clip", colours)) for result in results]
    found = FramesVerdict()
    for result in results:
        found.add(result.found, result.exists, result.exists_threshold, familiar=result.familiar)
    for file, shown in ((path, pictures), (clip_path, [result.image for result in results])):
        height, width, _ = shown[0].shape
        with video_writer(file, (height, width), frames.time_base, MARK) as write:
            for t, pixels in enumerate(shown):
                write(t * frames.time_base, pixels)
    return expression, found


def choose_clip(first: int, acts: bool) -> tuple["DrawnClip", str]:
    """The first test clip from this number on with an object that moves, and an expression for it.

    Args:
        first: number of a clip.
        acts: Whether the expression says what the object does; otherwise how it looks, if nothing else looks so.
    """
    from refseg.datasets.drawn_clips.dataset import KINDS, SHOWN_FRAMES, SPLITS, DrawnClips
    from refseg.datasets.drawn_clips.motions import DIRECTIONS, STILL
    from refseg.datasets.drawn_scenes.objects import COLOUR, COLOURS, SHAPE, SHAPES

    clips = DrawnClips("test", frames=SHOWN_FRAMES)
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


def picture(results: Sequence["Result"], shown: str = "the scene", colours: Sequence["Colour"] = ()) -> "Image":
    """Returns the shown image and each result's overlay side by side, expressions and verdicts below."""
    from PIL import Image, ImageDraw

    from refseg.masks.fonts import font_for
    from refseg.masks.pictures import enlarged, whole_factor, wrapped

    font, small = font_for("".join(one.expression for one in results) + "“”", 20), font_for("", 17)
    titles = [wrapped(text, font.getlength, PANEL) for text in (shown, *(f"“{one.expression}”" for one in results))]
    verdicts = [[], *(wrapped(result.caption, small.getlength, PANEL, VERDICT_LINES) for result in results)]
    scene = results[0].image
    panels = [
        Image.fromarray(enlarged(scene, whole_factor((scene.shape[0], scene.shape[1]), PANEL))),
        *(result.overlay(colours, PANEL) for result in results),
    ]
    step, lines = PANEL + MARGIN, max(map(len, titles)) + VERDICT_LINES
    sheet = Image.new("RGB", (step * len(panels) + MARGIN, PANEL + 3 * MARGIN + LINE * lines), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (panel, title, verdict) in enumerate(zip(panels, titles, verdicts, strict=True)):
        x, y = MARGIN + i * step, PANEL + 2 * MARGIN - 4
        sheet.paste(panel, (x, MARGIN))
        for number, line in enumerate(title):
            draw.text((x, y + number * LINE), line, fill="black", font=font)
        for number, line in enumerate(verdict, start=len(title)):
            draw.text((x, y + number * LINE), line, fill=(110, 110, 110), font=small)
    return sheet
