"""Look-ups and mistakes do not wait for torch; imports are counted, not seconds."""

import json
import subprocess
import sys
import zipfile

import pytest

PROBE = """
import json, os, sys, traceback
import refseg.cli, refseg.commands.compare, refseg.commands.evaluate, refseg.commands.train  # they need no torch
for line in sys.stdin:
    words, out = json.loads(line)
    child = os.fork()  # of a process that has imported no more than the command line
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(f"{out}.{stream}", os.O_CREAT | os.O_WRONLY), stream)
        sys.argv[1:] = words
        code = 0
        try: refseg.cli.main()
        except SystemExit as ended: code = ended.code or 0
        except BaseException: traceback.print_exc()
        imported = {name: name in sys.modules for name in ("torch", "lightning", "gradio")}
        print("\\n" + json.dumps({"code": code, **imported}), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print(flush=True)
"""


@pytest.fixture(scope="module")
def server():
    command = [sys.executable, "-c", PROBE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def probe(server, tmp_path):
    """Runs a command and says its exit code, what was imported, and stderr."""

    def run(*words: str) -> dict[str, object]:
        out = tmp_path / "said"
        server.stdin.write(json.dumps([words, str(out)]) + "\n")
        server.stdin.flush()
        server.stdout.readline()
        stdout, stderr = (out.with_suffix(f".{stream}").read_text() for stream in (1, 2))
        return json.loads(stdout.splitlines()[-1]) | {"said": stderr}

    return run


@pytest.mark.parametrize(
    "words",
    [
        "recipes",
        "recipes cris",
        "recipes lavt_refcoco",
        "study",
        "study cmirnet_table3 --show",
        "networks",
        "networks lavt*",
        "weights list",
        "data stats drawn_scenes --split val --count 2",
        "data ids drawn_scenes --split val --count 2",
        "data ids drawn_clips --split val --count 1",
        "data view drawn_scenes --split val --number 2 --out {folder}/sheet.png",
        "data check jsonl --root {folder}/own.jsonl --fast",
        "data draw --count 1 --out {folder}/drawn",
        "compare {folder}/rows.jsonl {folder}/others.jsonl --protocol standard",
        "compare {folder}/rows.jsonl {folder}/others.jsonl --protocol lavt --protocol rela --protocol cris",
    ],
)
def test_a_look_up_does_not_import_torch(words, tmp_path, probe):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    line = {"image": "a.png", "expression": "the dot", "split": "val", "boxes": [[1, 1, 4, 4]]}
    (tmp_path / "own.jsonl").write_text(json.dumps(line) + "\n")
    for name in ("rows", "others"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows())) + "\n")
    done = probe(*words.format(folder=tmp_path).split())
    assert done["code"] in (0, 1) and not done["torch"], done["said"]


def rows() -> list[dict[str, object]]:
    score = {"intersection": 3, "union": 4, "has_prediction": True, "iou": 0.75}
    scores = {name: score for name in ("standard", "lavt", "rela", "cris")}
    return [
        {"id": f"{image}/0", "image_id": image, "expression": "the dot", "referents": 1, "part": "", "size": ""}
        | {"type": "", "kind": "", "area": 3, "exists": 0.9, "error": "good", "seconds": 0.1, "scores": scores}
        for image in "ab"
    ]


@pytest.mark.parametrize(
    "words",
    [
        "data check refcoco --root {folder}/none",
        "data check nothing",
        "data stats refcoco --root {folder}/none",
        "data view drawn_scenes --split none --out {folder}/a.png",
        "data ids refcoco --root {folder}/none",
        "compare {folder}/none {folder}/none",
        "score {folder}/none drawn_scenes",
        "score {folder} nothing",
        "score {folder} refcoco --root {folder}/none",
        "score {folder} drawn_scenes --protocol none",
        "recipes nothing",
        "networks nothing",
        "weights list --network nothing",
        "weights get nothing",
        "gallery --data drawn_scenes --weights nothing --out {folder}/a.png",
        "gallery --data drawn_scenes --masks {folder}/none --out {folder}/a.png",
        "gallery --data drawn_scenes --weights selector --split none --out {folder}/a.png",
        "gallery {folder}/none.png star --weights selector --out {folder}/a.png",
        "evaluate nothing",
        "evaluate {folder}",
        "evaluate selector nothing",
        "evaluate selector drawn_scenes --split none",
        "evaluate selector drawn_scenes --protocol none",
        "evaluate selector drawn_scenes --set none=1",
        "evaluate selector drawn_scenes --set tier=none",
        "evaluate selector drawn_scenes --device none",
        "evaluate selector drawn_scenes --masks",
        "evaluate selector refcoco --root {folder}/none",
        "convert none {folder}/a.pth --out {folder}/out",
        "convert lavt {folder}/none.pth --out {folder}/out",
        "convert lavt {folder}/empty.pth --out {folder}/out",
        "convert auto {folder}/cut.pth --out {folder}/out",
        "convert auto {folder}/other.zip --out {folder}/out",
        "convert lavt {folder}/damaged.pth --out {folder}/out",
        "convert cmpc {folder}/photograph.npz --out {folder}/out",
        "convert lavt {folder}/none --to-official --out {folder}/out.pth",
        "calibrate {folder}/none",
        "calibrate selector nothing",
        "serve --weights nothing",
        "serve --device none",
        "serve --token-file {folder}/none",
        "serve --queue 0",
        "train nothing",
        "train selector --set none=1",
        "train selector --set stages.find.steps=many",
        "train selector --precision none",
        "train selector --set network=none",
        "train lavt_refcoco --set data.settings.none=1",
        "train lavt_refcoco --set data.settings.root={folder}/none",
        "train selector --accelerator none",
    ],
)
def test_a_mistake_is_told_before_torch_is_imported(words, tmp_path, probe):
    (tmp_path / "empty.pth").touch()
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04" + bytes(100))
    for name, member in (("other.zip", "a.txt"), ("damaged.pth", "archive/data.pkl")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, "contents")
    content = (tmp_path / "damaged.pth").read_bytes()
    (tmp_path / "damaged.pth").write_bytes(content.replace(b"contents", b"content5"))
    (tmp_path / "photograph.npz").write_bytes(b"\xff\xd8\xff" + bytes(100))
    done = probe(*words.format(folder=tmp_path).split())
    assert done["code"] == 2 and done["said"].startswith("error: "), done["said"]
    assert not done["torch"] and not done["gradio"]
