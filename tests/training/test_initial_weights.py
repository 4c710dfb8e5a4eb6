import pytest
import torch
from safetensors.torch import save_file

from refseg.errors import InvalidInput, MissingFile
from refseg.networks import build
from refseg.networks.create import create_network
from refseg.text.vocabulary import Vocabulary
from refseg.training.initial_weights import initialise

TINY = {"stages": (4, 8, 8, 8), "coarse": 8, "fine": 8, "kernel": 4, "width": 16, "heads": 2, "blocks": 2}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("selector", TINY, 10)


def test_a_part_starts_from_the_weights_of_a_file(network, tmp_path):
    other = build("selector", TINY, 10).chooser.state_dict()
    save_file({name: tensor + 1.5 for name, tensor in other.items()}, tmp_path / "chooser.safetensors")
    before = network.finder.embed.weight.clone()
    initialise(network, {"chooser": str(tmp_path / "chooser.safetensors")})
    torch.testing.assert_close(network.chooser.score.bias.detach(), other["score.bias"] + 1.5)
    assert torch.equal(network.finder.embed.weight, before)


def test_weights_that_do_not_fit_are_refused(network, tmp_path):
    save_file({"strange": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(InvalidInput, match="x.safetensors does not fit: it lacks .* first words.positions"):
        initialise(network, {"chooser": str(tmp_path / "x.safetensors")})
    other = build("selector", TINY, 9).chooser.state_dict()
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(InvalidInput, match="other.safetensors does not fit: size mismatch for words.embedding"):
        initialise(network, {"chooser": str(tmp_path / "other.safetensors")})
    (tmp_path / "cut.safetensors").write_bytes(b"123")
    with pytest.raises(InvalidInput, match="cut.safetensors is damaged"):
        initialise(network, {"chooser": str(tmp_path / "cut.safetensors")})


def test_unknown_parts_and_weights_are_refused_with_the_way_out(network):
    with pytest.raises(InvalidInput, match="no part 'wheel'"):
        initialise(network, {"wheel": "small_image_encoder"})
    with pytest.raises(
        MissingFile,
        match="no weights 'nonsense'; give a .safetensors file, a checkpoint, or one of: small_image_encoder",
    ):
        initialise(network, {"chooser": "nonsense"})


def test_a_part_starts_from_that_of_a_checkpoint(network, tmp_path):
    from refseg.checkpoints.schema import WEIGHTS

    (tmp_path / "config.json").write_text("{}")
    other = build("selector", TINY, 10).state_dict()
    save_file(
        {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in other.items()},
        tmp_path / WEIGHTS,
    )
    before = network.finder.embed.weight.clone()
    initialise(network, {"chooser": str(tmp_path)})
    torch.testing.assert_close(network.chooser.score.bias.detach(), other["chooser.score.bias"] + 1)
    assert torch.equal(network.finder.embed.weight, before)
    with pytest.raises(InvalidInput, match="does not fit: it lacks"):
        save_file({"finder.x": torch.zeros(1)}, tmp_path / WEIGHTS)
        initialise(network, {"chooser": str(tmp_path)})


def test_a_network_without_clip_refuses_its_weights(network, tmp_path):
    save_file({"visual.conv1.weight": torch.zeros(3)}, tmp_path / "RN50.safetensors")
    with pytest.raises(InvalidInput, match="initial.clip: the network has no part of a CLIP"):
        initialise(network, {"clip": str(tmp_path / "RN50.safetensors")})
    with pytest.raises(MissingFile, match="RN101.pt is missing"):
        initialise(network, {"clip": str(tmp_path / "RN101.pt")})


@pytest.fixture
def vectors(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "vectors.txt").write_text("the 1 2 3 4\nred 5 6 7 8\n")
    return tmp_path / "vectors.txt"


def with_vectors(kind, width):
    encoder = {"kind": kind, "vector": width, "width": 8}
    settings = {"image_encoder": "small", "freeze_image_encoder": False, "word_encoder": encoder, "width": 8}
    return build("vlt", settings | {"image_size": 64, "channels": 8, "heads": 2, "queries": 2}, 4)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_word_vectors_start_from_a_text_file(vectors, kind):
    network = with_vectors(kind, 4)
    before = network.word_encoder.vectors.weight.detach().clone()
    initialise(network, {"glove": str(vectors)})  # without words it is only looked at
    assert torch.equal(network.word_encoder.vectors.weight, before)
    initialise(network, {"glove": str(vectors)}, Vocabulary(["blue", "red"]))
    after = network.word_encoder.vectors.weight
    assert after[3].tolist() == [5, 6, 7, 8]
    kept = before if kind == "lstm" else torch.zeros_like(before)  # a GRU's will not learn what the file lacks
    assert torch.equal(after[:3], kept[:3])


def test_a_text_file_that_does_not_fit_the_network_is_refused(network, vectors):
    with pytest.raises(InvalidInput, match="initial.glove: the network has no word vectors"):
        initialise(network, {"glove": str(vectors)})
    with pytest.raises(InvalidInput, match="initial.glove: .* line 1: not a word and 6 numbers"):
        initialise(with_vectors("lstm", 6), {"glove": str(vectors)})
    with pytest.raises(MissingFile, match="nowhere.txt is missing"):
        initialise(with_vectors("lstm", 4), {"glove": "nowhere.txt"})


def test_the_finder_gives_an_image_encoder_that_computes_the_same(network):
    from refseg.encoders.configs import SmallConfig
    from refseg.encoders.small import SmallImageEncoder

    encoder = SmallImageEncoder(SmallConfig(finder=TINY["stages"], top=4)).eval()
    encoder.net.load_state_dict(network.image_encoder_weights())
    image, x = torch.randn(1, 3, 32, 32), None
    network.eval()
    for stage in network.finder.stages:
        x = stage(image if x is None else x)
    torch.testing.assert_close(encoder(image)[2], x)


def test_a_file_of_a_part_gives_what_is_within_it():
    fine, coarse = (create_network("lavt_small", image_encoder=name) for name in ("small_fine", "small"))
    initialise(fine, {"image_encoder.net": "small_objects"})
    initialise(coarse, {"image_encoder": "small_objects"})
    image = torch.randn(1, 3, 32, 32)
    maps, coarser = fine.eval().image_encoder(image), coarse.eval().image_encoder(image)
    for one, other in zip(maps[1:], coarser[:3], strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(InvalidInput, match="image_encoder: small_objects does not fit: it has unknown"):
        initialise(fine, {"image_encoder": "small_objects"})
