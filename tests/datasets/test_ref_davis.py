import numpy as np
import pytest

from refseg import datasets
from refseg.datasets.ref_davis import TEXTS, by_annotator
from refseg.errors import InvalidInput, MissingFile

SAID = {
    "Davis17_annot1": 'clasic-car 1 "a car"\nbear 1 "a brown bear"\nbear 2 "a rock, "grey""\n',
    "Davis17_annot1_full_video": 'clasic-car 1 "the car drives"\nbear 1 "a bear walks"\nbear 2 "a rock in front"\n',
    "Davis17_annot2": 'clasic-car 1 "old car"\nbear 1 "le ours énorme"\nbear 2 "stone"\n',
    "Davis17_annot2_full_video": 'clasic-car 1 "old car drives"\nbear 1 "big bear"\nbear 2 "stone stays"\n',
}


@pytest.fixture
def davis(files):
    for name, text in SAID.items():
        files.bytes(f"davis_text_annotations/{name}.txt", text.encode("latin1"))
    files.bytes("DAVIS/ImageSets/2017/train.txt", b"bear\nnot-described\n")
    files.bytes("DAVIS/ImageSets/2017/val.txt", b"classic-car\n")
    for video in ("bear", "classic-car"):
        for name in ("00000", "00001"):
            files.photograph(f"DAVIS/JPEGImages/480p/{video}/{name}.jpg")
            files.labels(
                f"DAVIS/Annotations_unsupervised/480p/{video}/{name}.png",
                np.arange(600).reshape(20, 30) // 200 + (name == "00001"),
            )
    return lambda split: datasets.build("ref_davis", split=split, root=files.root)


def test_an_object_has_four_texts_one_after_the_other(davis):
    (bear,) = davis("train")
    assert [e.text for e in bear.expressions[:4]] == ["a brown bear", "a bear walks", "le ours énorme", "big bear"]
    assert [e.targets for e in bear.expressions] == [(1,)] * 4 + [(2,)] * 4
    assert bear.expressions[4].text == 'a rock, "grey"' and bear.expressions[7].id == "bear/7"


def test_names_of_videos_are_corrected(davis):
    (car,) = davis("val")
    assert car.clip_id == "classic-car" and car.expressions[0].text == "a car"


def test_expressions_of_each_annotator_are_found(davis):
    bear = davis("train")[0]
    assert by_annotator(bear) == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_every_frame_is_annotated(davis):
    bear = davis("train")[0]
    assert (len(bear), bear.annotated_frames(5), bear.frame_name(1)) == (2, (0, 1), "00001")
    assert bear.mask(0, 0)[7:13].sum() == 180 and bear.mask(0, 0).sum() == 200 and bear.mask(4, 1).sum() == 200
    assert set(np.unique(bear.labels(1))) == {1, 2, 3}


def test_the_layout_of_refer_youtube_vos_is_read_as_well(files):
    said = {str(n): {"exp": f"text {n}", "obj_id": str(1 + n // 4)} for n in range(8)}
    content = {"videos": {"bear": {"expressions": said, "frames": ["00000"]}}}
    files.json("meta_expressions/valid/meta_expressions.json", content)
    files.photograph("valid/JPEGImages/bear/00000.jpg")
    files.labels("valid/Annotations/bear/00000.png", np.arange(600).reshape(20, 30) // 200)
    (bear,) = datasets.build("ref_davis", split="val", root=files.root)
    assert by_annotator(bear) == [[0, 4], [1, 5], [2, 6], [3, 7]] and bear.mask(7, 0).sum() == 200


def test_names_and_numbers_of_the_texts_are_checked(davis, files):
    files.bytes(f"davis_text_annotations/{TEXTS[0]}.txt", b'../up 1 "a car"\nbear 300 "a bear"\nbear 2 "a rock"\n')
    with pytest.raises(
        InvalidInput, match=r"line 1: video '\.\./up' leaves its folder .* line 2: object '300' is none of 1 to 255"
    ):
        davis("train")


def test_what_is_wrong_is_said_with_its_place(davis, files):
    with pytest.raises(InvalidInput, match="ref_davis has no split 'test'; choose one of: train, val"):
        davis("test")
    files.bytes(f"davis_text_annotations/{TEXTS[3]}.txt", b'bear 1 "big bear"\nbear\nbear 1 "again"\n')
    with pytest.raises(InvalidInput, match=r"annot2_full_video.txt: line 2: it is VIDEO OBJECT .* line 3: .* 5 texts"):
        davis("train")
    (files.root / f"davis_text_annotations/{TEXTS[3]}.txt").unlink()
    with pytest.raises(MissingFile, match=r"annot2_full_video\.txt is missing; docs/datasets\.md#ref_davis"):
        davis("train")


@pytest.mark.parametrize("folder", ["JPEGImages/480p/bear/00001.jpg", "Annotations_unsupervised/480p/bear/00001.png"])
def test_a_frame_or_labels_that_are_a_link_out_of_the_videos_folder_are_refused(davis, files, folder):
    files.move_out(f"DAVIS/{folder}")
    with pytest.raises(InvalidInput, match="is a link that leads out"):
        _ = davis("train")[0]
