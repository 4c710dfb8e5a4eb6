import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from refseg import datasets
from refseg.datasets.tools import published_counts
from refseg.datasets.tools.check import examine
from refseg.datasets.tools.kinds import count_kinds
from refseg.datasets.tools.no_target import check_no_target
from refseg.datasets.tools.published_counts import Count


def name_of(image: int) -> str:
    return f"{image:012d}.jpg"


@pytest.fixture
def healthy(files) -> SimpleNamespace:
    """Four images in two splits with an object and an expression each; change `refs` or `instances`, then `check`."""
    images = {image: name_of(image) for image in (1, 2, 3, 4)}
    for image, name in images.items():
        photograph(files.root / "images" / name, seed=image)
    files.instances = files.coco(images, {10 * image: (image, [files.square(2, 3)]) for image in images})
    for annotation in files.instances["annotations"]:
        annotation["bbox"] = [2.0, 3.0, 4.0, 4.0]
    splits = {1: "train", 2: "train", 3: "val", 4: "val"}
    files.refs = [files.ref(image, image, 10 * image, f"cup {image}", split=split) for image, split in splits.items()]

    def check(name: str = "refer", against=(), **options):
        files.json("instances.json", files.instances)
        files.json("refs(unc).json", files.refs)
        findings = examine(datasets.build(name, split="all", root=files.root), against, **options)
        return {finding.check: finding for finding in findings}

    files.check = check
    return files


def photograph(path, seed: int, size: tuple[int, int] = (30, 20)) -> None:
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def problems(found) -> set[str]:
    return {check for check, finding in found.items() if finding.verdict == "problem"}


def test_a_healthy_data_set_has_no_problem(healthy):
    found = healthy.check()
    assert {finding.verdict for finding in found.values()} == {"ok", "skipped"}
    assert [check for check, finding in found.items() if finding.verdict == "skipped"] == ["counts"]


def test_expressions_that_refer_to_nothing_are_a_problem_where_there_are_no_others(healthy):
    healthy.refs[2]["ann_id"] = [-1]
    assert healthy.check()["no-target"].verdict == "ok"
    healthy.refs[3]["ann_id"] = [-1]  # and with it all of split val
    finding = healthy.check()["no-target"]
    assert (finding.verdict, finding.count) == ("problem", 2)
    assert finding.examples == ("split val: 2 of 2 (100%)",)


@pytest.mark.parametrize(
    ("name", "none", "verdict", "what"),
    [
        ("jsonl", 5, "ok", "expressions that refer to nothing"),
        ("jsonl", 11, "note", "expressions that refer to nothing, unusually many"),
        ("jsonl", 20, "problem", "expressions that refer to nothing, and there are no others"),
        ("refcoco", 1, "problem", "expressions that refer to nothing; refcoco is published without any"),
        ("refcoco", 0, "ok", "expressions that refer to nothing"),
        ("grefcoco", 0, "note", "expressions that refer to nothing; grefcoco is published with some"),
        ("grefcoco", 3, "ok", "expressions that refer to nothing"),
    ],
)
def test_expressions_that_refer_to_nothing_are_compared_with_what_a_set_is_known_for(name, none, verdict, what):
    finding = check_no_target(name, {"train": [0] * none + [1] * (20 - none), "val": []})
    assert (finding.verdict, finding.count, finding.what) == (verdict, none, what)


def test_a_missing_image_is_named(healthy):
    (healthy.root / "images" / name_of(2)).unlink()
    found = healthy.check()
    assert problems(found) == {"images missing"}
    assert found["images missing"].examples == (f"{name_of(2)} (image 2)",)


@pytest.mark.parametrize("content", ["cut off", "a web page", "nothing"])
def test_an_image_that_cannot_be_decoded_is_named(healthy, content):
    path = healthy.root / "images" / name_of(2)
    jpeg = path.read_bytes()
    path.write_bytes({"cut off": jpeg[: len(jpeg) // 2], "a web page": b"<html>", "nothing": b""}[content])
    found = healthy.check()
    assert problems(found) == {"images unreadable"}
    assert str(path) in found["images unreadable"].examples[0]


@pytest.mark.parametrize("fast", [False, True])
def test_an_image_of_another_size_is_named_with_both_sizes(healthy, fast):
    photograph(healthy.root / "images" / name_of(2), seed=2, size=(15, 10))
    found = healthy.check(fast=fast)
    assert problems(found) == {"image sizes"}
    assert "15 x 10 pixels, its annotations are for 30 x 20 pixels" in found["image sizes"].examples[0]


def test_fast_says_what_it_left_out(healthy):
    path = healthy.root / "images" / name_of(2)
    path.write_bytes(path.read_bytes()[:-200])
    found = healthy.check(fast=True)
    assert not problems(found) and found["masks"].verdict == "skipped"


def test_ids_that_occur_twice_are_named(healthy):
    healthy.instances["annotations"].append(healthy.instances["annotations"][0] | {"bbox": [2.0, 3.0, 4.0, 5.0]})
    healthy.instances["images"].append(healthy.instances["images"][1])
    healthy.refs.append(healthy.ref(3, 4, 40, "the cup", split="val", sent_ids=[77]))
    healthy.refs[-1]["sentences"][0]["sent_id"] = 77
    with pytest.warns(UserWarning, match="2 ids are given more than once"):
        found = healthy.check()
    assert problems(found) == {"repeated ids"}
    assert set(found["repeated ids"].examples) == {"annotation 10", "image 2"}
    assert found["repeated refs"].verdict == "note" and found["repeated refs"].examples == ("ref 3",)


def turn(path, orientation: int) -> None:
    """Stores a photograph so that EXIF turns it to what it was."""
    exif = Image.Exif()
    exif[0x112] = orientation
    with Image.open(path) as image:
        stored = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
        image.transpose(stored).save(path, exif=exif)


def test_an_orientation_in_exif_is_a_note(healthy):
    path = healthy.root / "images" / name_of(2)
    turn(path, 3)
    found = healthy.check()
    assert not problems(found)
    assert (found["EXIF orientation"].verdict, found["EXIF orientation"].examples) == ("note", (str(path),))


@pytest.mark.parametrize("fast", [False, True])
def test_annotations_for_the_turned_photograph_are_a_problem(healthy, fast):
    turn(healthy.root / "images" / name_of(2), 6)
    found = healthy.check(fast=fast)
    assert problems(found) == {"EXIF sizes"}
    assert "20 x 30 pixels, its annotations are for 30 x 20 pixels" in found["EXIF sizes"].examples[0]


def test_transparency_and_depth_are_notes(healthy):
    images = healthy.root / "images"
    shape = (20, 30)
    for number, pixels in {
        1: np.dstack([np.full((*shape, 3), 90, np.uint8), np.eye(*shape, dtype=np.uint8) * 255]),
        2: np.dstack([np.full((*shape, 3), 80, np.uint8), np.full(shape, 255, np.uint8)]),
        3: np.full(shape, 7000, np.uint16),
    }.items():
        Image.fromarray(pixels).save(images / name_of(number), "PNG")
    found = healthy.check()
    assert not problems(found)
    assert found["transparency"].examples == (str(images / name_of(1)),)
    assert [example.split(" (")[0] for example in found["bit depth"].examples] == [str(images / name_of(3))]


def test_a_float_image_that_cannot_be_scaled_is_unreadable(healthy):
    path = healthy.root / "images" / name_of(2)
    Image.fromarray(np.full((20, 30), 250, np.float32)).save(path, "TIFF")
    found = healthy.check()
    assert problems(found) == {"images unreadable"} and "must lie in 0 to 1" in found["images unreadable"].examples[0]


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-8-sig", "UTF-8 with a byte-order mark"), ("utf-16", "UTF-16 with")]
)
def test_texts_that_others_may_not_read_are_a_note(healthy, encoding, said):
    healthy.check()
    path = healthy.root / "refs(unc).json"
    path.write_text(path.read_text(), encoding=encoding)
    found = {finding.check: finding for finding in examine(datasets.build("refer", split="all", root=healthy.root))}
    assert found["encodings"].verdict == "note" and said in found["encodings"].examples[0]


def lines_with(healthy, *masks: str):
    """Findings about a .jsonl whose expressions have these files as masks."""
    lines = [{"image": f"images/{name_of(1)}", "expression": f"cup {mask}", "mask": mask} for mask in masks]
    (healthy.root / "mine.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    findings = examine(datasets.build("jsonl", split="all", root=healthy.root / "mine.jsonl"))
    return {finding.check: finding for finding in findings}


def test_mask_files_of_more_than_two_values_are_a_note(healthy):
    mask = Image.new("L", (30, 20))
    mask.paste(255, (4, 4, 20, 16))
    mask.save(healthy.root / "sharp.png")
    mask.putpixel((4, 4), 100)
    mask.save(healthy.root / "soft.png")
    found = lines_with(healthy, "sharp.png", "soft.png")
    assert not problems(found)
    assert (found["mask values"].verdict, found["mask values"].count) == ("note", 1)
    assert found["mask values"].examples[0].endswith("soft.png")


def test_a_mask_file_for_the_turned_photograph_is_told_of_exif(healthy):
    turn(healthy.root / "images" / name_of(1), 6)
    Image.fromarray(np.eye(20, 30, dtype=np.uint8) * 255).save(healthy.root / "cup.png")
    found = lines_with(healthy, "cup.png")
    assert problems(found) == {"masks unreadable"}
    assert "turned as EXIF says it is 30 x 20 pixels" in found["masks unreadable"].examples[0]


@pytest.mark.parametrize("segmentation", [[], [[100, 100, 110, 100, 110, 110]]])
def test_an_object_without_a_pixel_is_named(healthy, segmentation):
    healthy.instances["annotations"][1]["segmentation"] = segmentation
    found = healthy.check()
    assert problems(found) == {"masks empty"}
    assert found["masks empty"].examples == ("object 20 in image 2",)
    assert (found["masks outside"].verdict == "note") == bool(segmentation)


def test_a_mask_of_another_size_is_named(healthy):
    healthy.instances["annotations"][1]["segmentation"] = {"size": [5, 5], "counts": [5, 20]}
    assert problems(healthy.check()) == {"masks unreadable"}


def test_an_annotation_that_is_not_there_is_named(healthy):
    del healthy.instances["annotations"][1]
    found = healthy.check()
    assert problems(found) == {"annotations missing"}
    assert found["annotations missing"].examples == ("object 20",)


def test_a_crowd_as_referent_is_a_note(healthy):
    healthy.instances["annotations"][1]["iscrowd"] = 1
    assert healthy.check()["crowds"].verdict == "note"


def test_an_image_in_two_splits_leaks(healthy):
    healthy.refs.append(healthy.ref(9, 1, 10, "the cup", split="val"))
    found = healthy.check()
    assert problems(found) == {"leaks"}
    assert found["leaks"].examples == ("image 1 in train and val",)


def test_a_photograph_under_another_name_leaks_too(healthy):
    images = healthy.root / "images"
    (images / name_of(3)).write_bytes((images / name_of(1)).read_bytes())
    assert healthy.check()["leaks"].examples == ("image 1 = image 3 in train and val",)


def test_a_copy_within_a_split_is_a_note(healthy):
    images = healthy.root / "images"
    (images / name_of(2)).write_bytes((images / name_of(1)).read_bytes())
    found = healthy.check()
    assert not problems(found) and found["copies"].examples == ("image 1 = image 2",)


def test_parts_of_one_test_may_share_images(healthy):
    for ref, split in zip(healthy.refs, ("testA", "testB", "val", "val"), strict=True):
        ref["split"] = split
    healthy.refs.append(healthy.ref(9, 1, 10, "the cup", split="testB"))
    assert healthy.check()["leaks"].verdict == "ok"


def test_a_photograph_that_another_set_tests_on_leaks(healthy, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    instances = healthy.coco({1: name_of(1)}, {10: (1, [healthy.square(0, 0)])})
    (other / "instances.json").write_text(json.dumps(instances))
    (other / "refs(unc).json").write_text(json.dumps([healthy.ref(1, 1, 10, "cup", split="testA")]))
    found = healthy.check(against=[datasets.build("refer", split="all", root=other)])
    assert problems(found) == {"leaks, refer"}
    assert found["leaks, refer"].examples == ("of refer train in refer testA: 1, for example COCO 1",)


def test_sentences_that_cannot_be_answered_are_told_apart(healthy):
    healthy.instances["annotations"].append(healthy.instances["annotations"][0] | {"id": 11})
    healthy.refs += [
        healthy.ref(5, 1, 10, "Cup 1!"),  # again about object 10
        healthy.ref(6, 1, 11, "cup 1"),
        healthy.ref(7, 1, 11, " ?"),
    ]
    found = healthy.check()
    assert problems(found) == {"empty expressions"}
    assert found["empty expressions"].examples == ("expression 7-70 about image 1",)
    assert found["repeated"].examples == ("'Cup 1!' about image 1",)
    assert found["ambiguous"].examples == ("'cup 1' about image 1",)


def test_expressions_are_counted_that_a_limit_cuts(healthy):
    healthy.refs += [healthy.ref(n, 1, 10, " ".join(["cup"] * length)) for n, length in ((5, 18), (6, 19), (7, 16))]
    found = healthy.check(tokens=[4])
    assert {check: found[check].count for check in found if check[:2].strip().isdigit()} == {
        "20 BERT word pieces": 1,
        "17 CLIP byte pairs": 3,
        "22 CLIP byte pairs": 0,
        "4 BERT word pieces": 3,
    }


def test_words_with_a_side_inside_are_listed_apart_from_sides(healthy):
    healthy.refs += [healthy.ref(5, 1, 10, "left bright cup", "upright cup, bright")]
    found = healthy.check()
    assert found["left and right"].count == 1 and found["swapped words"].verdict == "ok"
    assert found["words left alone"].examples == ("bright (2)", "upright (1)")


def test_counts_other_than_the_published_ones_are_named(healthy, monkeypatch):
    known = {"train": Count(2, 2, 2), "val": Count(2, 3, None), "test": Count()}
    monkeypatch.setitem(published_counts.PUBLISHED, ("refcoco", "unc"), known)
    healthy.refs[0]["split"] = "dev"
    found = healthy.check("refcoco")
    assert problems(found) == {"counts"}
    assert found["counts"].examples == (
        "split 'dev' is none of train, val, test",
        "split train has 1 image, published are 2",
        "split train has 1 ref, published are 2",
        "split train has 1 expression, published are 2",
        "split val has 2 refs, published are 3",
        "split test is missing",
    )


def test_published_counts_equal_the_totals_that_papers_print():
    for name, total in (("refcoco", (50_000, 142_210)), ("refcoco+", (49_856, 141_564))):
        splits = published_counts.PUBLISHED[name, "unc"].values()
        assert (sum(split.refs for split in splits), sum(split.expressions for split in splits)) == total


def test_the_real_set_is_healthy(realset, monkeypatch, tmp_path):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path))
    dataset = datasets.build("refer", split="all", root=realset, grefs=True)
    found = {finding.check: finding for finding in examine(dataset)}
    assert not problems(found)
    assert found["repeated"].count == 8


@pytest.fixture
def zom(files):
    """Ref-ZOM in small: of five objects one is named alone, three with others, one both; two images have nothing."""
    annotations = {number: (1 + number % 2, [files.square(number, 3)]) for number in range(5)}
    files.json("instances.json", files.coco({1: name_of(1), 2: name_of(2)}, annotations))
    targets = [([1], "train"), ([1, 3], "train"), ([0, 2, 4], "test"), ([0], "test")]
    refs = [files.ref(n, 1 + some[0] % 2, some, f"cups {n}", split=split) for n, (some, split) in enumerate(targets)]
    zeros = [files.ref(9 + image, image, 99, "a whale", split="test", source="zero") for image in (1, 2)]
    files.json("refs(final).json", refs + zeros)
    for image in (1, 2):
        photograph(files.root / "images" / name_of(image), seed=image)
    return datasets.build("refzom", split="all", root=files.root, images=files.root / "images")


def test_objects_of_refzom_are_counted_by_how_many_are_named_at_once(zom):
    assert count_kinds(zom, "all") == {"objects": 5, "one-to-one": 2, "one-to-many": 5, "one-to-zero": 2}
    assert count_kinds(zom, "train") == {"objects": 2, "one-to-one": 1, "one-to-many": 2, "one-to-zero": 0}


def test_counts_of_refzom_are_compared_with_those_of_its_paper_as_a_note(zom, monkeypatch):
    (finding,) = [one for one in examine(zom) if one.check == "counts of the paper"]
    assert finding.verdict == "note" and finding.count == 8
    assert "expressions of split train name 2 objects, in the paper 58,356" in finding.examples
    assert "one-to-zero: 2 images, in the paper 11,937" in finding.examples
    kinds = {"one-to-one": 2, "one-to-many": 5, "one-to-zero": 2}
    own = published_counts.PaperCounts("ours", {"train": (1, 2), "test": (2, 3)}, kinds)
    monkeypatch.setitem(published_counts.OF_PAPERS, ("refzom", "final"), own)
    assert [one.verdict for one in examine(zom) if one.check == "counts of the paper"] == ["ok"]
