import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from refseg.cli import app
from refseg.datasets import build
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.drawn_scenes.export import export
from refseg.datasets.shards import write_shards
from refseg.errors import InvalidInput, MissingFile
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes.recipe import FileData
from refseg.text.vocabulary import Vocabulary
from refseg.training.data.file_batches import FileBatches
from refseg.training.data.sources import whole_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("refer")
    export(DrawnScenes("train", 7, tier="easy"), made)
    return made


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    command = ["data", "shard", "refer", "--root", str(folder), "--out", str(out), "--shard-size", "1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "7 images" in done.output
    return out


def test_shards_hold_what_the_data_set_held(folder, shards):
    of_files, of_shards = build("refer", split="train", root=folder), build("shards", split="train", root=shards)
    assert len(of_files) == len(of_shards) == 7
    for one, other in zip(of_files, of_shards, strict=True):
        assert one.image_id == other.image_id and one.size_hw == other.size_hw
        np.testing.assert_array_equal(one.image, other.image)
        assert len(one.expressions) == len(other.expressions)
        for number, (a, b) in enumerate(zip(one.expressions, other.expressions, strict=True)):
            assert (a.id, a.text, a.type, a.kind, len(a.targets)) == (b.id, b.text, b.type, b.kind, len(b.targets))
            np.testing.assert_array_equal(one.mask(number), other.mask(number))
            assert one.box(number) == other.box(number)


@pytest.mark.parametrize("item", ["referent", "expression", "image"])
def test_a_training_sees_the_same_batches_from_shards_and_from_files(folder, shards, item):
    stage = whole_images(2).replace(steps=None, epochs=1, flip=0.5, expressions_per_image=2)
    batches = []
    for name, root in (("refer", folder), ("shards", shards)):
        samples = build(name, split="train", root=root)
        words = Vocabulary.of([e.text for sample in samples for e in sample.expressions])
        data = FileData(dataset=name, item=item, preprocessing=Preprocessing(side=64))
        batches.append(FileBatches(samples, words, data, stage, (0, 0)))
    for part in (0, 4, 1):
        one, other = (each[part] for each in batches)
        assert one.ids == other.ids
        for name in ("image", "tokens", "targets", "truth"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_photographs_stay_as_they_are_and_annotations_are_plain_json(folder, shards):
    with tarfile.open(next(shards.glob("*.tar"))) as archive:
        picture, about = archive.next(), archive.next()
        assert picture.name == "000000000.png" and about.name == "000000000.json"
        annotations = json.load(archive.extractfile(about))
        content = archive.extractfile(picture).read()
    assert content == (folder / "images" / f"{sorted_names(folder)[0]}").read_bytes()
    assert {"image", "size", "objects", "expressions"} <= annotations.keys()


def sorted_names(folder):
    return [image["file_name"] for image in json.loads((folder / "instances.json").read_text())["images"]]


def test_another_shard_is_begun_where_one_is_full(folder, tmp_path):
    samples = build("refer", split="train", root=folder)
    assert write_shards(samples, "small", tmp_path, shard_bytes=1) == 7
    assert len(build("shards", split="train", root=tmp_path)) == 7


def test_shards_that_are_missing_cut_off_or_there_already_are_refused(folder, shards, tmp_path):
    with pytest.raises(MissingFile, match="holds no shard"):
        build("shards", split="train", root=tmp_path)
    command = ["data", "shard", "refer", "--root", str(folder), "--out", str(shards)]
    assert isinstance(CliRunner().invoke(app, command).exception, InvalidInput)
    whole = next(shards.glob("*.tar")).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match="cut.tar"):
        build("shards", split="train", root=tmp_path)


# What is packed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "link.png", "images/../../secret.png"])
@pytest.mark.parametrize("what", ["image", "mask"])
def test_no_file_outside_of_the_data_sets_folders_is_packed(files, tmp_path, what, name):
    secret = files.photograph("../secret.png")
    (files.root / "link.png").symlink_to(secret)
    files.photograph("a.png")
    line = {"image": "a.png", "expression": "it", "mask": [files.square(0, 0)], "split": "train"} | {what: name}
    files.bytes("d.jsonl", json.dumps(line).encode())
    done = CliRunner().invoke(
        app, ["data", "shard", "jsonl", "--root", str(files.root), "--out", str(tmp_path / "out")]
    )
    assert isinstance(done.exception, InvalidInput) and "use names relative to the folder" in str(done.exception)
    assert not list(tmp_path.rglob("*.tar"))


def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(shards, tmp_path):
    (tmp_path / "a.tar").symlink_to(next(shards.glob("*.tar")))
    with pytest.raises(InvalidInput, match="is a link that leads out"):
        build("shards", split="train", root=tmp_path)


def test_a_file_that_is_no_photograph_is_not_packed(files, tmp_path):
    files.bytes("passwords.txt", b"secret")
    line = {"image": "passwords.txt", "expression": "it", "mask": [], "split": "train"}
    files.bytes("d.jsonl", json.dumps(line).encode())
    with pytest.raises(InvalidInput, match=r"passwords\.txt cannot be"):
        write_shards(build("jsonl", split="train", root=files.root), "s", tmp_path, 10**6)


def test_a_photograph_with_an_odd_ending_is_packed_and_read_again(files, tmp_path):
    content = files.photograph("a.png").read_bytes()
    for name in ("b.json", "c." + "x" * 120, "d"):
        files.bytes(name, content)
        files.bytes("d.jsonl", json.dumps({"image": name, "expression": "it", "mask": [], "split": "train"}).encode())
        write_shards(build("jsonl", split="train", root=files.root), name[0], tmp_path, 10**6)
    assert [sample.image.shape for sample in build("shards", split="train", root=tmp_path)] == [(20, 30, 3)] * 3


# Shards that anybody may have written ---------------------------------------------------------------------------------

ABOUT = {"image": "1", "size": [20, 30], "coco": -1, "objects": [], "expressions": []}
EXPRESSION = {"id": "1", "raw": "it", "sent": "it", "targets": [], "ref": "1", "split": "train", "type": "", "kind": ""}
OBJECT = {"id": "1", "state": "", "mask": {"size": [20, 30], "counts": [0, 600]}}


def photograph() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "PNG")
    return file.getvalue()


def member(name: str, content: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    for field, value in fields.items():
        setattr(about, field, value)
    return about, content


def write_tar(path, *members, format=tarfile.PAX_FORMAT) -> None:
    with path.open("wb") as file:
        for about, content in members:
            file.write(about.tobuf(format))
            file.write(content + bytes(-len(content) % 512))
        file.write(bytes(1024))


def about(**changes) -> bytes:
    return json.dumps(ABOUT | {"objects": [OBJECT], "expressions": [EXPRESSION | {"targets": [0]}]} | changes).encode()


def test_shards_of_others_are_read(tmp_path):
    folder = member("./", type=tarfile.DIRTYPE)
    write_tar(tmp_path / "s.tar", folder, member("1.png", photograph()), member("1.json", about()))
    (sample,) = build("shards", split="train", root=tmp_path)
    assert sample.image.shape == (20, 30, 3) and sample.mask(0).all()


@pytest.mark.parametrize(
    "second",
    [
        member("1.json", type=tarfile.SYMTYPE, linkname="1.json"),
        member("1.json", type=tarfile.LNKTYPE, linkname="1.json"),
        member("1.json", type=tarfile.FIFOTYPE),
        member("1.json", b"[" * 100_000),
        member("1.json", b"[" + b"1" * 5000 + b"]"),
        member("1.json", b"[]"),
        member("2.json", about()),
        member("1.json", about(size=[2**40, 2**40])),
        member("1.json", about(size=[20])),
        member("1.json", about(objects=[OBJECT | {"box": [1, 2]}])),
        member("1.json", about(objects=[OBJECT | {"mask": {"size": [20, 30], "counts": [10**30]}}])),
        member("1.json", about(expressions=[EXPRESSION | {"targets": [-1]}])),
        member("1.json", about(expressions=[EXPRESSION | {"targets": [1]}])),
        member("1.json", about(coco=10**30)),
        member("1.json", size=10**12),
        member("1.json", size=-(10**9)),
        member(
            "1.json",
            b"",
            pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 15},
        ),
        member("1.json", b"", type=tarfile.XHDTYPE, size=10**12),
    ],
    ids=range(18),
)
def test_a_shard_that_cannot_be_right_is_refused_in_one_line(tmp_path, second):
    format = tarfile.GNU_FORMAT if second[0].size < 0 or second[0].size > 10**11 else tarfile.PAX_FORMAT
    write_tar(tmp_path / "s.tar", member("1.png", photograph()), second, format=format)
    with pytest.raises(InvalidInput, match=r"s\.tar") as told:
        build("shards", split="train", root=tmp_path)
    assert "\n" not in str(told.value)


def test_a_folder_called_as_annotations_are_is_passed_over(tmp_path):
    folder = member("x.json", type=tarfile.DIRTYPE)
    write_tar(tmp_path / "s.tar", folder, member("1.png", photograph()), member("1.json", about()))
    assert len(build("shards", split="train", root=tmp_path)) == 1


def test_a_photograph_is_never_larger_than_its_shard(tmp_path):
    write_tar(tmp_path / "s.tar", member("1.png", photograph()), member("1.json", about()))
    shards = build("shards", split="train", root=tmp_path)
    with shards.open_image(f"s.tar:512:{10**15}") as image:
        assert image.size == (30, 20)


def test_data_check_looks_at_the_photographs_within_shards(shards):
    from refseg.datasets.tools.check import examine

    findings = {finding.check: finding.verdict for finding in examine(build("shards", split="all", root=shards))}
    assert findings["images unreadable"] == findings["images missing"] == findings["masks empty"] == "ok"
