"""Open models of a few hundred thousand parameters with random weights, saved as their authors save theirs.

Configs are tiny, vocabularies are those that come with refseg.
"""

import gzip
from functools import cache
from pathlib import Path

import torch

from refseg.text import byte_pairs


@cache
def clip_tokenizer():
    from transformers import CLIPTokenizer

    lines = gzip.decompress(byte_pairs.VOCABULARY.read_bytes()).decode().splitlines()
    merges = [(first, second) for first, second in map(str.split, lines)]
    letters = [chr(code) for code in byte_pairs._byte_codes()]
    pieces = [*letters, *(letter + byte_pairs.WORD_END for letter in letters), *map("".join, merges)]
    pieces += [byte_pairs.START, byte_pairs.END]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges)


def save_clipseg(folder: Path, seed: int = 0) -> None:
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        ViTImageProcessor,
    )

    torch.manual_seed(seed)
    layers = {"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
    config = CLIPSegConfig(
        text_config={**layers, "max_position_embeddings": 77, "vocab_size": 49408, "eos_token_id": 49407},
        vision_config={**layers, "image_size": 64, "patch_size": 16},
        projection_dim=16,
        reduce_dim=16,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        extract_layers=[0, 1, 2],
        conditional_layer=0,
    )
    # random weights hardly answer: larger ones tell expressions and places apart
    model = spread(CLIPSegForImageSegmentation(config))
    processor = CLIPSegProcessor(ViTImageProcessor(size={"height": 64, "width": 64}, do_resize=True), clip_tokenizer())
    save(folder, model, processor)


def spread(model: torch.nn.Module, scale: float = 0.3) -> torch.nn.Module:
    """Draws matrices anew and wide enough that inputs matter."""
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value.normal_(0, scale)
    return model.eval()


def save(folder: Path, model, processor) -> None:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
