import json
import tarfile

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from refseg.cli import app
from refseg.datasets import build
from refseg.datasets.drawn_scenes import DrawnScenes
from refseg.datasets.drawn_scenes.export import export
from refseg.encoders.vocabulary import Vocabulary
from refseg.errors import InvalidInput, MissingFile
from refseg.preprocessing import Preprocessing
from refseg.recipe import Files
from refseg.training.file_batches import FileBatches
from refseg.training.sources import whole_images


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
        data = Files(dataset=name, item=item, preprocessing=Preprocessing(side=64))
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
    from refseg.datasets.shards import write_shards

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
