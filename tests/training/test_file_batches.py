import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refseg.datasets import build
from refseg.errors import InvalidInput
from refseg.networks.cmpc import CMPCConfig
from refseg.networks.lavt import LAVTConfig
from refseg.recipes.recipe import FileData
from refseg.text.vocabulary import Vocabulary
from refseg.text.word_list import WordList
from refseg.training.data.file_batches import FileBatches, Items, without_words
from refseg.training.data.sources import FileSource, ValidationBatches, whole_images

STAGE = whole_images(4).replace(steps=None, epochs=1, flip=0.5, expressions_per_image=2)


@pytest.fixture(scope="module")
def samples(refer):
    return build("refer", split="train", root=refer)


@pytest.fixture(scope="module")
def batches(samples, files):
    words = Vocabulary.of([expression.text for sample in samples for expression in sample.expressions])

    def made(stage=STAGE, **keywords):
        changes = {name: keywords.pop(name) for name in ("item", "spread_no_target") if name in keywords}
        return FileBatches(samples, words, files.replace(**changes), stage, (0, 0), **keywords)

    return made


def test_the_words_may_be_those_of_a_file(samples, files, tmp_path):
    every = FileSource(files, erases=False).tokenizer(CMPCConfig())
    often = WordList.of((text.text for sample in samples for text in sample.expressions), at_least=3)
    often.write(tmp_path / "words.txt")
    source = FileSource(files.replace(vocabulary=str(tmp_path / "words.txt")), erases=False)
    words = source.tokenizer(CMPCConfig())
    assert words.words == often.words and set(words.words) < set(every.words)
    assert any(samples_words for sample in samples for samples_words in words.unknown_words(sample.expressions[0].text))
    with pytest.raises(InvalidInput, match="brings its own words; leave out data.vocabulary"):
        source.tokenizer(LAVTConfig())


def test_the_words_of_drawn_clips_may_be_those_of_a_file_too(tiny_of_clips, tmp_path):
    WordList.of(["star"], at_least=1).write(tmp_path / "words.txt")
    source = FileSource(tiny_of_clips.data.replace(vocabulary=str(tmp_path / "words.txt")), erases=False)
    assert set(source.tokenizer(CMPCConfig()).words) == set(WordList.read(tmp_path / "words.txt", 20).words)
    with pytest.raises(InvalidInput, match="brings its own words"):
        source.tokenizer(LAVTConfig())


def test_a_batch_is_a_function_of_its_number(batches):
    one, other = batches(), batches()
    for part in (3, 0, 7):
        other[part + 1]
        assert one[part].ids == other[part].ids
        assert torch.equal(one[part].image, other[part].image) and torch.equal(one[part].truth, other[part].truth)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_and_parts_share_a_step_without_changing_it(batches, accumulate):
    whole = batches()[5]
    stage = STAGE.replace(accumulate=accumulate)
    parts = [batches(stage, rank=r, world=2)[5 * accumulate + p] for p in range(accumulate) for r in (0, 1)]
    assert sum((part.ids for part in parts), ()) == whole.ids
    torch.testing.assert_close(torch.cat([part.image for part in parts]), whole.image)


def test_an_epoch_shows_what_fills_its_steps_once(batches):
    for item in ("referent", "expression", "image"):
        shown = batches(item=item)
        places = range(shown.steps_per_epoch * STAGE.images)
        first = [shown.order[place] for place in places]
        second = [shown.order[place + len(places)] for place in places]
        assert len(set(first)) == len(first) and first != second


def test_expressions_about_nothing_come_evenly(batches):
    shown = batches(item="expression", spread_no_target=True)
    empty = shown.items.about_nothing(shown.samples)
    order = [shown.order[place] for place in range(shown.steps_per_epoch * STAGE.images)]
    gaps = np.diff(np.flatnonzero(empty[order]))
    assert 0 < empty.sum() < len(empty) and gaps.max() - gaps.min() <= 1 + len(empty) % STAGE.images


@given(
    refs=st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=6).filter(any),
    kind=st.sampled_from(["referent", "expression", "image"]),
)
def test_items_are_those_of_going_through_all_images(refs, kind):
    refs = [one for one in refs if one]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in refs])])
    letters, ends = np.full(starts[-1], ord("a"), np.uint8), np.arange(starts[-1] + 1)
    index = {"expression_ref": np.concatenate(refs), "expression_raw": letters, "expression_raw_ends": ends}
    samples = type("Samples", (SimpleNamespace,), {"__len__": lambda self: len(refs)})(
        index=index, by_image=(np.arange(starts[-1]), starts), text="raw", prefix=""
    )
    samples.indexed_parts = [samples]
    expected = []
    for image, own in enumerate(refs):
        if kind == "image":
            expected.append((image, list(range(len(own)))))
        elif kind == "expression":
            expected += [(image, [place]) for place in range(len(own))]
        else:
            expected += [(image, [p for p, ref in enumerate(own) if ref == one]) for one in dict.fromkeys(own)]
    items = Items(samples, kind)
    assert [(image, places.tolist()) for image, places in (items[n] for n in range(len(items)))] == expected


@pytest.mark.parametrize("split", ["test", "testA", "Test_unc"])
def test_a_test_split_never_chooses_a_checkpoint(split):
    with pytest.raises(ValidationError, match="must not be chosen by a test split"):
        FileData(dataset="refcoco", validation=split)


@pytest.mark.parametrize(("count", "world"), [(3, 2), (5, 2), (16, 3), (17, 4), (1, 1)])
def test_validation_gives_every_process_as_many_batches_and_every_image_once(count, world):
    seen = SimpleNamespace(whole=list)
    batches = ValidationBatches(seen, count, images=2, world=world)
    assert len(batches) % world == 0
    shown = [batches[index] for index in range(len(batches))]
    assert all(shown) and sum(shown, []) == list(range(count)) and max(map(len, shown)) <= 3


def test_fewer_validation_images_than_processes_are_refused():
    with pytest.raises(InvalidInput, match="1 validation image cannot be shared by 2 devices"):
        ValidationBatches(SimpleNamespace(whole=list), 1, images=2, world=2)


@pytest.fixture
def partly_silent(refer, files, tmp_path):
    """The data set with a question mark as every other sentence of each split."""
    root = Path(shutil.copytree(refer, tmp_path / "refer"))
    (path,) = root.glob("grefs*.json")
    refs = json.loads(path.read_text())
    for split in ("train", "val"):
        for ref in [ref for ref in refs if ref["split"] == split][::2]:
            for sentence in ref["sentences"]:
                sentence["sent"] = sentence["raw"] = "?"
    path.write_text(json.dumps(refs))
    return files.replace(settings={"root": str(root)})


@pytest.mark.parametrize("item", ["referent", "expression", "image"])
def test_sentences_without_a_word_are_left_out_and_named(partly_silent, item, capsys):
    source = FileSource(partly_silent.replace(item=item), erases=False)
    tokenizer = Vocabulary.of(["the"])
    silent = [e.id for sample in source.samples for e in sample.expressions if e.text == "?"]
    batches = source.batches(STAGE, tokenizer, (0, 0))
    said = capsys.readouterr().out
    assert f"split train of refer: {len(silent)} expressions ({silent[0]}, " in said and "have no word" in said
    shown = {id for part in range(len(batches)) for id in batches[part].ids}
    assert shown and not shown & set(silent)


def test_validation_leaves_sentences_without_a_word_out_too(partly_silent):
    source = FileSource(partly_silent, erases=False)
    batches = source.validation(Vocabulary.of(["the"]), world=1)
    shown = [id for number in range(len(batches)) for id in batches[number].ids]
    wanted = [e.id for sample in source.validation_samples for e in sample.expressions if e.text != "?"]
    assert shown == wanted and wanted


def test_sentences_without_a_word_are_found_in_any_script(refer):
    samples = build("refer", split="train", root=refer)
    texts = ["?", "", "left", "\u2026", "\u00e9", "\u72d7", "-", "...", "7", ""]

    class Index(dict):
        def text(self, name, number):
            return texts[number]

    parts = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, parts)])
    index = Index(expression_raw=np.frombuffer(b"".join(parts), np.uint8), expression_raw_ends=ends)
    found = without_words(SimpleNamespace(text="raw", index=index))
    assert [text for text, silent in zip(texts, found, strict=True) if silent] == ["?", "", "\u2026", "...", ""]
    assert not without_words(samples).any()
