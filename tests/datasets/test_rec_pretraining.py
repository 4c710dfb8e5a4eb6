"""Visual Genome's boxes, and the merged data for pretraining."""

import pytest

from refseg import datasets
from refseg.errors import InvalidInput
from refseg.preprocessing.transform import photographs
from refseg.recipes import find_recipe
from refseg.text.word_pieces import WordPieces
from refseg.training.data.sources import FileSource


def name(number: int) -> str:
    return f"COCO_train2014_{number:012d}.jpg"


@pytest.fixture
def parts(files):
    """COCO images 1 to 5: 2 is RefCOCO's val, 3 is RefCOCOg's test; the four training parts hold others' images."""
    images = {number: name(number) for number in range(1, 6)}
    instances = files.coco(images, {number * 10: (number, [files.square(0, 0)]) for number in images})
    refs = {
        "refcoco/refs(unc).p": [(1, "train"), (2, "val"), (3, "train")],
        "refcoco+/refs(unc).p": [(1, "train"), (2, "testA")],
        "refcocog/refs(umd).p": [(2, "train"), (3, "test"), (4, "train")],
        "refcocog/refs(google).p": [(1, "val"), (4, "train")],
    }
    for path, entries in refs.items():
        files.json(f"{path.split('/')[0]}/instances.json", instances)
        content = [files.ref(k, image, image * 10, "the cup", split=split) for k, (image, split) in enumerate(entries)]
        files.pickle(path, content)
    genome = [
        {"image_id": 101, "coco_id": 2, "width": 30, "height": 20},
        {"image_id": 102, "coco_id": None, "width": 30, "height": 20},
        {"image_id": 103, "coco_id": 5, "width": 30, "height": 20},
    ]

    def region(number: int, image: int, phrase: str, x: float = 1) -> dict:
        return {"region_id": number, "image_id": image, "phrase": phrase, "x": x, "y": 2, "width": 40, "height": 5}

    regions = [
        {"id": 101, "regions": [region(1, 101, "a cup")]},
        {"id": 102, "regions": [region(2, 102, "the sky", x=-4), region(3, 102, " ")]},
        {"id": 103, "regions": [region(4, 103, "a dog")]},
    ]
    files.json("visual_genome/image_data.json", genome)
    files.json("visual_genome/region_descriptions.json", regions)
    files.photograph("visual_genome/VG_100K/102.jpg")
    files.photograph("visual_genome/VG_100K_2/103.jpg")
    return files.root


def test_regions_have_boxes_clipped_to_the_image_and_no_masks(parts):
    genome = datasets.build("visual_genome", split="train", root=parts / "visual_genome")
    assert [sample.image_id for sample in genome] == ["101", "102", "103"]
    assert [expression.text for expression in genome[1].expressions] == ["the sky"]
    assert genome[1].box(0) == (0, 2, 30, 7)
    with pytest.raises(InvalidInput, match=r"visual_genome: expression 2: object 2: it has a box but no mask"):
        genome[1].mask(0)
    assert genome[1].image_path.parent.name == "VG_100K"
    assert genome[2].image_path.parent.name == "VG_100K_2"


def test_images_that_any_part_evaluates_on_are_left_out_of_all(parts):
    merged = datasets.build("rec_pretraining", split="train", root=parts)
    coco_ids = [sample.coco_id for sample in merged]
    assert coco_ids == [1, 1, 4, None, 5]
    assert merged.left_out == {"refcoco:unc": 1, "refcoco+:unc": 0, "refcocog:umd": 1, "visual_genome": 1}
    assert merged.expression_count == 5


def test_training_on_boxes_goes_through_every_expression_of_all_parts(parts, files):
    for number in (1, 4):
        files.photograph(f"images/train2014/{name(number)}")
    stage = find_recipe("cmirnet_refcoco_pretrained").stages[0].replace(images=5)
    data = stage.data.replace(settings={"root": str(parts)}, preprocessing=photographs(64), crop_from=None)
    source = FileSource(data, erases=False, validates=False)
    batch = source.batches(stage, WordPieces(20), (0, 0))[0]
    assert source.steps_per_epoch(stage) == 1 and len(set(batch.ids)) == 5
    assert (batch.truth.flatten(1).sum(1) > 0).all()


def test_ids_say_from_which_part_they_are(parts):
    merged = datasets.build("rec_pretraining", split="train", root=parts)
    assert [sample.image_id for sample in merged][:2] == ["refcoco-unc-1", "refcoco+-unc-1"]
    ids = [expression.id for sample in merged for expression in sample.expressions]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "refcoco-unc-0-0"


def test_further_sets_can_be_held_out_and_the_count_limited(parts):
    held_out = datasets.build("rec_pretraining", split="train", root=parts, held_out=["refcocog:google"])
    assert [sample.coco_id for sample in held_out] == [4, None, 5]
    some = datasets.build("rec_pretraining", split="train", root=parts, count=2)
    assert (len(some), some.expression_count, some[-1].image_id) == (2, 2, "refcoco+-unc-1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "val"}, "split train only, not 'val'; evaluate on its parts"),
        ({"split": "train", "parts": ["referit"]}, "cannot merge 'referit'; choose among refcoco,"),
        ({"split": "train", "count": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_merged_is_refused(parts, settings, message):
    with pytest.raises(InvalidInput, match=message):
        datasets.build("rec_pretraining", root=parts, **settings)


def test_the_authors_list_of_boxes_is_read(files):
    image = f"/data/coco/{name(1)}"
    (files.root / "rec.tsv").write_text(f'7\tthe "red" cup\t1.5,2,9,12\t{image}\n8\ta dog\t0,0,3,4\t{image}\n')
    files.photograph(f"images/train2014/{name(1)}")
    (sample,) = datasets.build("rec_boxes", split="train", root=files.root)
    assert [expression.text for expression in sample.expressions] == ['the "red" cup', "a dog"]
    assert (sample.box(0), sample.size_hw, sample.coco_id) == ((1.5, 2, 9, 12), (20, 30), 1)
    (files.root / "rec.tsv").write_text("7\tthe cup\t1.5,2,9\tx.jpg\n")
    with pytest.raises(InvalidInput, match=r"rec\.tsv: line 1 is not as the format says"):
        datasets.build("rec_boxes", split="train", root=files.root)


def test_the_authors_merged_refs_may_repeat_their_ids(files):
    files.json("combine.json", files.coco({1: name(1)}, {10: (1, [files.square(0, 0)])}))
    files.pickle("combine.p", [files.ref(0, 1, 10, "the cup"), files.ref(0, 1, 10, "a cup")])
    (sample,) = datasets.build("rec_combined", split="train", root=files.root)
    assert [expression.id for expression in sample.expressions] == ["0-0", "1-0"]
    assert sample.mask(0).sum() == 16
