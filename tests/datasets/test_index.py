import multiprocessing
import os
import pickle
import shutil
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.datasets.storage import index
from refseg.datasets.storage.annotation_masks import MaskFile
from refseg.datasets.storage.index import BOX_ONLY, FOLDER, IndexBuilder, open_index
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.masks.rle import Rle


class Reader:
    """Reads one word from a file, and counts how often."""

    def __init__(self, path, pause=0.0):
        self.path, self.times, self.pause = path, 0, pause

    def __call__(self, builder: IndexBuilder) -> None:
        self.times += 1
        text = self.path.read_text()
        time.sleep(self.pause)
        image = builder.image("7", "7.jpg", (20, 30), coco_id=7)
        target = builder.object(
            image, "1", [np.arange(6.0), Rle(b"04", (2, 2)), MaskFile("a.png", inverted=True)], (1, 2, 3, 4)
        )
        bare = builder.object(image, "2", state=BOX_ONLY)
        builder.expression(image, "a", text, text.lower(), [target, bare], ref=5, split="val", type="plural")
        builder.expression(image, "b", "", targets=[], split="test")


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "data" / "refs.json"
    path.parent.mkdir()
    path.write_text("Cup")
    return path


def test_what_goes_in_comes_out(source):
    index = open_index("it", [source], Reader(source))
    assert len(index) == 2
    assert [index.text("expression_raw", k) for k in (0, 1)] == ["Cup", ""]
    assert [index.text("expression_sent", k) for k in (0, 1)] == ["cup", ""]
    assert (index.word("split", 1), index.word("type", 0), index.word("kind", 0)) == ("test", "plural", "")
    assert index.targets(0) == (0, 1)
    assert index.targets(1) == ()
    polygon, rle, file = index.pieces(0)
    assert (polygon == np.arange(6.0)).all()
    assert (rle, file) == (Rle(b"04", (2, 2)), MaskFile("a.png", inverted=True))
    assert index.pieces(1) == []
    assert index["object_state"].tolist() == [0, BOX_ONLY]
    assert index["object_box"][0].tolist() == [1, 2, 3, 4]
    assert np.isnan(index["object_box"][1]).all()
    assert (index["image_hw"].tolist(), index["image_coco"].tolist()) == ([[20, 30]], [7])
    assert not index["targets"].flags.writeable


@given(st.lists(st.text(), max_size=8))
def test_texts_of_any_script_are_kept(tmp_path_factory, texts):
    source = tmp_path_factory.mktemp("data") / "refs.json"
    source.write_text("")

    def read(builder: IndexBuilder) -> None:
        image = builder.image("1", "1.jpg")
        for number, text in enumerate(texts):
            builder.expression(image, str(number), text)

    index = open_index("it", [source], read)
    assert [index.text("expression_raw", number) for number in range(len(index))] == texts


def test_an_index_is_made_once_beside_its_source(source):
    reader = Reader(source)
    for _ in range(3):
        open_index("it", [source], reader)
    assert reader.times == 1
    assert [path.name for path in (source.parent / FOLDER).iterdir()] == ["it.safetensors"]


def test_a_change_of_the_source_makes_it_anew(source):
    reader = Reader(source)
    open_index("it", [source], reader)
    source.write_text("Mug")
    os.utime(source, ns=(1, 1))
    assert open_index("it", [source], reader).text("expression_raw", 0) == "Mug"
    source.write_text("Three mugs")
    os.utime(source, ns=(1, 1))
    assert open_index("it", [source], reader).text("expression_raw", 0) == "Three mugs"
    assert reader.times == 3


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "other"])
def test_a_damaged_index_is_made_anew(source, damage):
    reader = Reader(source)
    open_index("it", [source], reader)
    file = source.parent / FOLDER / "it.safetensors"
    content = file.read_bytes()
    other = content.replace(b"expression_split", b"expression_spill")
    file.write_bytes({"empty": b"", "cut": content[:-50], "garbage": b"\xff" * 500, "other": other}[damage])
    assert open_index("it", [source], reader).word("split", 0) == "val"
    assert reader.times == 2


def test_an_index_that_comes_with_the_data_is_not_believed(source, tmp_path):
    open_index("it", [source], Reader(source))
    shutil.copytree(source.parent, tmp_path / "shipped")  # with the same times
    shipped = tmp_path / "shipped" / source.name
    reader = Reader(shipped)
    open_index("it", [shipped], reader)
    assert reader.times == 1


def test_an_index_with_a_flipped_bit_is_made_anew(source):
    open_index("it", [source], Reader(source))
    file = source.parent / FOLDER / "it.safetensors"
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(content), 200, replace=False):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        file.write_bytes(flipped)
        index = open_index("it", [source], Reader(source))
        assert index.text("expression_raw", 0) == "Cup" and index.targets(0) == (0, 1)
        assert index.pieces(0)[1:] == [Rle(b"04", (2, 2)), MaskFile("a.png", inverted=True)]
        assert (index.pieces(0)[0] == np.arange(6.0)).all()
        assert index.names["split"] == ["val", "test"]


def test_workers_do_not_read_the_whole_index_again(source, monkeypatch):
    pickled = pickle.dumps(open_index("it", [source], Reader(source)))
    monkeypatch.setattr("refseg.datasets.storage.index._checksum", lambda *given: pytest.fail("read"))
    assert pickle.loads(pickled).text("expression_raw", 0) == "Cup"


def test_a_folder_of_the_index_that_is_a_link_is_not_written_to(source, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (source.parent / FOLDER).symlink_to(elsewhere)
    open_index("it", [source], Reader(source))
    assert not list(elsewhere.iterdir())
    assert list((tmp_path / "cache").rglob("it.safetensors"))


def test_a_pipe_in_place_of_the_index_is_not_waited_for(source):
    (source.parent / FOLDER).mkdir()
    os.mkfifo(source.parent / FOLDER / "it.safetensors")
    assert open_index("it", [source], Reader(source)).text("expression_raw", 0) == "Cup"


def test_the_name_of_an_index_is_not_too_long_for_a_disk(source):
    reader = Reader(source)
    for _ in range(2):
        open_index("é" * 120, [source], reader)
    assert reader.times == 1


@pytest.mark.parametrize(
    "add",
    [
        lambda builder: builder.image("1", "1.jpg", (2**30, 2**30)),
        lambda builder: builder.image("1", "1.jpg", (-20, 30)),
        lambda builder: builder.image("1", "1.jpg", (10**4999, 30)),
        lambda builder: builder.object(0, "1", box=(1, 2, 3)),
        lambda builder: builder.object(0, "1", box=()),
    ],
)
def test_sizes_and_boxes_that_no_image_has_are_refused(source, add):
    with pytest.raises(InvalidInput, match="a size of|a box is"):
        open_index("it", [source], add)


def test_a_source_that_cannot_be_read_is_named(source):
    def read(builder: IndexBuilder) -> None:
        raise PermissionError(13, "Permission denied", str(source))

    with pytest.raises(InvalidInput, match=r"refs\.json cannot be read \(Permission denied\)"):
        open_index("it", [source], read)


def test_where_the_source_cannot_be_written_the_users_cache_takes_the_index(source, tmp_path):
    (source.parent / FOLDER).write_text("a file in the way")
    reader = Reader(source)
    for _ in range(2):
        open_index("it", [source], reader)
    assert reader.times == 1
    assert list((tmp_path / "cache").rglob("it.safetensors"))


def test_a_folder_that_is_marked_read_only_stays_as_it_is(source, tmp_path):
    source.parent.chmod(0o555)
    open_index("it", [source], Reader(source))
    source.parent.chmod(0o755)
    assert list(source.parent.iterdir()) == [source]
    assert list((tmp_path / "cache").rglob("it.safetensors"))


def test_where_nothing_can_be_written_it_says_so(source, tmp_path):
    (source.parent / FOLDER).write_text("a file in the way")
    (tmp_path / "cache").write_text("another")
    with pytest.raises(UnwritableOutput, match="set REFSEG_CACHE"):
        open_index("it", [source], Reader(source))


def test_a_failed_reading_leaves_nothing(source):
    def fail(builder: IndexBuilder) -> None:
        raise InvalidInput("a bad line")

    with pytest.raises(InvalidInput, match="a bad line"):
        open_index("it", [source], fail)
    assert list(source.parent.iterdir()) == [source]


def test_a_missing_source_is_named(source):
    with pytest.raises(MissingFile, match=r"gone\.json is missing"):
        open_index("it", [source.parent / "gone.json"], Reader(source))


def _open_in_a_process(path):
    index = open_index("it", [path], Reader(path, pause=0.2))
    return index.text("expression_raw", 0), index.targets(0)


def test_processes_that_make_it_at_once_are_all_right(source):
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:
        found = list(pool.map(_open_in_a_process, [source] * 3))
    assert found == [("Cup", (0, 1))] * 3
    assert [path.name for path in (source.parent / FOLDER).iterdir()] == ["it.safetensors"]


def test_a_pickled_index_is_opened_again_and_refused_if_it_has_changed(source):
    index = open_index("it", [source], Reader(source))
    pickled = pickle.dumps(index)
    assert len(pickled) < 1000
    assert pickle.loads(pickled).text("expression_raw", 0) == "Cup"
    source.write_text("Something else")
    open_index("it", [source], Reader(source))
    assert index.text("expression_raw", 0) == "Cup"  # whoever has the old file keeps it
    with pytest.raises(InvalidInput, match="has changed while it was in use"):
        pickle.loads(pickled)


def test_too_many_different_types_are_refused_in_words(monkeypatch):
    monkeypatch.setattr(index, "MAX_NAMES", 2)
    builder = IndexBuilder()
    image = builder.image("1", "1.jpg")
    for type in ("a", "b", "a"):
        builder.expression(image, "1", "it", type=type)
    with pytest.raises(InvalidInput, match="type 'c' is one too many; at most 2 are read"):
        builder.expression(image, "1", "it", type="c")
