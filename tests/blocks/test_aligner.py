import pytest
import torch
import torch.nn.functional as F

from refseg.blocks.aligner import Aligner, AlignerConfig, MaskGenerator, Queries, QueryGenerator, convolve_each

CONFIG = AlignerConfig(queries=6, width=16, heads=2, image_size=64)
LEVELS = (8, 12, 16)


def levels(count=2, height=4, width=4):
    sizes = [(c, height * 4 // s, width * 4 // s) for c, s in zip(LEVELS, (2, 4, 8), strict=True)]
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, *size, generator=generator) for size in sizes], torch.randn(
        count, 5, generator=generator
    )


def spoken(count=3, length=7):
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([[length], [3], [1]])[:count]
    return torch.randn(count, length, 10, generator=generator), torch.arange(length) < lengths


def generator_of(config=CONFIG):
    torch.manual_seed(0)
    return QueryGenerator(config, LEVELS, pooled=5, words=10).eval()


IMAGES = torch.tensor([0, 1, 1])


def test_kernels_slide_over_their_own_map():
    torch.manual_seed(0)
    x, parameters = torch.randn(3, 4, 5, 7), torch.randn(3, 37)
    expected = [
        F.conv2d(m[None], p[:36].view(1, 4, 3, 3), p[36:], padding=1) for m, p in zip(x, parameters, strict=True)
    ]
    torch.testing.assert_close(convolve_each(x, parameters), torch.cat(expected))


@pytest.mark.parametrize("estimator", [True, False])
def test_the_sum_of_masks_is_that_of_equations_12_and_14(estimator):
    torch.manual_seed(0)
    masks = MaskGenerator(CONFIG.replace(estimator=estimator), channels=4)
    x, queries = torch.randn(3, 4, 5, 7), Queries(torch.randn(3, 6, 16), torch.ones(3, 6, 2))
    kernels = masks.kernel(queries.values)
    of_each_query = torch.stack([convolve_each(x, kernels[:, n]) for n in range(6)], 1)[:, :, 0]
    shares = masks.estimate(queries.values) if estimator else torch.full((3, 6), 1 / 6)
    torch.testing.assert_close(shares.sum(1), torch.ones(3))
    expected = (shares[:, :, None, None] * of_each_query).sum(1, keepdim=True)
    torch.testing.assert_close(masks(x, queries), expected, rtol=1e-4, atol=1e-5)


def test_queries_are_those_of_equations_8_to_10():
    make, (maps, pooled), (words, word_mask) = generator_of(), levels(), spoken()
    sight = make.encode_image(maps, pooled)
    queries = make(sight, words, word_mask, IMAGES)
    for m, image in enumerate(IMAGES):
        known = words[m, word_mask[m]]
        together = F.relu(make.word(known)) * F.relu(make.vision(pooled[image]))
        weights = (sight.queries[image] @ F.relu(make.key(together)).T).softmax(-1)
        torch.testing.assert_close(queries.values[m], weights @ F.relu(make.value(together)), rtol=1e-4, atol=1e-5)
        assert not queries.attention[m, :, ~word_mask[m]].any()


def test_the_scale_of_equation_9_is_an_option():
    (maps, pooled), (words, word_mask) = levels(), spoken()
    plain, scaled = (generator_of(CONFIG.replace(query_scale=scale)) for scale in ("none", "sqrt"))
    flat, steep = (
        make(make.encode_image(maps, pooled), 9 * words, word_mask, IMAGES).attention[0] for make in (scaled, plain)
    )
    assert flat.std() < steep.std()


def test_without_global_vision_the_image_is_not_in_the_words():
    make, (maps, pooled), (words, word_mask) = generator_of(CONFIG.replace(global_vision=False)), levels(), spoken()
    one, other = (make(make.encode_image(maps, v), words, word_mask, IMAGES).values for v in (pooled, 2 * pooled))
    assert torch.equal(one, other)


def test_other_sizes_are_brought_to_the_grid_of_the_training():
    make, (words, word_mask) = generator_of(), spoken()
    for height, width in ((8, 8), (2, 10)):
        queries = make(make.encode_image(*levels(2, height, width)), words, word_mask, IMAGES)
        assert queries.values.shape == (3, 6, 16)


def test_queries_differ_from_the_start():
    # As in the first step of a training; with torch's own first weights by 1 % of their mean, and they stay alike.
    torch.manual_seed(0)
    make = QueryGenerator(AlignerConfig(image_size=256), (32, 64, 128), pooled=128, words=512)
    maps = [torch.randn(2, c, 128 // s, 128 // s) for c, s in zip((32, 64, 128), (4, 8, 16), strict=True)]
    words, word_mask = torch.randn(2, 17, 512), torch.ones(2, 17, dtype=torch.bool)
    values = make(make.encode_image(maps, torch.randn(2, 128)), words, word_mask, torch.arange(2)).values
    assert values.std(1).mean() > 0.05 * values.mean()


def test_the_best_queries_are_shown_with_their_words():
    torch.manual_seed(0)
    aligner, (maps, pooled), (words, word_mask) = Aligner(CONFIG, LEVELS, 5, 10, 4).eval(), levels(), spoken()
    seen = []
    aligner.masks.candidates.register_forward_hook(lambda module, inputs, output: seen.append(output))
    aligner(torch.randn(3, 4, 16, 16), aligner.encode_image(maps, pooled), words, word_mask, IMAGES)
    (candidates,) = seen
    best = candidates.shares.max(1).indices
    assert torch.equal(candidates.words(0), candidates.attention[torch.arange(3), best])
    assert candidates.mask(1).shape == (3, 16, 16)
    names = [view.name for view in aligner.masks.views()]
    assert names[:2] == ["shares of queries", "mask of the first query"] and len(set(names)) == len(names)
    (shares, *_) = aligner.masks.views()
    assert shares.read(candidates).tolist() == sorted(candidates.shares[0].tolist(), reverse=True)[: len(shares.labels)]
