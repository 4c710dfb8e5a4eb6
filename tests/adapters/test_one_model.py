"""clipseg, sam3, florence2: tiny random ones, loaded by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import refseg
from conftest import fused, noise, pixels
from refseg.adapters.catalogue import CATALOGUE
from refseg.checkpoints.io import load_checkpoint, save_checkpoint
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput

NAMES = ["clipseg", "sam3", "florence2"]
LOW = 0.05  # threshold at which random weights of SAM 3 find several objects
EXPRESSIONS = ["the dog", "a very long expression about a small dog on the chair near the window", "cat"]


@pytest.fixture(scope="session")
def segmenters(folders):
    """Loaded segmenters by name and settings; random weights of Florence-2 would write to the end of their limit."""
    loaded = {}

    def load(name, **settings):
        settings = ({"max_pieces": 20} if name == "florence2" else {}) | settings
        key = name, *settings.items()
        if key not in loaded:
            loaded[key] = refseg.load(f"{name}={folders[name]}", **settings)
        return loaded[key]

    return load


@pytest.mark.parametrize("name", NAMES)
def test_an_expression_alone_has_the_answer_that_it_has_among_others(segmenters, name):
    segmenter, images = segmenters(name), [noise(90, 120), noise(90, 120, seed=1)]
    together = fused(segmenter, images, [*EXPRESSIONS, *EXPRESSIONS], [0, 0, 0, 1, 1, 1])
    assert together.logits.shape[:2] == (6, 1)
    for m, expression in enumerate([*EXPRESSIONS, *EXPRESSIONS]):
        alone = fused(segmenter, [images[m // 3]], [expression], [0])
        torch.testing.assert_close(alone.logits[0], together.logits[m], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.exists[0], together.exists[m], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together.logits[0], together.logits[3], atol=1e-3), "the image matters"
    assert len({round(value, 5) for value in together.exists.tolist()}) == 6, "expressions and images matter"


@pytest.mark.parametrize("name", NAMES)
def test_images_of_several_sizes_have_the_answers_that_they_have_alone(segmenters, name):
    segmenter, images = segmenters(name), [noise(90, 120), noise(64, 64), noise(90, 120, seed=1)]
    for image, results in zip(images, segmenter.batch(images, [EXPRESSIONS[:2]] * 3), strict=True):
        for expression, result in zip(EXPRESSIONS[:2], results, strict=True):
            alone = segmenter(image, expression)
            assert result.mask.shape == image.shape[:2] and abs(result.exists - alone.exists) < 1e-5
            assert (result.mask != alone.mask).mean() < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_padding_of_words_changes_nothing(segmenters, name, photograph):
    segmenter = segmenters(name)
    tokens, known = segmenter.checkpoint.tokenizer(["the dog"])
    longer = (torch.nn.functional.pad(value, (0, 5)) for value in (tokens, known))
    with torch.inference_mode():
        one = segmenter.network(pixels(photograph), tokens, known)
        other = segmenter.network(pixels(photograph), *longer)
    assert torch.equal(one.logits, other.logits) and torch.equal(one.exists, other.exists)


@torch.inference_mode()
def test_clipseg_equals_its_plain_call(segmenters, photograph):
    network = segmenters("clipseg").network
    batch = network.processor(
        text=EXPRESSIONS,
        images=[torch.from_numpy(photograph).permute(2, 0, 1)] * 3,
        padding="max_length",
        max_length=77,
        return_tensors="pt",
    )
    output = fused(segmenters("clipseg"), [photograph] * 3, EXPRESSIONS, [0, 1, 2])
    assert torch.equal(network.model(**batch).logits, output.logits[:, 0])


@torch.inference_mode()
def test_sam3_equals_its_plain_call(segmenters, photograph):
    network = segmenters("sam3").network
    image = torch.from_numpy(photograph).permute(2, 0, 1)
    output = fused(segmenters("sam3", threshold=LOW), [photograph], ["the dog"], [0])
    batch = network.processor(images=image, text="the dog", return_tensors="pt")
    plain = network.model(**batch)
    found = network.processor.post_process_instance_segmentation(plain, threshold=LOW, target_sizes=[(32, 32)])[0]
    assert len(found["scores"]) >= 1
    assert torch.equal(output.referents[0] > 0, found["masks"].bool())
    assert torch.equal(output.referents[0], plain.pred_masks[0][scores(plain) > LOW])
    expected = scores(plain).max().logit() - torch.tensor(LOW).logit()
    torch.testing.assert_close(output.exists[0], expected)


def scores(plain):
    return plain.pred_logits[0].sigmoid() * plain.presence_logits[0].sigmoid()


def test_sam3_finds_for_the_reader_what_it_finds_by_itself(segmenters, folders, photograph):
    from refseg.compositions.reader import Reader, ReaderConfig
    from refseg.finders import load_finder

    finder = load_finder("sam3", folder=folders["sam3"], threshold=LOW)
    found = finder.search(photograph)(("dog", "cat"))
    alone = segmenters("sam3", threshold=LOW)
    for name in ("dog", "cat"):
        masks = [detection.mask for detection in found if detection.class_name == name]
        whole = alone(photograph, name, threshold=1e-9)
        together = np.any(masks, axis=0)  # of which each was resized, not their union
        assert len(masks) >= 2 and (together & whole.mask).sum() > 0.95 * (together | whole.mask).sum()
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    reader = Reader(ReaderConfig(finder="sam3"), 257, finder)
    tokens = torch.tensor([reader.characters.ids("the dog on the left")])
    (reading,) = reader(pixels(photograph), tokens, tokens > 0).readings
    assert len(reading.found.objects) == len([one for one in found if one.class_name == "dog"])
    with pytest.raises(InvalidInput, match="the finder 'sam3' has no masker: it finds masks; leave it out"):
        load_finder("sam3", folder=folders["sam3"], masker="grabcut")


def test_sam3_as_a_finder_is_looked_for_before_it_is_loaded(hub):
    from refseg.checkpoints.config_file import check_weights

    with pytest.raises(MissingFile, match="facebook/sam3, 3.4 GB. are not on this machine; get them: refseg"):
        check_weights("reader:finder=sam3")


@torch.inference_mode()
def test_florence2_writes_what_its_plain_call_writes(segmenters, photograph):
    text = segmenters("florence2").network.text
    image = torch.from_numpy(photograph).permute(2, 0, 1)
    task = "<REFERRING_EXPRESSION_SEGMENTATION>"
    batch = text.processor(text=[task + EXPRESSIONS[1]], images=[image], return_tensors="pt")
    ids = text.model.generate(**batch, max_new_tokens=20, num_beams=3, do_sample=False)
    features = text.encode_image(image[None])
    (written,), likely = text.write([f"Locate {EXPRESSIONS[1]} in the image with mask"], features)
    assert written == text.processor.batch_decode(ids, skip_special_tokens=False)[0]
    assert "<loc_" in written and 0 < likely.item() < 1


def test_florence2_answers_several_at_once_as_one_by_one(segmenters, photograph):
    one, many = (segmenters("florence2", batch=size) for size in (1, 3))
    assert one.network.expressions_at_once == 1 and many.network.expressions_at_once == 3
    for a, b in zip(one(photograph, EXPRESSIONS), many(photograph, EXPRESSIONS), strict=True):
        assert np.array_equal(a.mask, b.mask) and abs(a.exists - b.exists) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_a_threshold_of_existence_empties_the_mask_and_no_other_mask_is_there(segmenters, name, photograph):
    segmenter = segmenters(name)
    likely = segmenter(photograph, "the dog", threshold=1e-9)
    assert likely.found and 0 < likely.exists < 1
    none = segmenter(photograph, "the dog", threshold=min(likely.exists + 1e-4, 1 - 1e-9))
    assert not none.found and not none.mask.any() and none.exists == likely.exists


@pytest.mark.parametrize("name", NAMES)
def test_the_best_answer_is_a_part_of_all(segmenters, name, photograph):
    low = {"sam3": {"threshold": LOW}, "florence2": {"max_pieces": 40}}.get(name, {})
    everything = segmenters(name, **low)(photograph, EXPRESSIONS, threshold=1e-9)
    best = segmenters(name, answer="best", **low)(photograph, EXPRESSIONS, threshold=1e-9)
    assert all(one.found and not (one.mask & ~whole.mask).any() for one, whole in zip(best, everything, strict=True))
    assert sum(one.area for one in best) < sum(whole.area for whole in everything)


@pytest.mark.parametrize("name", NAMES)
def test_a_long_expression_is_cut_with_a_remark(segmenters, name, photograph):
    segmenter = segmenters(name)
    result = segmenter(photograph, "the dog " * 200)
    (remark,) = result.warnings
    limit = CATALOGUE[name].most_pieces or segmenter.network.most_pieces
    assert f"is cut: {name} reads {limit} pieces, it has" in remark and len(remark) < 200
    assert not segmenter(photograph, EXPRESSIONS[0]).warnings


def test_what_sam3_ignores_is_a_remark(segmenters, photograph):
    segmenter = segmenters("sam3")
    (remark,) = segmenter(photograph, "the second dog from the left that is not brown").warnings
    assert remark.startswith("sam3 takes names of things, and may ignore the rest (order: number 2 from left, not: ")
    assert remark.endswith('refseg.load("reader", finder="sam3") reads it')
    assert not segmenter(photograph, "the brown dog").warnings
    assert not segmenters("clipseg")(photograph, "the dog on the left").warnings


@pytest.mark.parametrize("name", ["clipseg", "florence2"])
def test_a_damaged_model_is_one_line(folders, name, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(folders[name], damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InvalidInput, match="is damaged.*copy it again") as caught:
        refseg.load(f"{name}={damaged}")
    assert "\n" not in str(caught.value)
    (damaged / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InvalidInput, match=f"holds a model of type 'bert', {name} takes '{name}'"):
        refseg.load(f"{name}={damaged}")
    (damaged / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match="is damaged"):
        refseg.load(f"{name}={damaged}")


def test_weights_that_lack_a_part_are_told(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders["clipseg"], tmp_path / "copy")
    tensors = load_file(tmp_path / "copy" / "model.safetensors")
    left_out = sorted(name for name in tensors if name.startswith("decoder."))
    kept = {name: value for name, value in tensors.items() if name not in left_out}
    save_file(kept, tmp_path / "copy" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidInput, match=rf"lacks {left_out[0]} and {len(left_out) - 1} more, so it is no CLIPSeg"):
        refseg.load(f"clipseg={tmp_path / 'copy'}")


def test_weights_of_other_sizes_are_told(folders, tmp_path):
    shutil.copytree(folders["clipseg"], tmp_path / "copy")
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config | {"reduce_dim": 8}))
    with pytest.raises(InvalidInput, match="copy lacks decoder.*, so it is no CLIPSegForImageSegmentation; copy it"):
        refseg.load(f"clipseg={tmp_path / 'copy'}")


def test_weights_in_half_precision_compute_in_single(segmenters, folders, tmp_path, photograph):
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders["clipseg"], tmp_path / "copy")
    file = tmp_path / "copy" / "model.safetensors"
    half = {name: value.half() if value.is_floating_point() else value for name, value in load_file(file).items()}
    save_file(half, file, metadata={"format": "pt"})
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    result = refseg.load(f"clipseg={tmp_path / 'copy'}")(photograph, "the dog")
    assert result.logits.dtype == torch.float32
    assert abs(result.exists - segmenters("clipseg")(photograph, "the dog").exists) < 0.01


def test_wrong_settings_are_one_line(folders):
    for wrong, message in [
        ({"treshold": 0.3}, "treshold: unknown field; there are: revision, answer, threshold"),
        ({"threshold": 2}, "threshold: input should be less than 1"),
        ({"answer": "some"}, "answer: input should be 'all' or 'best'"),
        ({"revision": ".."}, "revision: string should match pattern"),  # it names a folder of the cache
        ({"revision": "refs/../main"}, "revision: string should match pattern"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            refseg.load(f"clipseg={folders['clipseg']}", **wrong)


def test_a_calibration_is_kept_without_the_weights(segmenters, tmp_path, photograph):
    segmenter = segmenters("clipseg", answer="best")
    segmenter.checkpoint.calibration = segmenter.checkpoint.calibration.replace(temperature=2, exists_threshold=0.3)
    save_checkpoint(segmenter.checkpoint, tmp_path / "mine")
    assert sorted(file.name for file in (tmp_path / "mine").iterdir()) == ["card.md", "config.json"]
    loaded = load_checkpoint(tmp_path / "mine")
    assert loaded.network.config == segmenter.network.config and loaded.calibration.temperature == 2
    assert loaded.network.exists_threshold_logit == pytest.approx(2 * np.log(0.3 / 0.7))
    changed = load_checkpoint(f"{tmp_path / 'mine'}:answer=all").network.config
    assert changed.answer == "all" and changed.folder == segmenter.network.config.folder


def test_commands_take_an_open_model(folders, tmp_path, run, photograph, hub):
    weights = f"clipseg={folders['clipseg']}"
    data = own_data(tmp_path)
    assert "oIoU" in run("evaluate", weights, *data, "--set", "answer=best")
    out = run("calibrate", weights, *data, "--out", tmp_path / "mine")
    assert "temperature" in out and f"written: {tmp_path / 'mine'}" in out
    assert refseg.load(tmp_path / "mine").checkpoint.calibration.fitted_on == "jsonl, split val, 3 images"
    for words, line in [
        (["train", "clipseg"], "clipseg is an open model, used as its authors trained it; refseg recipes lists others"),
        (
            ["train", "finetune", "--set", f"initial.weights={weights}", "--out", str(tmp_path / "run")],
            "is an open model",
        ),
        (["calibrate", weights], "say where its calibration goes, such as --out clipseg"),
        (["calibrate", "clipseg", "--out", str(tmp_path)], "are not on this machine; get them: refseg weights get"),
        (["explain", str(picture(tmp_path, photograph)), "the dog", "--weights", weights], "has nothing to show"),
    ]:
        with pytest.raises((InvalidInput, FileNotFoundError, UnwritableOutput), match=line):
            run(*words)


def own_data(folder):
    rows = []
    for k in range(3):
        picture(folder, noise(64, 80, seed=k), f"{k}.png")
        for expression, mask in [("the dog", [[4, 4, 40, 4, 40, 40]]), ("the cat", [])]:
            rows.append({"image": f"{k}.png", "expression": expression, "mask": mask, "split": "val"})
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return "jsonl", "--split", "val", "--root", folder / "own.jsonl"


def picture(folder, photograph, name="photo.png"):
    Image.fromarray(photograph).save(folder / name)
    return folder / name


def test_figures_say_of_which_weights_they_are(folders, tmp_path, monkeypatch):
    from refseg.evaluation.report.provenance import weights_facts

    weights = f"clipseg={folders['clipseg']}"
    facts = weights_facts(weights)
    assert facts == weights_facts(weights) and facts["name"] == weights
    shutil.copytree(folders["clipseg"], tmp_path / "other")
    changed = tmp_path / "other" / "model.safetensors"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\x7f")
    digests = {facts["sha256"], *(weights_facts(f"{weights}:threshold={value}")["sha256"] for value in (0.4, 0.6))}
    assert len(digests | {weights_facts(f"clipseg={tmp_path / 'other'}")["sha256"]}) == 4


def test_few_large_photographs_are_encoded_at_once(segmenters, monkeypatch):
    segmenter, sizes = segmenters("clipseg"), []
    encode = type(segmenter.network).encode_image
    monkeypatch.setattr(
        type(segmenter.network), "encode_image", lambda self, image: sizes.append(len(image)) or encode(self, image)
    )
    monkeypatch.setattr("refseg.inference.predict.MAX_PIXELS", 3 * 64 * 64)
    images = [noise(64, 64, seed=k) for k in range(4)] + [noise(128, 128), noise(128, 128, seed=1)]
    assert [len(results) for results in segmenter.batch(images, [["the dog"]] * 6)] == [1] * 6
    assert sizes == [3, 1, 1, 1]
    sizes.clear()
    monkeypatch.setattr("refseg.inference.segmenter.PIXELS_AT_ONCE", float("inf"))  # as on a GPU
    assert len(segmenter.encode(images)) == 6 and sizes == [3, 1, 1, 1]


def test_a_video_is_answered_frame_by_frame(segmenters):
    frames = [noise(64, 80, seed) for seed in range(3)]
    segmenter = segmenters("clipseg")
    for frame, result in zip(frames, segmenter.video(frames, "the dog"), strict=True):
        assert abs(result.exists - segmenter(frame, "the dog").exists) < 1e-5


def test_what_is_listed_says_where_from_and_that_it_is_not_ours():
    for name, entry in CATALOGUE.items():
        assert entry.name == name and json.dumps(entry.about())
        card = entry.card()
        for model in entry.default_models:
            assert model.page in card and model.licence in card and model.size >= 2 * model.parameters
        assert card.count("not run by us") == len(entry.reported)
        assert all(fact.source for fact in entry.reported)


def test_the_table_of_the_documents_is_that_of_the_catalogue():
    from refseg.adapters.hub_model import size_text

    table = (Path(__file__).parents[2] / "docs" / "photographs.md").read_text().split("## Open models")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| `")]
    known = {f"`{name}`": [size_text(e.size), f"{e.parameters / 1e6:.0f} M"] for name, e in CATALOGUE.items()}
    assert {row[0]: row[2:4] for row in rows[: len(known)]} == known
