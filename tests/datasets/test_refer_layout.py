"""RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO, Ref-ZOM and free folders, in files as they are given out."""

import pickle

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile

ONE, TWO, THREE = (f"COCO_train2014_{number:012d}.jpg" for number in (1, 2, 3))


@pytest.fixture
def refcoco(files):
    """Three images; image 2 comes first in the refs. `refcoco(...)` is its split."""
    crowd = {"counts": [0, 40, 560], "size": [20, 30]}
    annotations = {
        11: (1, [files.square(2, 2), files.square(4, 2)]),
        12: (1, [files.square(10, 10), [1, 1, 5, 5]]),
        21: (2, [files.square(0, 0)]),
        31: (3, crowd, True),
        99: (1, [files.square(20, 10)]),
    }
    refs = [
        files.ref(0, 2, 21, "The Café.", "left one", split="testA"),
        files.ref(1, 1, 11, "Red Cup.", split="testA"),
        files.ref(2, 2, 21, "another", split="testA"),
        files.ref(3, 3, 31, "the crowd", split="testB"),
        files.ref(4, 1, 12, "plate", split="train"),
    ]
    files.json("refcoco/instances.json", files.coco({1: ONE, 2: TWO, 3: THREE}, annotations))
    files.pickle("refcoco/refs(unc).p", refs, python2=True)
    for name, mode in ((ONE, "RGB"), (TWO, "L"), (THREE, "RGB")):
        files.photograph(f"images/train2014/{name}", mode)
    return lambda split, **settings: datasets.build("refcoco", split=split, root=files.root / "refcoco", **settings)


def test_a_sample_is_an_image_with_its_expressions_in_order_of_first_appearance(refcoco):
    test_a = refcoco("testA")
    assert (len(test_a), test_a.ref_count, test_a.expression_count) == (2, 3, 4)
    first, second = test_a
    assert (first.image_id, second.image_id) == ("2", "1")
    assert [expression.text for expression in first.expressions] == ["The Café.", "left one", "another"]
    assert [expression.id for expression in first.expressions] == ["0-0", "0-1", "2-20"]
    assert first.expressions[0].targets == first.expressions[2].targets != second.expressions[0].targets
    assert (first.coco_id, first.size_hw) == (2, (20, 30))


def test_cleaned_sentences_are_an_option(refcoco):
    assert [expression.text for expression in refcoco("testA", text="sent")[1].expressions] == ["red cup"]


def test_a_mask_is_the_union_of_polygons_and_the_quirk_loses_what_is_covered_twice(refcoco):
    expected = np.zeros((20, 30), np.bool_)
    expected[2:6, 2:8] = True
    assert (refcoco("testA")[1].mask(0) == expected).all()
    expected[2:6, 4:6] = False
    quirk = refcoco("testA", covered_twice="lost")[1]
    assert (quirk.mask(0) == expected).all()
    assert (quirk.referents(0) == expected[None]).all()


def test_box_is_the_annotated_one(refcoco):
    assert refcoco("testA")[1].box(0) == (2.5, 3.0, 6.5, 8.0)


def test_crowds_belong_to_masks_but_not_to_masks_at_another_size(refcoco):
    (sample,) = refcoco("testB")
    assert sample.mask(0).sum() == 40
    assert not sample.mask_at(0, (40, 60)).any()


def test_grey_photographs_become_rgb_and_none_is_turned_by_exif(refcoco, files):
    assert refcoco("testA")[0].image.shape == (20, 30, 3)
    with Image.open(files.root / "images/train2014" / ONE) as image:
        exif = image.getexif()
        exif[274] = 6  # orientation: a quarter turn
        image.save(files.root / "images/train2014" / ONE, exif=exif)
    assert refcoco("testA")[1].image.shape == (20, 30, 3)


@pytest.mark.parametrize(("split", "images"), [("test", 3), ("testA", 2), ("testB", 1), ("train", 1), ("all", 3)])
def test_splits_are_matched_as_the_reference_loader_does(refcoco, split, images):
    assert len(refcoco(split)) == images


def test_count_takes_the_first_images(refcoco):
    some = refcoco("test", count=2)
    assert [sample.image_id for sample in some] == ["2", "1"]
    assert (some.expression_count, some.ref_count) == (4, 3)
    assert some[-1].image_id == "1"
    with pytest.raises(IndexError):
        some[2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "val"}, r"refcoco \(unc\) has no split 'val'; .*refcoco holds testA, testB, train"),
        ({"split": "train", "split_by": "umd"}, "refcoco is not split by 'umd'; choose one of: unc, google"),
        ({"split": "train", "text": "tokens"}, "text .*raw.* or .*sent"),
        ({"split": "train", "covered_twice": "no"}, "covered_twice .*kept.* or .*lost"),
        ({"split": "train", "count": 0}, "count is the number of images, 1 or more"),
        (
            {"split": "train", "tier": "easy"},
            "refcoco has no setting tier; it takes split, split_by, reviewed, root",
        ),
    ],
)
def test_settings_that_are_not_allowed_are_refused(refcoco, settings, message):
    with pytest.raises(InvalidInput, match=message):
        refcoco(**settings)


def test_what_is_missing_is_named_with_the_place_to_get_it(refcoco, files, monkeypatch):
    with pytest.raises(MissingFile, match=r"refs\(google\)\.p is missing; docs/datasets\.md#refcoco says where"):
        refcoco("train", split_by="google")
    (files.root / "images/train2014" / ONE).unlink()
    with pytest.raises(MissingFile, match=rf"{ONE} is missing \(not in .*train2014.*docs/datasets\.md#refcoco"):
        refcoco("train")[0].image  # noqa: B018
    (files.root / "refcoco/instances.json").unlink()
    with pytest.raises(MissingFile, match=r"instances\.json is missing; docs/datasets\.md#refcoco"):
        refcoco("train")
    monkeypatch.delenv("REFSEG_DATA", raising=False)
    with pytest.raises(MissingFile, match=r"give its folder, such as root='data/.*REFSEG_DATA"):
        datasets.build("refcoco", split="train")
    with pytest.raises(MissingFile, match=r"refcoco is missing; docs/datasets\.md#refcoco"):
        datasets.build("refcoco", split="train", root=files.root / "elsewhere" / "refcoco")


def test_data_are_found_below_refseg_data(refcoco, files, monkeypatch):
    monkeypatch.setenv("REFSEG_DATA", str(files.root))
    assert len(datasets.build("refcoco", split="testA")) == 2


def test_images_may_lie_in_several_folders_elsewhere(refcoco, files, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    (files.root / "images/train2014" / ONE).rename(one / ONE)
    (files.root / "images/train2014" / TWO).rename(two / TWO)
    assert [sample.image_path.parent.name for sample in refcoco("testA", images=[one, two])] == ["two", "one"]
    with pytest.raises(MissingFile, match="nowhere is missing"):
        refcoco("testA", images=tmp_path / "nowhere")


def test_a_damaged_photograph_and_one_of_another_size_are_named(refcoco, files):
    path = files.root / "images/train2014" / ONE
    Image.new("RGB", (9, 9)).save(path)
    with pytest.raises(InvalidInput, match=f"{ONE} is 9 x 9 pixels, its annotations are for 30 x 20"):
        refcoco("train")[0].image  # noqa: B018
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidInput, match=f"{ONE} cannot be decoded"):
        refcoco("train")[0].image  # noqa: B018


@pytest.mark.parametrize("annotations", [{}, {55: (2, [[0, 0, 4, 0, 4, 4]])}])
def test_an_annotation_that_is_not_there_or_of_another_image_is_told_when_its_mask_is_asked_for(files, annotations):
    files.json("instances.json", files.coco({1: ONE, 2: TWO}, annotations))
    files.json("refs(mine).json", [files.ref(0, 1, 55, "the cup")])
    (sample,) = datasets.build("refer", split="train", root=files.root)
    with pytest.raises(InvalidInput, match=r"expression 0-0: object 55: it is not among the annotations"):
        sample.mask(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 5}, r"ref 0: image 5 is not in .*instances\.json"),
        ({"sentences": None}, "ref 0 is not as the format says"),
        ({"sentences": [{"sent_id": 3}]}, "ref 0 has no 'sent'"),
    ],
)
def test_refs_that_are_not_as_the_format_says_are_named(files, change, message):
    files.json("instances.json", files.coco({1: ONE}, {11: (1, [])}))
    files.json("refs(mine).json", [files.ref(0, 1, 11, "the cup") | change])
    with pytest.raises(InvalidInput, match=message):
        datasets.build("refer", split="train", root=files.root)
    files.json("refs(mine).json", {"refs": []})
    with pytest.raises(InvalidInput, match=r"refs\(mine\)\.json holds a dict, not a list of ref"):
        datasets.build("refer", split="train", root=files.root)
    (files.root / "refs(mine).json").write_text('[{"ref_id": ')
    with pytest.raises(InvalidInput, match=r"refs\(mine\)\.json is damaged or not JSON"):
        datasets.build("refer", split="train", root=files.root)


def test_annotations_that_are_not_as_the_format_says_are_refused(files):
    content = files.coco({1: ONE}, {11: (1, [files.square(0, 0)])})
    files.json("refs(mine).json", [files.ref(0, 1, 11, "the cup")])
    for change in ({"id": [11]}, {"bbox": ["a", 1, 2, 3]}):
        files.json("instances.json", content | {"annotations": [content["annotations"][0] | change]})
        with pytest.raises(InvalidInput, match="not as (its|the) format says|an id is a number or a text"):
            datasets.build("refer", split="train", root=files.root)
    files.json("instances.json", {"images": []})
    with pytest.raises(InvalidInput, match=r"instances\.json has no 'annotations'"):
        datasets.build("refer", split="train", root=files.root)


def test_a_polygon_that_is_none_is_named_by_its_annotation(files):
    files.json("instances.json", files.coco({1: ONE}, {11: (1, [[1, 2, 3]])}))
    files.json("refs(mine).json", [files.ref(0, 1, 11, "the cup")])
    with pytest.raises(InvalidInput, match=r"instances\.json: annotation 11: a polygon is"):
        datasets.build("refer", split="train", root=files.root)


@pytest.mark.parametrize(
    ("image", "annotation", "named"), [("1", 11, ("1", "11")), (1, "11", (1, 11)), (1, 11, (1.0, 11.0))]
)
def test_ids_as_texts_and_as_numbers_are_the_same(files, image, annotation, named):
    files.json("instances.json", files.coco({image: ONE}, {annotation: (1, [files.square(0, 0)])}))
    files.json("refs(mine).json", [files.ref(0, named[0], named[1], "the cup")])
    (sample,) = datasets.build("refer", split="train", root=files.root)
    assert (sample.image_id, sample.mask(0).sum()) == ("1", 16)


def test_no_target_may_be_a_text(files):
    files.json("instances.json", files.coco({1: ONE}, {}))
    files.json("grefs(mine).json", [files.ref(0, 1, ["-1"], "the cup")])
    (sample,) = datasets.build("refer", split="train", root=files.root)
    assert sample.expressions[0].targets == ()


def test_an_id_of_annotations_of_two_images_means_the_one_in_the_image_of_the_ref(files):
    content = files.coco({1: ONE, 2: "two.jpg"}, {11: (1, [files.square(0, 0)])})
    content["annotations"].append(content["annotations"][0] | {"image_id": 2, "segmentation": [files.square(10, 10)]})
    files.json("instances.json", content)
    files.json("refs(mine).json", [files.ref(0, 1, 11, "the cup"), files.ref(1, 2, 11, "the cup")])
    with pytest.warns(UserWarning, match=r"1 ids are given more than once \(annotation 11\)"):
        first, second = datasets.build("refer", split="train", root=files.root)
    assert first.mask(0)[0, 0] and not first.mask(0)[10, 10] and second.mask(0)[10, 10]


def test_an_id_of_two_annotations_of_an_image_is_warned_of_each_time(files):
    content = files.coco({1: ONE}, {11: (1, [files.square(0, 0)])})
    files.json("instances.json", content | {"annotations": content["annotations"] * 2})
    files.json("refs(mine).json", [files.ref(0, 1, 11, "the cup")])
    for _ in range(2):
        with pytest.warns(UserWarning, match="of which the last one in the image counts"):
            datasets.build("refer", split="train", root=files.root)


def test_refcocog_google_has_no_test_part(files):
    files.json("instances.json", files.coco({1: ONE}, {11: (1, [files.square(0, 0)])}))
    files.pickle("refs(google).p", [files.ref(0, 1, 11, "a", split="train"), files.ref(1, 1, 11, "b", split="val")])
    google = {"root": files.root, "split_by": "google"}
    assert datasets.build("refcocog", split="val", **google).expression_count == 1
    with pytest.raises(InvalidInput, match=r"refcocog \(google\) has no split 'test'; .* holds train, val"):
        datasets.build("refcocog", split="test", **google)


def test_refclef_has_ids_that_are_texts_and_masks_of_several_run_lengths(files):
    def rle(*box: int) -> dict:
        mask = np.zeros((20, 30), np.uint8)
        mask[box[1] : box[3], box[0] : box[2]] = 1
        found = coco.encode(np.asfortranarray(mask))
        return {"counts": found["counts"].decode(), "size": found["size"]}

    instances = files.coco({9739: "9739.jpg"}, {"9739_7": (9739, [rle(0, 0, 5, 5), rle(4, 4, 9, 9)])})
    for annotation in instances["annotations"]:
        del annotation["iscrowd"]
        annotation["mask_name"] = "9739_7"
    files.json("refclef/instances.json", instances)
    refs = [
        files.ref(0, 9739, "9739_7", "sky", split="testAB"),
        files.ref(1, 9739, "9739_7", "bldng", split="testC"),
    ]
    files.pickle("refclef/refs(unc).p", refs, python2=True)
    files.pickle("refclef/refs(berkeley).p", [files.ref(0, 9739, "9739_7", "sky", split="val")])
    files.photograph("images/saiapr_tc-12/9739.jpg")
    root = files.root / "refclef"
    texts = {
        split: datasets.build("refclef", split=split, split_by="unc", root=root)[0].expressions[0].text
        for split in ("testA", "testB", "testC")
    }
    assert texts == {"testA": "sky", "testB": "sky", "testC": "bldng"}
    (sample,) = datasets.build("refclef", split="trainval", root=root)
    assert sample.mask(0).sum() == 25 + 25 - 1
    assert sample.image.shape == (20, 30, 3)


def test_grefcoco_names_several_one_or_none_and_leaves_crowds_out(files):
    annotations = {
        11: (1, [files.square(0, 0)]),
        12: (1, [files.square(10, 10)]),
        13: (1, {"counts": [600 - 4, 4], "size": [20, 30]}, True),
    }
    files.json("instances.json", files.coco({1: ONE}, annotations))
    refs = [
        files.ref(0, 1, [11, 12], "both", split="val", no_target=False),
        files.ref(1, 1, [-1], "the cat", split="val", no_target=True, category_id=[-1]),
        files.ref(2, 1, 12, "the lower one", split="val"),
        files.ref(3, 1, [11, 13], "all", split="val"),
    ]
    files.json("grefs(unc).json", refs)
    (sample,) = datasets.build("grefcoco", split="val", root=files.root)
    assert [len(expression.targets) for expression in sample.expressions] == [2, 0, 1, 2]
    assert [int(sample.mask(k).sum()) for k in range(4)] == [32, 0, 16, 16]
    assert sample.referents(0).shape == (2, 20, 30)
    assert sample.referents(1).shape == (0, 20, 30)
    assert sample.box(1) is None
    assert sample.mask_at(0, (40, 60)).sum() == 4 * 32


def test_refzom_has_zero_one_and_many_in_photographs_of_two_folders(files):
    val = "COCO_val2014_000000000007.jpg"
    annotations = {11: (1, [files.square(0, 0)]), 12: (1, [files.square(10, 10)]), 71: (7, [files.square(5, 5)])}
    files.json("ref-zom/instances.json", files.coco({1: ONE, 7: val}, annotations))
    refs = [
        files.ref(0, 1, [11, 12], "both", split="test", source="many"),
        files.ref(1, 7, 999, "of another image", split="test", source="zero"),
        files.ref(2, 7, 71, "the cup", split="test"),
    ]
    files.pickle("ref-zom/Ref-ZOM(final).p", refs)
    files.photograph(f"images/train2014/{ONE}")
    files.photograph(f"images/val2014/{val}")
    first, second = datasets.build("refzom", split="test", root=files.root / "ref-zom")
    assert first.mask(0).sum() == 32
    assert [expression.targets == () for expression in second.expressions] == [True, False]
    assert second.image_path.parent.name == "val2014"


def test_a_folder_of_drawn_scenes_is_read_with_types_and_kinds(tmp_path, monkeypatch):
    from refseg.datasets.drawn_scenes.dataset import DrawnScenes
    from refseg.datasets.drawn_scenes.export import export

    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    scenes = DrawnScenes("val", 2)
    (tmp_path / "drawn").mkdir()
    export(scenes, tmp_path / "drawn")
    read = datasets.build("refer", split="val", root=tmp_path / "drawn")
    for scene, sample in zip(scenes, read, strict=True):
        assert (sample.image == scene.image).all()
        for index, (one, other) in enumerate(zip(scene.expressions, sample.expressions, strict=True)):
            assert (one.text, one.type, one.kind) == (other.text, other.type, other.kind)
            assert (scene.mask(index) == sample.mask(index)).all()


def test_a_folder_with_several_files_of_refs_asks_which(files):
    files.json("instances.json", files.coco({1: ONE}, {11: (1, [])}))
    for name in ("refs(a)", "refs(b)", "grefs(a)"):
        files.json(f"{name}.json", [files.ref(0, 1, 11, name)])
    with pytest.raises(InvalidInput, match=r"has grefs\(a\), refs\(a\), refs\(b\); it takes .*split_by=.*grefs="):
        datasets.build("refer", split="train", root=files.root)
    for settings, name in (
        ({"split_by": "b"}, "refs(b)"),
        ({"grefs": True}, "grefs(a)"),
        ({"split_by": "a"}, "refs(a)"),
    ):
        (sample,) = datasets.build("refer", split="train", root=files.root, **settings)
        assert sample.expressions[0].text == name


def test_a_malicious_pickle_in_a_data_set_is_refused(files):
    files.json("instances.json", files.coco({1: ONE}, {}))
    (files.root / "refs(unc).p").write_bytes(b"cos\nsystem\n(S'touch harmed'\ntR.")
    with pytest.raises(InvalidInput, match=r"refs\(unc\)\.p wants to run os\.system"):
        datasets.build("refcoco", split="train", root=files.root)
    assert not (files.root / "harmed").exists()


def test_a_data_set_goes_to_a_worker_without_its_arrays(refcoco):
    test = refcoco("test")
    again = pickle.loads(pickle.dumps(test))
    assert len(pickle.dumps(test)) < 5000
    assert [sample.expressions for sample in again] == [sample.expressions for sample in test]
    assert (again[1].mask(0) == test[1].mask(0)).all()


@pytest.mark.parametrize(
    ("split", "grefs", "counts"),
    [
        ("train", False, (618, 1401)),
        ("val", False, (140, 286)),
        ("test", False, (257, 624)),
        ("all", False, (1015, 2311)),
        ("train", True, (214, 1323, 2273)),
        ("val", True, (50, 294, 467)),
        ("test", True, (55, 461, 888)),
        ("all", True, (319, 2078, 3628)),
    ],
)
def test_realset_has_the_counts_of_its_description(realset, tmp_path, monkeypatch, split, grefs, counts):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path))
    real = datasets.build("refer", split=split, root=realset, grefs=grefs)
    assert (len(real), real.ref_count, real.expression_count)[-len(counts) :] == counts


def test_every_photograph_and_mask_of_realset_is_read(realset, tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path))
    kinds = []
    for sample in datasets.build("refer", split="val", root=realset, grefs=True):
        assert sample.image.shape == (*sample.size_hw, 3)
        for index, expression in enumerate(sample.expressions):
            assert sample.mask(index).any() == bool(expression.targets) == (expression.kind != "zero")
            kinds.append(expression.kind)
    assert {"one", "many", "zero"} == set(kinds)


def test_all_annotated_objects_are_known_with_their_classes_whether_an_expression_names_them_or_not(refcoco, files):
    sample = refcoco("testA")[1]
    found = sample.annotated_objects()
    assert [thing.name for thing in found.objects] == ["cup"] * 3 and found.classes == ("cup",)
    assert found.objects[0].box_xyxy == (2.5, 3.0, 6.5, 8.0)
    np.testing.assert_array_equal(found.objects[0].mask, sample.mask(0))
    assert found.objects[2].mask[10:14, 20:24].all() and found.objects[2].mask.sum() == 16  # no ref names it
    assert not refcoco("testB")[0].annotated_objects().objects  # a crowd is no object
    assert pickle.loads(pickle.dumps(refcoco("testA")))[1].annotated_objects().classes == ("cup",)


def test_without_categories_no_objects_are_known(files):
    content = files.coco({1: ONE}, {11: (1, [files.square(2, 2)])})
    files.json("instances.json", {**content, "categories": []})
    files.json("refs(unc).json", [files.ref(0, 1, 11, "cup")])
    (sample,) = datasets.build("refer", split="train", root=files.root)
    assert sample.annotated_objects() is None
