"""`refseg train` on a disk that fills up, a real one: a file system in memory that only this test sees."""

import subprocess
import sys

import pytest

SCRIPT = """
mount -t tmpfs -o size=64m tmpfs "$1/disk" || exit 77
train() { "$2" -m refseg train "$1/tiny.yaml" --out "$1/disk/run" --accelerator cpu --save-every 3 $3 2>> "$1/log"; }
train "$1" "$2" &
until [ -e "$1/disk/run/state/learn-step=3.ckpt" ]; do kill -0 $! || exit 1; sleep 0.01; done
cat /dev/zero > "$1/disk/ballast" 2> "$1/unimportant"
wait $!
echo "exit code $?" >> "$1/log"
find "$1/disk/run/state" -type f -printf '%f\\n' > "$1/left"
rm "$1/disk/ballast"
train "$1" "$2" --resume || exit 1
cp "$1/disk/run/weights/model.safetensors" "$1/made"
"""


@pytest.mark.slow
def test_a_full_disk_ends_a_run_with_one_line_and_resuming_it_goes_on(files, tmp_path):
    from kill_and_resume import recipe

    (tmp_path / "disk").mkdir()
    (tmp_path / "tiny.yaml").write_text(recipe(files).to_yaml())
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", str(tmp_path), sys.executable]
    try:
        ended = subprocess.run(alone, timeout=1800).returncode
    except FileNotFoundError:
        ended = 77
    if ended == 77:
        pytest.skip("no file system of its own: unshare or mount are missing or forbidden")
    said = (tmp_path / "log").read_text()
    assert ended == 0, said[-3000:]
    assert said.count("error: ") == 1 and "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "cannot be written (No space left on device)" in line
    assert "exit code 2" in said
    assert (tmp_path / "left").read_text().startswith("learn-step=")
    assert (tmp_path / "made").exists()
