import pytest
import torch
from torch import nn

from refseg.networks.vlt import PRESETS, VLT, MaskDecoder, QueryBalance, QueryGeneration, Transformer

DARKNET = PRESETS["vlt_darknet53"]
WHOLE = 1e-4
VOCABULARY_SIZE = 3


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def convolutions(parts):
    """All convolutions below these modules, in the order in which Keras numbers them."""
    return [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Conv2d)]


def batch_norms(parts):
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    return [layer for part in parts for layer in part.modules() if isinstance(layer, kinds)]


def attention_layers(attention):
    return {"q": attention.query, "k": attention.key, "v": attention.value, "o": attention.out}


def transformer_layers(transformer):
    """Our layers by Keras' names."""
    layers = {}
    for i, ours in enumerate(transformer.encoder, start=1):
        layers |= of_block(f"Encoder-{i}-MultiHeadSelfAttention", attention_layers(ours.among), ours.among_norm)
        layers |= of_block(f"Encoder-{i}-FeedForward", feed_layers(ours), ours.feed_norm)
    for i, ours in enumerate(transformer.decoder, start=1):
        layers |= of_block(f"Decoder-{i}-MultiHeadSelfAttention", attention_layers(ours.among), ours.among_norm)
        layers |= of_block(f"Decoder-{i}-MultiHeadQueryAttention", attention_layers(ours.memory), ours.memory_norm)
        layers |= of_block(f"Decoder-{i}-FeedForward", feed_layers(ours), ours.feed_norm)
    return layers


def feed_layers(layer):
    return {"1": layer.feed_forward[0], "2": layer.feed_forward[2]}


def of_block(name, layers, add_norm):
    return {f"{name}.{key}": layer for key, layer in layers.items()} | {f"{name}-Norm": add_norm.norm}


def dense_layers(generation, balance, first):
    """The dense layers that the whole network has from `dense_3` on, numbered from `first` on."""
    layers = [generation.vision[0], generation.language[0]]
    layers += [generation.query[0], generation.key[0], generation.value[0]]
    layers += [balance.query[0], balance.answer[0], balance.confidence[0], balance.confidence[2], balance.response[0]]
    return {f"dense_{i}": layer for i, layer in enumerate(layers, start=first)}


def numbered(name, layers):
    return {f"{name}_{i}": layer for i, layer in enumerate(layers, start=1)}


def fill(layers, weights):
    """Gives each layer the weights of its name; all are used up."""
    unused = set(weights)
    for name, layer in layers.items():
        for key, own in {**dict(layer.named_parameters()), **dict(layer.named_buffers())}.items():
            if key != "num_batches_tracked":
                own.copy_(weights[f"{name}.{key}"])
                unused.discard(f"{name}.{key}")
    assert not unused


def outputs_of(modules):
    """What the named modules give in the next forward pass."""
    seen = {}
    for name, module in modules.items():
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
    return seen


def test_query_generation_and_transformer(golden):
    g = golden("vlt_transformer")
    config = DARKNET.replace(width=64, queries=6)
    generation, transformer = QueryGeneration(config, 10, 48), Transformer(config)
    balance, decoder = QueryBalance(config), MaskDecoder(config)
    layers = dense_layers(generation, balance, 1) | transformer_layers(transformer)
    layers |= {f"multi_head_attention_1.{key}": layer for key, layer in attention_layers(generation.attend).items()}
    parts = [generation.maps, decoder.join]
    layers |= numbered("conv2d", convolutions(parts)) | numbered("batch_normalization", batch_norms(parts))
    fill(layers, g.weights())
    for module in generation, transformer, balance, decoder:
        module.eval()
    seen = outputs_of(
        {
            "query_maps": generation.maps,
            "query_vision": generation.vision,
            "words": generation.language,
            "encoder": transformer.encoder[-1],
            "confidence": balance.confidence,
        }
    )
    words = g.input("noise", "module/words48", (2, 9, 48))
    everything = torch.ones(2, 9, dtype=torch.bool)
    queries = generation(g.input("noise", "module/visual10x26", (2, 10, 26, 26)), words, everything).values
    answers = transformer(g.input("noise", "module/visual64x26", (2, 64, 26, 26)), queries)
    responses = balance(answers, queries, (26, 26))
    for name, output in seen.items():
        g.check(name, output, 3e-5)
    g.check("queries", queries, 3e-5)
    g.check("decoder", answers, 3e-5)
    g.check("responses", responses, 3e-5)
    g.check("out", decoder.join(responses), 3e-5)


@pytest.mark.full_size
def test_whole_network(golden):
    g = golden("vlt_darknet53")
    network = VLT(DARKNET, VOCABULARY_SIZE).eval()
    fusion, generation, decoder = network.fusion, network.query_generation, network.decoder
    fused = [fusion.convolved, fusion.of_v4, fusion.join_v4, fusion.of_v3, fusion.join_v3]
    fused += [fusion.back, fusion.of_both, fusion.pixels]
    parts = [network.image_encoder, *fused, generation.maps, decoder]
    norms = [network.image_encoder, fused[0], fusion.sentence.norm, fusion.product, *fused[1:]]
    layers = numbered("conv2d", convolutions(parts))
    layers |= numbered("batch_normalization", batch_norms([*norms, generation.maps, decoder]))
    layers |= {"dense_1": fusion.sentence.weigh[0], "dense_2": fusion.sentence.project}
    layers |= dense_layers(generation, network.balance, 3) | transformer_layers(network.transformer)
    layers |= {f"multi_head_attention_1.{key}": layer for key, layer in attention_layers(generation.attend).items()}
    layers |= {
        "bidirectional_1.forward": network.word_encoder.ahead,
        "bidirectional_1.backward": network.word_encoder.back,
    }
    fill(layers, g.weights())
    stages = network.image_encoder.stages
    seen = outputs_of(
        {
            "v3": stages[1],
            "v4": stages[2],
            "v5": stages[3],
            "sentence": fusion.sentence.pooled,
            "fused13": fusion.product,
            "fused26": fusion.join_v3,
            "pixels": fusion.pixels,
            "query_maps": generation.maps,
            "queries": generation,
            "transformer": decoder.join,
            "out": decoder,
        }
    )
    vectors = g.input("noise", "input/words300", (1, 15, 300))
    vectors[:, 9:] = 0
    words = network.word_encoder.read(vectors)
    g.check("words", words, WHOLE)
    features = network.encode_image(g.input("image", "input/image", 1, 416, 416))
    output = network.fuse(features, words, torch.arange(15)[None] < 9, torch.tensor([0]))
    seen["queries"] = seen["queries"].values
    for name, value in seen.items():
        g.check(name, value, WHOLE)
    g.check_mask(output.logits)
