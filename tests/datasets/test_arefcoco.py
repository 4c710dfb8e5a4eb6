import pytest

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile


def entry(number: int, original: str, ref: int, *texts: str, split: str = "test") -> dict:
    return {
        "entity_id": number,
        "original_dataset": original,
        "ref_id": ref,
        "descriptions": list(texts),
        "category_name": "cup",
        "split": split,
    }


@pytest.fixture
def arefcoco(files):
    """One image in both of the original data sets, and one that only RefCOCO has."""
    one, two = (f"COCO_train2014_{id:012d}.jpg" for id in (25, 26))
    square = files.square
    files.json(
        "refcoco/instances.json", files.coco({25: one, 26: two}, {7: (25, [square(2, 3)]), 9: (26, [square(0, 0)])})
    )
    files.pickle("refcoco/refs(unc).p", [files.ref(1, 25, 7, "the cup"), files.ref(2, 26, 9, "a cup")])
    files.json("refcocog/instances.json", files.coco({25: one}, {7: (25, [square(2, 3)]), 8: (25, [square(12, 3, 5)])}))
    files.pickle("refcocog/refs(umd).p", [files.ref(1, 25, 8, "the big cup"), files.ref(3, 25, 7, "the small cup")])
    files.photograph(f"train2014/{one}")
    described = [
        entry(0, "refcoco", 1, "it is smaller", "compared to the big one it is nearer"),
        entry(1, "refcocog", 1, "it is bigger"),
        entry(2, "refcoco", 2, "the one alone", split="train"),
    ]

    def build(split: str, annotations: list = described):
        files.json("arefcoco/arefcoco.json", {"annotations": annotations})
        return datasets.build("arefcoco", split=split, root=files.root / "arefcoco")

    return build


def test_refs_of_two_data_sets_are_described_anew(arefcoco):
    (sample,) = arefcoco("test")
    texts = ["it is smaller", "compared to the big one it is nearer", "it is bigger"]
    assert [expression.text for expression in sample.expressions] == texts
    assert [expression.id for expression in sample.expressions] == ["0-0", "0-1", "1-0"]
    assert [int(sample.mask(i).sum()) for i in range(3)] == [16, 16, 25]
    assert sample.coco_id == 25 and sample.image.shape == (20, 30, 3)
    assert [int(mask.sum()) for mask in sample.others(0)] == [25]
    assert len(arefcoco("train")) == 1 and arefcoco("all").ref_count == 3


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([entry(0, "refcoco", 5, "it")], r"annotation 0: ref 5 is not in refcoco; are its refs"),
        ([entry(0, "refcoco+", 1, "it")], r"original_dataset is refcoco or refcocog, not 'refcoco\+'"),
        ([entry(0, "refcoco", 1) | {"descriptions": "it"}], "descriptions is a list of texts"),
        ([{"split": "test"}], "annotation 0 has no 'original_dataset'"),
        ("it", "holds a str, not a list of annotation"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(arefcoco, annotations, message):
    with pytest.raises(InvalidInput, match=message):
        arefcoco("test", annotations)


def test_the_original_data_sets_are_needed(arefcoco, files):
    (files.root / "refcocog/refs(umd).p").unlink()
    with pytest.raises(MissingFile, match=r"refcocog/refs\(umd\)\.p is missing; docs/datasets\.md#arefcoco"):
        arefcoco("test")
