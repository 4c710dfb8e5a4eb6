"""R-RefCOCO and FP-RefCOCO: the refer layout, with sentences that name nothing."""

import numpy as np
import pytest

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile
from refseg.evaluation.evaluate import score_masks
from refseg.evaluation.stored_masks import expression_ids
from refseg.masks.rle import encode_rle

NAME = "COCO_train2014_000000000025.jpg"


def write(files, split_by: str, flag: str, absent: object) -> None:
    """Two refs of one image; each has a sentence about what is there, and the first two about what is not."""
    annotations = {7: (25, [files.square(2, 3)]), 8: (25, [files.square(12, 3)])}
    files.json("instances.json", files.coco({25: NAME}, annotations))
    first = files.ref(1, 25, 7, "the cup", "the blue cup", "a cup on a dog", split="val")
    second = files.ref(2, 25, 8, "the other cup", split="val")
    for sentence in first["sentences"][1:]:
        sentence[flag] = absent
        sentence["sent_id"] = 10  # added sentences repeat the ids of others
    second["sentences"][0][flag] = not absent
    files.pickle(f"refs({split_by}).p", [first, second])
    files.photograph(f"images/mscoco/images/train2014/{NAME}")


NAMES = {
    "rrefcoco": ("unc", "exist", False),
    "rrefcoco+": ("unc_exclude_unified", "exist", False),
    "rrefcocog": ("umd_exclude_unified", "exist", 0),
    "fprefcoco": ("berkeley_exclude_unified", "is_false_premise", True),
    "fprefcoco+": ("berkeley_exclude_unified", "is_false_premise", True),
    "fprefcocog": ("berkeley_exclude_unified", "is_false_premise", 1),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_sentence_says_itself_whether_its_referent_is_there(files, name):
    split_by, flag, absent = NAMES[name]
    write(files, split_by, flag, absent)
    (sample,) = datasets.build(name, split="val", split_by=split_by, root=files.root)
    assert [bool(expression.targets) for expression in sample.expressions] == [True, False, False, True]
    assert [int(sample.mask(i).sum()) for i in range(4)] == [16, 0, 0, 16]
    assert expression_ids(sample) == ["0-0", "0-1", "0-2", "1-0"]
    assert sample.image.shape == (20, 30, 3) and sample.coco_id == 25


def test_what_is_neither_true_nor_false_is_refused_by_its_place(files):
    write(files, "unc", "exist", "no")
    with pytest.raises(InvalidInput, match=r"refs\(unc\)\.p: ref 0.*is true or false"):
        datasets.build("rrefcoco", split="val", root=files.root)
    (files.root / "refs(unc).p").unlink()
    with pytest.raises(MissingFile, match=r"docs/datasets\.md#rrefcoco"):
        datasets.build("rrefcoco+", split="val", root=files.root)


def answers(files, sample, masks: list[np.ndarray]):
    lines = [{"id": id, **encode_rle(mask)} for id, mask in zip(expression_ids(sample), masks, strict=True)]
    return files.bytes("masks.jsonl", "".join(f"{line}\n".replace("'", '"') for line in lines).encode())


def test_figures_of_masks_are_those_of_the_releases(files):
    """Of the first ref half is found and one of two false premises answered; the second ref is found exactly."""
    write(files, "unc", "exist", False)
    (sample,) = datasets.build("rrefcoco", split="val", root=files.root)
    half, invented, right = sample.mask(0), np.zeros((20, 30), bool), sample.mask(3)
    half[:, 4:] = False  # 8 of 16 pixels
    invented[10:14, 6:14] = True  # 32 pixels
    place = answers(files, sample, [half, invented, np.zeros_like(right), right])
    report = score_masks(place, "rrefcoco", split="val", root=files.root, protocols=["refsegformer", "sesame"])
    scale = 480 * 480 / (20 * 30)  # of a pixel on the square
    found = report.metrics["refsegformer"]
    assert found["oIoU"] == pytest.approx((8 + 16) / (16 + 16))
    assert found["mIoU"] == pytest.approx((0.5 + 1) / 2)
    assert found["mRR"] == 0.5  # of the one ref that has such sentences
    assert found["rIoU"] == pytest.approx((8 * scale / ((16 + 32) * scale) + 1) / 2)
    assert report.metrics["sesame"] == {"See": 3 / 4, "cIoU": pytest.approx(24 / 64)}
    assert report.metrics["standard"]["N-acc"] == 0.5
