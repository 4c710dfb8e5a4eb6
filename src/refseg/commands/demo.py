"""`refseg demo`: draws a scene, asks for one object, for several and for something that is not there; one picture."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from PIL.Image import Image

    from refseg.datasets.drawn_scenes import Scene
    from refseg.results import Result

PANEL, MARGIN, LINE = 320, 16, 26  # pixels


def demo(
    out: Annotated[Path, typer.Option(help="The picture to write (.png).")] = Path("refseg_demo.png"),
    weights: Annotated[str, typer.Option(help="A bundled name, a checkpoint folder, or a hub id.")] = "selector",
    scene: Annotated[int, typer.Option(min=0, max=1999, help="Number of the first test scene to look at.")] = 0,
) -> None:
    """Segment a drawn scene by three expressions: for one object, for several, and for nothing."""
    from refseg.errors import InvalidInput
    from refseg.outputs import all_or_nothing, check_writable

    if out.suffix.lower() != ".png":
        raise InvalidInput(f"{out} does not end in .png; give the picture's name, for example --out demo.png")
    check_writable(out.parent)

    from refseg.commands.segment import describe
    from refseg.segmenter import load

    segmenter = load(weights)
    shown, expressions = choose_scene(scene)
    results = segmenter(shown.image, expressions)
    with all_or_nothing(out.parent) as folder:
        picture(results).save(folder / out.name)
    for result in results:
        typer.echo(describe(result))
    typer.echo(out)


def choose_scene(first: int) -> tuple["Scene", list[str]]:
    """The first test scene from this number on that has an expression for one object, for several, and for none."""
    from refseg.datasets.drawn_scenes import SPLITS, DrawnScenes

    scenes = DrawnScenes("test")
    for i in range(SPLITS["test"]):
        scene = scenes[(first + i) % SPLITS["test"]]
        one = [e.text for e in scene.expressions if len(e.targets) == 1 and e.type == "relation"]
        many = [e.text for e in scene.expressions if len(e.targets) > 1]
        none = [e.text for e in scene.expressions if not e.targets]
        if one and many and none:
            return scene, [one[0], many[0], none[0]]
    raise AssertionError("no test scene has expressions for one object, for several and for none")


def picture(results: list["Result"]) -> "Image":
    """The scene and each result's overlay side by side, with the expressions below."""
    from PIL import Image, ImageDraw, ImageFont

    font, small = ImageFont.load_default(20), ImageFont.load_default(17)
    captions = [(_wrap("the scene", font.getlength), "")]
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
