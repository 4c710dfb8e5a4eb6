import numpy as np
import pytest
from PIL import Image

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile


@pytest.fixture
def referit(files):
    files.json("referit_query_trainval.json", {"40_10": ["sky"], "40_9": ["ground", "the ground"], "8_1": ["bldng"]})
    files.json("referit_query_test.json", {"7_1": ["man"]})
    for name in ("40", "8", "7"):
        files.photograph(f"images/{name}.jpg")
    (files.root / "mask").mkdir()
    return lambda split, **settings: datasets.build("referit", split=split, root=files.root, **settings)


def test_regions_come_in_the_order_of_their_numbers(referit):
    trainval = referit("trainval")
    assert [sample.image_id for sample in trainval] == ["8", "40"]
    assert [expression.id for expression in trainval[1].expressions] == ["40_9-0", "40_9-1", "40_10-0"]
    assert (trainval.ref_count, trainval.expression_count) == (3, 4)
    assert len(referit("test")) == 1


def test_the_size_is_read_from_the_photograph(referit):
    assert referit("test")[0].size_hw == (20, 30)


def test_in_matlab_files_the_region_is_zero(referit, files):
    savemat = pytest.importorskip("scipy.io").savemat
    labels = np.ones((20, 30), np.uint8)
    labels[2:6, 3:9] = 0
    savemat(files.root / "mask" / "7_1.mat", {"segimg_t": labels})
    (sample,) = referit("test")
    assert (sample.mask(0) == (labels == 0)).all()
    savemat(files.root / "mask" / "7_1.mat", {"other": labels})
    with pytest.raises(InvalidInput, match=r"7_1\.mat has no segimg_t"):
        sample.mask(0)
    (files.root / "mask" / "7_1.mat").write_bytes(b"MATLAB")
    with pytest.raises(InvalidInput, match=r"7_1\.mat cannot be read as a MATLAB file"):
        sample.mask(0)


def test_masks_may_be_png_of_either_polarity(referit, files):
    Image.fromarray(np.eye(20, 30, dtype=np.uint8) * 255).save(files.root / "mask" / "7_1.png")
    assert referit("test")[0].mask(0).sum() == 20
    assert referit("test", inverted=True)[0].mask(0).sum() == 580


def test_numbers_of_regions_may_have_any_number_of_digits(referit, files):
    long = "9" * 200
    files.json("referit_query_test.json", {f"7_{long}": ["man"], "7_10": ["hat"], "7_9": ["sky"]})
    assert [expression.text for expression in referit("test")[0].expressions] == ["sky", "hat", "man"]


def test_a_region_whose_name_no_file_can_have_is_refused_in_a_short_line(referit, files):
    files.json("referit_query_test.json", {f"7_{'9' * 5000}": ["man"]})
    with pytest.raises(InvalidInput, match="is too long") as told:
        referit("test")
    assert len(str(told.value)) < 500


def test_regions_stay_in_their_folder(referit, files):
    files.json("referit_query_test.json", {"../7_1": ["man"]})
    with pytest.raises(InvalidInput, match=r"region '\.\./7_1' leaves its folder"):
        referit("test")


def test_a_missing_mask_is_named(referit):
    with pytest.raises(MissingFile, match=r"mask/7_1\.mat is missing .*docs/datasets\.md#referit"):
        referit("test")[0].mask(0)


def test_train_is_what_val_leaves_of_trainval(referit, files):
    files.json("referit_query_val.json", {"8_1": ["bldng"]})
    assert [sample.image_id for sample in referit("val")] == ["8"]
    assert [sample.image_id for sample in referit("train")] == ["40"]
    assert len(referit("trainval")) == 2


def test_queries_that_are_not_regions_are_refused(referit, files):
    files.json("referit_query_test.json", {"man": ["man"]})
    with pytest.raises(InvalidInput, match=r"region 'man': it is \"IMAGE_REGION\""):
        referit("test")
    files.json("referit_query_test.json", ["man"])
    with pytest.raises(InvalidInput, match=r"referit_query_test\.json holds a list"):
        referit("test")
