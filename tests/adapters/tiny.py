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


def save_sam3(folder: Path, seed: int = 0) -> None:
    from transformers import Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor

    torch.manual_seed(seed)
    small = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                **small,
                "num_hidden_layers": 2,
                "image_size": 112,
                "pretrain_image_size": 56,
                "window_size": 4,
                "global_attn_indexes": [1],
            },
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        text_config={
            "model_type": "clip_text_model",
            **small,
            "num_hidden_layers": 1,
            "vocab_size": 49408,
            "projection_dim": 16,
            "max_position_embeddings": 32,
        },
        geometry_encoder_config={**small, "num_layers": 1},
        detr_encoder_config={**small, "num_layers": 1},
        detr_decoder_config={**small, "num_layers": 2, "num_queries": 6},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    processor = Sam3Processor(Sam3ImageProcessor(size={"height": 112, "width": 112}), clip_tokenizer())
    save(folder, spread(Sam3Model(config), 0.15), processor)


def save_florence2(folder: Path, seed: int = 0) -> None:
    from transformers import (
        BartTokenizer,
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    torch.manual_seed(seed)
    letters = [chr(code) for code in byte_pairs._byte_codes()]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = BartTokenizer(
        vocab={piece: i for i, piece in enumerate([*special, *letters])},
        merges=[],
        extra_special_tokens={"image_token": "<image>"},
    )
    tokenizer.add_tokens([*(f"<loc_{k}>" for k in range(1000)), "<poly>", "</poly>", "<sep>"])
    stages = {"depths": (1, 1, 1, 1), "embed_dim": (8, 8, 16, 16), "num_heads": (2, 2, 2, 2), "window_size": 4}
    config = Florence2Config(
        vision_config={**stages, "num_groups": (2, 2, 2, 2), "projection_dim": 16},
        text_config={
            "model_type": "bart",
            "d_model": 16,
            "vocab_size": len(tokenizer),
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16,
            "max_position_embeddings": 160,
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
            "forced_eos_token_id": 2,
        },
        image_token_id=tokenizer.image_token_id,
    )
    side = 64
    images = CLIPImageProcessor(
        size={"height": side, "width": side}, do_center_crop=False, resample=3, image_seq_length=(side // 32) ** 2 + 1
    )
    images.image_seq_length = (side // 32) ** 2 + 1  # cells of the last stage, and their mean
    tasks = {"polygons": {}, "description_with_bboxes": {}, "description_with_bboxes_or_polygons": {}}
    processor = Florence2Processor(images, tokenizer, post_processor_config=tasks)
    save(folder, spread(Florence2ForConditionalGeneration(config), 0.5), processor)
