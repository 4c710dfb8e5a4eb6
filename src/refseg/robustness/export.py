"""The questions of a robustness test as files, for programs that refseg does not know.

images/NUMBER.png, images/NUMBER-KIND-SEVERITY.png     the pictures, as they are and changed
questions.jsonl                                        an expression a line, as data set `jsonl` reads it
robustness.json                                        what was changed in which data set, by protocol
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from refseg.counting import counted
from refseg.errors import UnwritableOutput, another_out
from refseg.files.atomic import all_or_nothing, check_absent, check_writable
from refseg.files.lock import only_writer
from refseg.masks.rle import encode_rle
from refseg.progress import Progress, no_progress
from refseg.robustness.asked import ORIGINAL, AskedPicture, Plan, ask_about

QUESTIONS, ABOUT = "questions.jsonl", "robustness.json"


def export_questions(
    dataset: Sequence[Any],
    plan: Plan,
    folder: Path,
    about: Mapping[str, Any],
    split: str,
    progress: Progress = no_progress,
) -> dict[str, int]:
    """Writes all questions whose answer is known into a folder, all of it or nothing.

    Args:
        dataset: the samples.
        plan: what is changed.
        folder: new or empty.
        about: facts about data set and plan.
        split: name of the split for the lines.
        progress: shows progress.

    Returns:
        The numbers of pictures, of questions, and of those that are left out because their answer is not known.

    Raises:
        UnwritableOutput: if the folder cannot be written, or is not empty.
    """
    check_writable(folder)
    check_absent(folder, f"choose {another_out()}")
    counts = {"pictures": 0, "questions": 0, "unknown": 0}
    with only_writer(folder), all_or_nothing(folder) as unfinished, progress(len(dataset)) as advance:
        (unfinished / "images").mkdir()
        with (unfinished / QUESTIONS).open("w", encoding="utf-8") as file:
            for number in range(len(dataset)):
                for asked in ask_about(number, dataset[number], plan):
                    lines = _lines(asked, _picture_name(asked), split)
                    counts["unknown"] += len(asked.questions) - len(lines)
                    if lines:
                        Image.fromarray(asked.image).save(unfinished / _picture_name(asked))
                        counts["pictures"] += 1
                        counts["questions"] += len(lines)
                        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                advance(1)
        if not counts["questions"]:
            raise UnwritableOutput(f"{counted(0, 'question')} to write: the data set has no expressions")
        text = json.dumps({**about, **counts}, indent=1, ensure_ascii=False)
        (unfinished / ABOUT).write_text(text + "\n", encoding="utf-8")
    return counts


def _picture_name(asked: AskedPicture) -> str:
    change = f"-{asked.questions[0].kind}-{asked.questions[0].level}" if asked.changed and asked.questions else ""
    return f"images/{asked.number:06}{change}.png"


def _lines(asked: AskedPicture, picture: str, split: str) -> list[dict[str, Any]]:
    lines = []
    for k, question in enumerate(asked.questions):
        truth = asked.truth(k)
        if truth is None:
            continue
        kind = " ".join(filter(None, (question.kind or "original", question.level)))
        effect = "" if question.kind == ORIGINAL else f": {question.effect}"
        lines.append(
            {
                "id": question.id,
                "image": picture,
                "expression": question.text,
                "mask": encode_rle(truth) if truth.any() else [],
                "split": split,
                "type": f"{kind}{effect}" if question.certain else f"{kind}{effect}, not certain",
            }
        )
    return lines
