"""The arguments of `refseg segment` and `refseg gallery`: which of them are images, and which are expressions.

Leading words that are paths are images, the others expressions; with --images all words are expressions. What could be
either is an error that says how to write it.
"""

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, RefsegError
from refseg.inference.questions import IMAGE_ENDINGS, QuestionTable, find_images, is_glob
from refseg.video.formats import is_video_file

STDIN = "-"


@dataclass(frozen=True)
class Inputs:
    """Images and expressions.

    Attributes:
        one: the only image or video, named by its path; None if there may be several.
        is_video: Whether it is a video.
        images: what `inference.questions.questions` takes.
        expressions: what to find; None if a table says it.
        note: for the user, what a folder was taken for.
    """

    one: Path | None = None
    is_video: bool = False
    images: Any = None
    expressions: list[str] | None = None
    note: str = ""

    @property
    def is_stream(self) -> bool:
        """Whether the images can be read once only."""
        return isinstance(self.images, Iterator)


def read_inputs(
    words: list[str], images: list[str], table: Path | None, frames: bool | None, command: str = "refseg segment"
) -> Inputs:
    """Returns what the arguments stand for.

    Args:
        words: IMAGE... EXPRESSION...
        images: those of --images.
        table: that of --table.
        frames: whether a folder is a video; None if its files say so.
        command: as messages name it.

    Raises:
        MissingFile, InvalidInput: if something is missing or ambiguous.
    """
    if table:
        if words:
            raise InvalidInput(f"--table has its own images and expressions; leave out {shlex.join(words)}")
        if len(images) > 1:
            raise InvalidInput("--table takes one --images: the folder that its paths start from")
        return Inputs(images=QuestionTable(table, Path(images[0]) if images else None))
    if not words and not images:
        raise InvalidInput(
            "Missing argument IMAGE: give an image and what to find in it, for example "
            f"{command} photo.jpg 'the red cup'"
        )
    named = bool(images)
    images, expressions = (images, words) if named else _split(words)
    _check_expressions(images, expressions, named, command)
    if not expressions:
        raise InvalidInput(
            f"Missing argument EXPRESSION: say what to find in {_listed(images)}, for example {command} "
            f"{_listed(images)} 'the red cup'; a word that is also the name of a file needs -i before each image"
        )
    return _inputs(images, expressions, frames, command)


def _inputs(images: list[str], expressions: list[str], frames: bool | None, command: str) -> Inputs:
    from refseg.video.reading import is_video

    if len(images) == 1 and images[0] != STDIN and not is_glob(images[0]):
        path = Path(images[0])
        if not os.path.isdir(path):
            return Inputs(path, frames or is_video(path), path, expressions)
        from refseg.video.recognise import is_folder_of_frames

        recognised = frames is None and is_folder_of_frames(path)
        if frames or recognised:
            note = f"{path} is taken for a video: its images have one size and numbers for names; --photographs takes "
            return Inputs(path, True, path, expressions, note=f"{note}them one by one" if recognised else "")
        count = sum(1 for _ in find_images(path))
        note = f"{path} is taken for {counted(count, 'photograph')}; --frames takes it for a video"
        return Inputs(images=path, expressions=expressions, note=note if frames is None else "")
    if frames:
        raise InvalidInput(f"--frames is of one folder; {_listed(images)} are several images: leave it out")
    if STDIN in images:
        if len(images) > 1:
            raise InvalidInput(f"{STDIN} (paths on stdin) stands alone; leave out the other images")
        return Inputs(images=_from_stdin(), expressions=expressions)
    for image in images:
        if not os.path.lexists(image) and not is_glob(image):
            raise MissingFile(f"{image} is missing; check the path of the image")
        if _is_video_file(image):
            raise InvalidInput(_video_alone(image, command))
    return Inputs(images=images, expressions=expressions)


def _from_stdin() -> Iterator[Path]:
    if sys.stdin.isatty():
        print("paths of images, one a line; Ctrl-D ends them", file=sys.stderr)
    for line in getattr(sys.stdin, "buffer", sys.stdin):
        path = Path(os.fsdecode(line).rstrip("\r\n"))
        if path == Path():
            continue
        try:
            yield from find_images(path)
        except RefsegError:  # of a folder; `read_image` tells of the path
            yield path


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    images = words[:1]
    for word in words[1:]:
        if not _is_image(word):
            break
        images.append(word)
    return images, words[len(images) :]


def _is_image(word: str) -> bool:
    if word == STDIN or _is_path(word):
        return True
    return is_glob(word) and not _has_space(word) and _matches(word)


def _is_path(word: str) -> bool:
    """Whether a word names a file or glob by a folder or an ending; a missing file is told when it is looked for."""
    if word.startswith(("/", "./", "../", "~/")) or word.endswith(("/", os.sep)):
        return True
    ending = word.lower().endswith(IMAGE_ENDINGS)
    if os.path.lexists(word):
        return ending or _has_separator(word)
    return ending and not _has_space(word) or _has_separator(word) and is_glob(word) and _matches(word)


def _matches(pattern: str) -> bool:
    try:
        return next(find_images(pattern), None) is not None
    except RefsegError:
        return False


def _is_video_file(word: str) -> bool:
    """Whether a path is that of a video file; what ends as an image does is not looked at."""
    return not word.lower().endswith(IMAGE_ENDINGS) and os.path.isfile(word) and is_video_file(Path(word))


def _video_alone(video: str, command: str) -> str:
    """Returns the error about a video among other images."""
    return f"{video} is a video, which is answered alone: {command} {shlex.quote(video)} 'the red cup'"


def _has_separator(word: str) -> bool:
    return "/" in word or os.sep in word


def _has_space(word: str) -> bool:
    return any(letter.isspace() for letter in word)


def _check_expressions(images: list[str], expressions: list[str], named: bool, command: str) -> None:
    """Checks that no expression is the path of a file.

    Args:
        images: the images.
        expressions: the expressions.
        named: Whether the images were given by --images, where a word without folder and ending is an expression.
        command: as messages name it.

    Raises:
        InvalidInput: if one is.
    """
    for word in expressions:
        is_path = _is_path(word)
        if not is_path and (named or not os.path.lexists(word)):
            continue
        if not os.path.lexists(word) and not is_glob(word):
            raise MissingFile(f"{word} stands among the expressions, is written as a path, and is missing; check it")
        if not named and _is_video_file(word):
            raise InvalidInput(_video_alone(word, command))
        kind = "folder" if os.path.isdir(word) else "file"
        asked = shlex.quote(next((one for one in expressions if not os.path.lexists(one)), "the red cup"))
        together = [*images, word if is_path else f".{os.sep}{word}"]
        if named:
            ways_out = f"--images takes one path, repeat it: {command} {_options(together)} {asked}"
        else:
            ways_out = f"images come first: {command} {_listed(together)} {asked}"
            if not is_path:
                ways_out += f"; to look for it, name the images by -i: {command} {_options(images)} {word}"
        raise InvalidInput(f"{word} stands among the expressions and is a {kind} here; {ways_out}")


def _options(images: list[str]) -> str:
    return " ".join(f"-i {shlex.quote(image)}" for image in images[:3]) + (" ..." if len(images) > 3 else "")


def _listed(images: list[str]) -> str:
    return " ".join(map(shlex.quote, images[:3])) + (" ..." if len(images) > 3 else "")
