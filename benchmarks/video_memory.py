"""Memory and speed of `refseg segment` on a long video: the video is made, and the command runs beside this process.

Ten minutes of coloured shapes that move over a plain ground, written by PyAV; the bundled weights answer every n-th
frame of it. The table shows the resident memory of the command as time goes by; it must not grow with the video.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from refseg.video.writer import video_writer
from timing import print_table

SIZE_HW, FRAME_RATE, EXPRESSION = (96, 160), 24, "the red circle"
ROWS = 12
ANSWERING, WRITING = "answering", "writing files"
SHAPES = [  # colour, corners (0: a circle), radius, pixels a frame
    ((220, 40, 40), 0, 13, (0.7, 0.4)),
    ((40, 90, 220), 4, 15, (-0.5, 0.6)),
    ((240, 200, 40), 3, 14, (0.3, -0.8)),
]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10)
    arguments.add_argument("--every", type=int, default=24)
    arguments.add_argument("--format", default="all")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        video, out = Path(temporary) / "moving.mp4", Path(temporary) / "out"
        count = round(given.minutes * 60 * FRAME_RATE)
        write(video, count)
        command = [sys.executable, "-m", "refseg", "segment", video, EXPRESSION, "--out", out]
        measured = watch([*map(str, command), "--every", str(given.every), "--format", given.format], out)
    seconds = measured[-1][0]
    middle = max(when for when, doing, _, _ in measured if doing == ANSWERING)
    title = (
        f"{given.minutes:g} minutes of {SIZE_HW[1]} x {SIZE_HW[0]} at {FRAME_RATE} frames/s, --every {given.every} "
        f"--format {given.format}"
    )
    print_table(title, ["seconds", "doing", "answers so far", "resident memory"], table(measured))
    print(f"{count:,} frames, {-(-count // given.every):,} answers in {seconds:.0f} s: {count / seconds:.0f} frames/s;")
    print(f"answering alone {count / middle:.0f} frames/s, the start of the program included")


def write(path: Path, count: int) -> None:
    """Shapes that move, and turn back at the borders."""
    height, width = SIZE_HW
    with video_writer(path, SIZE_HW, Fraction(1, FRAME_RATE)) as add:
        for frame in range(count):
            image = Image.new("RGB", (width, height), (190, 190, 185))
            draw = ImageDraw.Draw(image)
            for colour, corners, radius, speed in SHAPES:
                x, y = (
                    radius + abs((step * frame + radius) % (2 * (side - 2 * radius)) - (side - 2 * radius))
                    for step, side in zip(speed, (width, height), strict=True)
                )
                if corners:
                    draw.regular_polygon((x, y, radius), corners, fill=colour)
                else:
                    draw.circle((x, y), radius, fill=colour)
            add(Fraction(frame, FRAME_RATE), np.asarray(image))


def watch(command: list[str], out: Path) -> list[tuple[float, str, int, float]]:
    """Seconds, what is being done, answers so far and MiB of memory of a command, several times a second."""
    begin, seen, answers, doing = time.perf_counter(), [], 0, ANSWERING
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        time.sleep(0.25)
        if answers and not any(out.glob(".*.unfinished")):
            break  # what it takes to end does not grow with the video
        if lines := next(out.glob(".*.unfinished/answers.jsonl"), None):
            answers = lines.read_bytes().count(b"\n")
        doing = WRITING if doing == WRITING or any(out.glob(".*.unfinished/files")) else ANSWERING
        resident = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
        if resident:
            seen.append((time.perf_counter() - begin, doing, answers, int(resident[0].split()[1]) / 1024))
    if process.wait():
        raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")
    return seen


def table(measured: list[tuple[float, str, int, float]]) -> list[list[str]]:
    """Rows at even distances of the measurements after the first answer, and the highest memory of all."""
    later = [one for one in measured if one[2]]
    chosen = [later[round(k * (len(later) - 1) / (ROWS - 1))] for k in range(ROWS)]
    rows = [[f"{seconds:.0f}", doing, f"{answers:,}", f"{mib:.0f} MiB"] for seconds, doing, answers, mib in chosen]
    return [*rows, ["", "the highest", "", f"{max(mib for *_, mib in measured):.0f} MiB"]]


if __name__ == "__main__":
    main()
