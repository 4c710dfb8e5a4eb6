import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from refseg.batch import Batch, Objects
from refseg.conversion.selector_first_version import first_version_config, rename_first_version
from refseg.errors import InvalidInput
from refseg.networks.selector.config import SelectorConfig
from refseg.networks.selector.finder import Maps, ObjectFinder
from refseg.networks.selector.losses import FinderLoss, ProgramLoss, mask_loss
from refseg.networks.selector.selector import Selector, by_length
from refseg.text.vocabulary import Vocabulary

ASSETS = Path(__file__).parents[1] / "assets" / "selector_first_version"


@pytest.fixture(autouse=True, scope="module")
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def golden():
    return {name: torch.from_numpy(value) for name, value in np.load(ASSETS / "golden.npz").items()}


@pytest.fixture(scope="module")
def first_version():
    return with_first_weights(first_version_config())


def with_first_weights(config):
    network = Selector(config, vocabulary_size=138)
    network.load_state_dict(rename_first_version(load_file(ASSETS / "first_version.safetensors")))
    return network.eval()


@pytest.fixture(scope="module")
def inputs(golden):
    tokens = golden["token_ids"].long()
    return normalised(golden["images"]), tokens, tokens != 0, golden["image_of_expression"].long()


@pytest.fixture(scope="module")
def answer(first_version, inputs):
    return answer_of(first_version, *inputs)


def normalised(images):
    return (images.movedim(-1, 1).float() - 118) / 60


def answer_of(network, image, tokens, word_mask, image_of_expression):
    found = network.encode_image(image)
    return found, network.fuse(found, network.encode_words(tokens, word_mask), word_mask, image_of_expression)


class TestFirstVersion:
    """The stored answers of weights that were trained with another implementation."""

    def test_the_centre_map_is_as_stored(self, first_version, inputs, golden):
        close(first_version.finder.maps(inputs[0]).centre, golden["centre_map"])

    def test_the_same_cells_become_objects(self, answer, golden):
        found, valid = answer[0], golden["valid"]
        assert torch.equal(found.valid, valid)
        assert torch.equal(found.selectable, valid)
        assert torch.equal(found.cells[valid], golden["candidate_cells"].long()[valid])

    def test_objects_are_as_stored(self, answer, golden):
        found, valid = answer[0], golden["valid"]
        close(found.tokens[valid], golden["tokens"][valid])
        close(found.centres[valid], golden["geometry"][valid])
        both = valid[:, :, None] & valid[:, None]
        close(found.pairs[both], golden["pairs"][both])
        close(found.masks[valid], golden["mask_logits_half"][valid].float(), tolerance=1e-2)

    def test_scores_are_as_stored(self, answer, inputs, golden):
        output, there = answer[1], golden["valid"][inputs[3]]
        close(output.scores[there], golden["scores"][there])
        close(output.exists, golden["exists"])

    def test_the_same_objects_are_chosen_on_the_same_pixels(self, first_version, answer, golden):
        found, output = answer
        assert (first_version.id_map(found) == golden["predicted_id_map"]).float().mean() > 0.999
        assert torch.equal(first_version.chosen(output), golden["chosen"])

    def test_words_are_read_with_the_vocabulary_in_the_assets(self, golden):
        words = json.loads((ASSETS / "vocabulary.json").read_text())[2:]
        expressions = json.loads((ASSETS / "golden.json").read_text())["expressions"]
        tokens, _ = Vocabulary(words)(expressions)
        assert torch.equal(F.pad(tokens, (0, 24 - tokens.shape[1])), golden["token_ids"].long())

    def test_every_part_has_the_specified_number_of_parameters(self, first_version):
        def count(module):
            return sum(p.numel() for p in module.parameters())

        finder = first_version.finder
        assert [count(stage) for stage in finder.stages] == [928, 55_584, 374_208, 1_494_912]
        assert count(finder) + count(first_version.finder_criterion) == 2_231_915
        assert count(first_version.chooser) == 1_117_282 - 16  # a bias without effect is left out
        kept = [p for name, p in first_version.named_parameters() if not name.startswith(first_version.training_only)]
        assert sum(p.numel() for p in kept) == 3_328_352 - 16


class TestAnswer:
    @pytest.mark.parametrize("fallback", ["none", "best"])
    @pytest.mark.parametrize("threshold_logit", [-2.0, 0.0, 3.0])
    def test_logits_are_above_0_exactly_in_the_regions_of_chosen_objects(self, inputs, fallback, threshold_logit):
        network = with_first_weights(first_version_config().replace(fallback=fallback))
        network.exists_threshold_logit = threshold_logit
        found, output = answer_of(network, *inputs)
        region = F.one_hot(network.id_map(found)[inputs[3]], found.valid.shape[1] + 1)[..., 1:]  # (M, H, W, Q)
        union = (region.bool() & network.chosen(output)[:, None, None]).any(-1)
        assert union.any()
        assert torch.equal(output.logits[:, 0] > 0, union)

    def test_the_fallback_chooses_one_object_where_something_exists(self, inputs):
        network = with_first_weights(first_version_config().replace(fallback="best"))
        torch.nn.init.constant_(network.chooser.score.bias, -100.0)
        _, output = answer_of(network, *inputs)
        assert torch.equal(network.chosen(output).sum(1), (output.exists > 0).long())

    def test_a_blank_image_has_no_object_and_nothing_exists(self, first_version, inputs):
        _, tokens, word_mask, _ = inputs
        output = first_version(torch.zeros(64, 3, 128, 128), tokens, word_mask)
        assert not output.valid.any()
        assert (output.exists < -10).all()
        assert (output.logits < 0).all()

    def test_a_flipped_image_has_flipped_objects(self, first_version, inputs, answer):
        found = first_version.encode_image(inputs[0].flip(-1))
        flipped = first_version.id_map(found).flip(-1) > 0
        assert (flipped == (first_version.id_map(answer[0]) > 0)).float().mean() > 0.98

    @pytest.mark.parametrize("config", [SelectorConfig(), first_version_config()], ids=["full", "half"])
    @pytest.mark.parametrize("height, width", [(96, 160), (64, 64), (256, 256)])
    def test_any_size_is_answered_at_that_size(self, config, height, width):
        network = lively(config)
        found, output = answer_of(network, torch.randn(1, 3, height, width), *question(), torch.tensor([0]))
        assert output.logits.shape == (1, 1, height, width)
        assert found.masks.shape[-2:] == (height // config.mask_stride, width // config.mask_stride)

    def test_slots_without_object_change_nothing(self, first_version, inputs, answer):
        found, _ = answer
        _, tokens, word_mask, image = inputs
        words = first_version.encode_words(tokens, word_mask)
        objects, valid = F.pad(found.tokens, (0, 0, 0, 3), value=5.0), F.pad(found.valid, (0, 3))
        pairs = F.pad(found.pairs, (0, 0, 0, 3, 0, 3), value=-3.0)
        states = first_version.chooser(objects, valid, pairs, words, word_mask, image)
        scores, exists = first_version.chooser.answer(states[-1], valid[image])
        close(scores[:, :-3][found.valid[image]], answer[1].scores[found.valid[image]])
        close(exists, answer[1].exists)

    def test_no_expression_on_an_image_is_no_answer(self, first_version, inputs):
        nothing = torch.zeros(0, dtype=torch.long)
        tokens = torch.zeros(0, 4, dtype=torch.long)
        assert answer_of(first_version, inputs[0][:1], tokens, tokens != 0, nothing)[1].logits.shape == (0, 1, 128, 128)

    def test_what_cannot_be_read_is_refused(self):
        network = lively(SelectorConfig())
        with pytest.raises(InvalidInput, match="multiple of 16"):
            network.encode_image(torch.zeros(1, 3, 100, 128))
        for length in (0, 33):
            tokens = torch.zeros(1, length, dtype=torch.long)
            with pytest.raises(InvalidInput, match=f"{length} words, Selector reads 1 to 32"):
                network.encode_words(tokens, tokens == 0)

    def test_the_exported_network_gives_the_same_masks(self, first_version, inputs):
        class Masks(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.network = first_version

            def forward(self, image, tokens, word_mask):
                return self.network(image, tokens, word_mask).logits

        image, tokens, word_mask, image_of_expression = inputs
        one_each = image[image_of_expression[:2]], tokens[:2], word_mask[:2]
        exported = torch.export.export(Masks(), one_each).module()
        close(exported(*one_each), first_version(*one_each).logits)


class TestWordMatch:
    """Words compared with objects out of their sentence."""

    def test_a_word_applies_to_an_object_whatever_its_sentence(self):
        network = lively(SelectorConfig())
        tokens = torch.tensor([[2, 3, 4], [5, 3, 6]])
        words = network.encode_words(tokens, tokens > 0)
        objects = torch.randn(1, 5, 128)
        read = network.chooser.read_words(objects, words, tokens > 0, torch.zeros(2, dtype=torch.long))
        assert read.match.shape == (2, 5, 3) and ((read.match > 0) & (read.match < 1)).all()
        close(read.match[0, :, 1], read.match[1, :, 1])
        assert not torch.allclose(read.match[0, :, 0], read.match[1, :, 0], atol=1e-3)
        assert not torch.allclose(read.context[0, 1], read.context[1, 1], atol=1e-3)

    def test_what_a_word_says_depends_on_whether_it_applies(self):
        network = lively(SelectorConfig())
        attend, tokens = network.chooser.blocks[0].cross, torch.tensor([[2, 3, 4]])
        words = network.encode_words(tokens, tokens > 0)
        x, image = torch.randn(1, 5, 128), torch.zeros(1, dtype=torch.long)
        read = network.chooser.read_words(x, words, tokens > 0, image)
        without = attend(x, read._replace(match=torch.zeros_like(read.match)))
        half = attend(x, read._replace(match=torch.full_like(read.match, 0.5)))
        whole = attend(x, read._replace(match=torch.ones_like(read.match)))
        close(half - without, (whole - without) / 2)
        assert (whole - without).abs().max() > 1e-3

    def test_training_hides_words_from_their_sentence_alone(self):
        words = Selector(SelectorConfig(word_dropout=0.999), 10).train().chooser.words
        tokens = torch.tensor([[2, 3, 4], [5, 6, 7]])
        context, own = words(tokens, tokens > 0).chunk(2, -1)
        close(context[0], context[1])
        assert not torch.allclose(own[0], own[1], atol=1e-3)
        close(words.eval()(tokens, tokens > 0).chunk(2, -1)[1], own)

    def test_words_that_nothing_shows_may_not_be_hidden(self):
        with pytest.raises(ValueError, match="word_dropout needs word_match"):
            SelectorConfig(word_match=False)

    def test_every_parameter_is_taught(self):
        network, batch = lively(SelectorConfig()), scene()
        with torch.enable_grad():
            network.loss(batch)["loss"].backward()
        without = {name for name, p in network.chooser.named_parameters() if p.grad is None}
        assert not without


class TestAblations:
    @pytest.mark.parametrize(
        "ablated, unheard",
        [({"relations": "objects"}, "pairs"), ({"relations": "none"}, "pairs"), ({"agreement": False}, "")],
    )
    def test_what_is_left_out_has_no_weights_and_no_say(self, ablated, unheard):
        network, whole = lively(SelectorConfig(**ablated)), lively(SelectorConfig())
        assert len(list(network.chooser.parameters())) <= len(list(whole.chooser.parameters()))
        found = network.encode_image(torch.randn(1, 3, 64, 64))
        tokens, mask = question()
        words = network.encode_words(tokens, mask)

        def ask(pairs):
            return network.chooser(found.tokens, found.valid, pairs, words, mask, torch.tensor([0]))[-1]

        moved = (ask(found.pairs + torch.rand_like(found.pairs)) - ask(found.pairs)).abs().max()
        assert (moved == 0) == (unheard == "pairs")

    def test_objects_that_do_not_attend_to_each_other_are_alone(self):
        network = lively(SelectorConfig(relations="none"))
        objects, valid, pairs = torch.randn(1, 3, 128), torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 3, 3, 12)
        tokens, mask = question()
        words = network.encode_words(tokens, mask)
        states = network.chooser(objects, valid, pairs, words, mask, torch.tensor([0]))[-1]
        alone = network.chooser(objects[:, :1], valid[:, :1], pairs[:, :1, :1], words, mask, torch.tensor([0]))[-1]
        close(states[:, :1], alone)


class TestFinder:
    def test_only_kept_candidates_suppress(self):
        finder = lively(SelectorConfig(candidates=4)).finder
        scores = torch.full((16, 16), -9.0)
        scores[4, 4], scores[4, 5], scores[4, 6] = 3.0, 2.0, 1.0  # a chain, 5 pixels apart
        centre = torch.zeros(1, 4, 16, 16)
        centre[0, 0] = scores
        centre[0, 1, 4, 5], centre[0, 1, 4, 6] = -3 / 8, -6 / 8
        candidates = finder.select_candidates(maps_with(centre))
        assert candidates.cells[candidates.selectable].tolist() == [4 * 16 + 4, 4 * 16 + 6]

    def test_the_best_candidate_of_an_empty_image_is_valid_but_not_selectable(self):
        centre = torch.full((1, 4, 16, 16), -9.0)
        candidates = lively(SelectorConfig()).finder.select_candidates(maps_with(centre))
        assert candidates.valid.tolist() == [[True]]
        assert candidates.selectable.tolist() == [[False]]

    @pytest.mark.parametrize("config", [SelectorConfig(), first_version_config()], ids=["full", "half"])
    def test_masks_are_kernels_over_the_pixel_embedding_inside_a_window(self, config):
        finder = lively(config).finder
        maps = finder.maps(torch.randn(1, 3, 64, 64))
        cell = maps.coarse.flatten(2)[:, :, 20].unsqueeze(1)
        x, y, radius = 20.0, 30.0, 9.0
        logits = finder.masks(maps, cell, torch.tensor([[[x, y, radius]]]))[0, 0]
        embedding = F.pixel_shuffle(finder.embed(maps.pixels), 2)[0]
        kernel, bias, narrow = finder.kernel(cell[0, 0]).split([config.kernel, 1, 1])
        i, j = 11, 17
        p = torch.tensor([i, j]) * config.mask_stride + (config.mask_stride - 1) / 2
        distance = (p[0] - y) ** 2 + (p[1] - x) ** 2
        expected = 2 / math.sqrt(config.kernel) * kernel @ embedding[:, i, j] + bias + 2
        expected = expected - 2.5 * F.softplus(narrow) * distance / radius**2
        close(logits[i, j], expected[0])

    def test_agreement_is_1_between_objects_that_surely_share_an_attribute(self):
        network = lively(SelectorConfig(attributes=(2,)))
        finder = network.finder

        class Sure(torch.nn.Module):
            def forward(self, tokens):
                return torch.tensor([[[50.0, 0.0], [50.0, 0.0], [0.0, 50.0]]])

        soft, centres = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 3) + 9
        agreement = finder.pairs(soft, centres, 1.0, Sure(), torch.zeros(1, 3, 128))[0, ..., 8]
        close(agreement, torch.tensor([[1.0, 1, -1], [1, 1, -1], [-1, -1, 1]]))

    def test_without_attributes_there_are_no_heads_for_them(self):
        network = lively(SelectorConfig(attributes=()))
        found = network.encode_image(torch.randn(1, 3, 64, 64))
        assert found.pairs.shape[-1] == 8
        assert network.finder.attributes is None


class TestMatching:
    def test_each_true_object_takes_the_nearest_and_the_nearer_wins(self, first_version, answer):
        found = answer[0]
        x, y = found.centres[0, 0, :2]
        centres = torch.tensor([[[x + 3, y], [x + 1, y], [x + 60, y + 60], [x, y]]])
        found = type(found)(**{name: value[:1] for name, value in vars(found).items()})
        matched = first_version.match(found, objects(centres, present=[True, True, True, False]))
        assert matched[0, 0] == 1
        assert 0 not in matched and 3 not in matched

    def test_found_objects_of_the_stored_scenes_are_their_true_ones(self, first_version, answer, golden):
        true = golden["id_maps"].long()
        present = F.one_hot(true, 9)[..., 1:].sum((1, 2)) > 0
        rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
        each = F.one_hot(true, 9)[..., 1:].float()
        area = each.sum((1, 2)).clamp(min=1)
        centres = torch.stack([(each * grid[..., None]).sum((1, 2)) / area for grid in (columns, rows)], dim=-1)
        matched = first_version.match(answer[0], Objects(true, centres, area, each.long(), present))
        regions = first_version.id_map(answer[0])
        for image, slot in (matched >= 0).nonzero().tolist():
            found, truth = regions[image] == slot + 1, true[image] == matched[image, slot] + 1
            assert (found & truth).sum() / (found | truth).sum() > 0.6
        assert (matched >= 0).sum() >= 0.8 * present.sum()


class TestLosses:
    def test_offsets_that_point_at_the_true_centre_cost_nothing(self):
        config = SelectorConfig()
        true = objects(torch.tensor([[[21.0, 30.0], [90.3, 77.0]]]), radii=[10.0, 25.0])
        centre = torch.zeros(1, 4, 16, 16)
        rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
        for k, half in enumerate((columns < 8, columns >= 8)):
            x, y = true.centres[0, k]
            centre[0, 1][half], centre[0, 2][half] = (
                ((x - 8 * columns - 3.5) / 8)[half],
                ((y - 8 * rows - 3.5) / 8)[half],
            )
            centre[0, 3][half] = math.log(true.radii[0, k] / 18)
        finder, maps = ObjectFinder(config), maps_with(centre)
        cells = torch.tensor([[3 * 16 + 2, 9 * 16 + 11]])
        close(finder.centres(maps, cells)[..., :2], true.centres)
        assert FinderLoss(config).offsets(maps, true) < 1e-6

    def test_a_centre_map_that_is_right_costs_less_than_one_that_is_a_cell_off(self):
        true = objects(torch.tensor([[[23.4, 30.0]]]))  # the cell of column 2 holds pixels 15.5 to 23.5
        right = torch.full((1, 4, 16, 16), -8.0)
        wrong = right.clone()
        right[0, 0, 3, 2] = wrong[0, 0, 3, 3] = 8.0
        loss = FinderLoss(SelectorConfig())
        assert loss.centres(maps_with(right), true) < 0.01 < loss.centres(maps_with(wrong), true)

    def test_mask_loss_is_8_cross_entropies_and_dice(self):
        logits, truth = 4 * torch.randn(3, 8, 8), torch.rand(3, 8, 8).round(decimals=1)
        p = logits.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(logits, truth)
        dice = 1 - (2 * (p * truth).sum((1, 2)) + 1) / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)
        close(mask_loss(logits, truth), 8 * entropy + dice.mean())

    def test_the_written_out_gradient_of_the_mask_loss_is_right(self):
        with torch.enable_grad():
            logits = (4 * torch.randn(2, 4, 4, dtype=torch.float64)).requires_grad_()
            assert torch.autograd.gradcheck(mask_loss, (logits, torch.rand(2, 4, 4, dtype=torch.float64)))

    def test_running_by_length_changes_nothing(self, first_version, inputs):
        found = first_version.encode_image(inputs[0])
        _, tokens, word_mask, image = inputs

        def ask(some, length):
            words = first_version.encode_words(tokens[some, :length], word_mask[some, :length])
            states = first_version.chooser(
                found.tokens, found.valid, found.pairs, words, word_mask[some, :length], image[some]
            )
            return first_version.chooser.answer(states[-1], found.valid[image[some]])

        assert len(tokens) >= 48
        for by, whole in zip(by_length(ask, word_mask), ask(torch.arange(64), 24), strict=True):
            close(by[..., :1], whole[..., :1])

    def test_empty_slots_change_no_loss_of_the_chooser(self, first_version, inputs, answer, golden):
        found, (_, tokens, word_mask, image) = answer[0], inputs
        matched = torch.where(found.valid, torch.arange(found.valid.shape[1]), -1)
        rest = matched, tokens, word_mask, image, golden["targets"]
        loss = first_version.choose_loss(found.tokens, found.valid, found.pairs, *rest)["loss"]
        padded = F.pad(found.tokens, (0, 0, 0, 4)), F.pad(found.valid, (0, 4)), F.pad(found.pairs, (0, 0, 0, 4, 0, 4))
        close(first_version.choose_loss(*padded, F.pad(matched, (0, 4)), *rest[1:])["loss"], loss)

    def test_a_program_costs_nothing_where_its_sets_are_read_rightly(self):
        criterion = ProgramLoss(SelectorConfig())
        sets = torch.rand(5, 4, 7) < 0.5  # (M, S, Q)
        there = (torch.arange(7) < 6).expand(5, -1)
        right = 30.0 * (2 * sets.float().mT - 1)
        right[:, 6] *= -1  # a free slot is asked nothing
        assert criterion.loss(right, sets, there) < 1e-6
        right[0, 0, 2] *= -1
        close(criterion.loss(right, sets, there), torch.tensor(30.0 / 30))

    def test_a_program_teaches_the_first_two_blocks_alone(self):
        network, batch = lively(SelectorConfig()), scene()
        found = network.encode_image(batch.image)
        assert network.program_criterion is not None
        with torch.enable_grad():
            words = network.encode_words(batch.tokens, batch.word_mask)
            states = network.chooser(
                found.tokens, found.valid, found.pairs, words, batch.word_mask, batch.image_of_expression
            )
            network.program_criterion(states).sum().backward()
        taught = [block.feed[0].weight.grad is not None for block in network.chooser.blocks]
        assert taught == [True, True, False, False]

    def test_the_sets_of_programs_are_asked_of_the_found_objects(self):
        network, batch = lively(SelectorConfig()), scene()
        found = network.encode_image(batch.image)
        matched = torch.tensor([[1, -1, 0]])
        three = found.tokens[:, :1].expand(-1, 3, -1), torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 3, 3, 12)
        steps = torch.rand(len(batch.tokens), 4, batch.objects.present.shape[1]) < 0.5
        seen = []
        network.program_criterion.loss = lambda logits, wanted, there: seen.append(wanted) or torch.tensor(2.0)
        rest = batch.tokens, batch.word_mask, batch.image_of_expression, batch.targets
        losses = network.choose_loss(*three, matched, *rest, steps)
        plain = network.choose_loss(*three, matched, *rest)
        assert torch.equal(seen[0][..., 0], steps[..., 1]) and torch.equal(seen[0][..., 2], steps[..., 0])
        assert not seen[0][..., 1].any()
        close(losses["loss"], plain["loss"] + 2)
        assert "program" in losses and "program" not in plain

    def test_without_program_supervision_there_are_no_heads_for_it(self):
        assert Selector(SelectorConfig(program_weight=0), 5).program_criterion is None

    def test_programs_need_blocks_that_can_be_asked(self):
        with pytest.raises(ValueError, match="program_weight needs at least 2 blocks, not 1"):
            SelectorConfig(blocks=1)

    def test_images_without_objects_teach_the_finder_that(self):
        batch, network = scene(), lively(SelectorConfig())
        batch.objects = objects(torch.zeros(1, 0, 2))
        batch.objects.id_map.zero_()
        with torch.enable_grad():
            network.find_loss(batch)["loss"].backward()
        assert network.finder.centre.bias.grad[0] > 0

    def test_a_few_steps_on_one_scene_find_its_objects(self):
        torch.manual_seed(0)
        network = Selector(SelectorConfig(), vocabulary_size=5).train()
        batch = scene()
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        with torch.enable_grad():
            for _ in range(40):
                network.find_loss(batch)["loss"].backward()
                optimizer.step()
                optimizer.zero_grad()
        found = network.encode_image(batch.image)
        matched = network.match(found, batch.objects)
        assert sorted(matched[0, found.selectable[0]].tolist()) == [0, 1]
        regions, true = network.id_map(found)[0] > 0, batch.objects.id_map[0] > 0
        assert (regions & true).sum() / (regions | true).sum() > 0.9


def close(given, expected, tolerance=1e-4):
    torch.testing.assert_close(given, expected, rtol=0, atol=tolerance * max(float(expected.abs().max()), 1.0))


def lively(config):
    """A network of random weights that believes in its candidates."""
    torch.manual_seed(0)
    network = Selector(config, vocabulary_size=10).eval()
    torch.nn.init.zeros_(network.finder.centre.bias)
    return network


def question():
    tokens = torch.tensor([[2, 3, 4]])
    return tokens, tokens > 0


def maps_with(centre):
    rows, columns = centre.shape[-2:]
    empty = torch.zeros(1, 1, rows, columns)
    return Maps(coarse=empty, fine=empty, pixels=empty, centre=centre)


def objects(centres, radii=None, present=None):
    count = centres.shape[1]
    return Objects(
        id_map=torch.zeros(1, 128, 128, dtype=torch.long),
        centres=centres,
        radii=torch.tensor([radii or [10.0] * count]),
        attributes=torch.zeros(1, count, 4, dtype=torch.long),
        present=torch.tensor([present or [True] * count], dtype=torch.bool),
    )


def scene():
    """Two bright discs on a dark image."""
    true = objects(torch.tensor([[[40.0, 40.0], [90.0, 80.0]]]), radii=[14.0, 20.0])
    rows, columns = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    for k, (x, y) in enumerate(true.centres[0].tolist()):
        true.id_map[0][(columns - x) ** 2 + (rows - y) ** 2 < true.radii[0, k] ** 2] = k + 1
    image = (true.id_map[:, None] > 0).float().expand(-1, 3, -1, -1) * 2 - 1
    nothing = torch.zeros(0, 1, dtype=torch.long)
    return Batch(image, nothing, nothing > 0, nothing[:, 0], torch.zeros(0, 2, dtype=torch.bool), true)
