"""Open models of a few hundred thousand parameters with random weights, saved as their authors save theirs.

Configs are tiny, vocabularies are those that come with refseg.
"""

import gzip
from functools import cache
from pathlib import Path

import torch

from refseg.text import byte_pairs, word_pieces


@cache
def clip_tokenizer(padding: str = "<|endoftext|>"):
    from transformers import CLIPTokenizer

    lines = (
        gzip.decompress(byte_pairs.VOCABULARY.read_bytes()).decode().splitlines()[:2000]
    )  # all take a second to load
    merges = [(first, second) for first, second in map(str.split, lines)]
    letters = [chr(code) for code in byte_pairs._byte_codes()]
    pieces = [*letters, *(letter + byte_pairs.WORD_END for letter in letters), *map("".join, merges)]
    pieces += [byte_pairs.START, byte_pairs.END]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges, pad_token=padding)


def save_clipseg(folder: Path, seed: int = 0) -> None:
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        ViTImageProcessor,
    )

    torch.manual_seed(seed)
    size = len(clip_tokenizer())
    layers = {"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
    config = CLIPSegConfig(
        text_config={
            **layers,
            "max_position_embeddings": 77,
            "vocab_size": size,
            "bos_token_id": size - 2,
            "eos_token_id": size - 1,
        },
        vision_config={**layers, "image_size": 64, "patch_size": 16},
        projection_dim=16,
        reduce_dim=16,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        extract_layers=[0, 1, 2],
        conditional_layer=0,
    )
    # random weights hardly answer: larger ones tell expressions and places apart
    model = spread(CLIPSegForImageSegmentation(config), 0.2)
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


@cache
def bert_tokenizer():
    from transformers import BertTokenizer

    return BertTokenizer(vocab=str(word_pieces.VOCABULARY))


def save_gdino(folder: Path, seed: int = 0, mm: bool = False) -> None:
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        MMGroundingDinoConfig,
        MMGroundingDinoForObjectDetection,
        SwinConfig,
    )

    torch.manual_seed(seed)
    swin = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4, "image_size": 64}
    words = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    small = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = (MMGroundingDinoConfig if mm else GroundingDinoConfig)(
        backbone_config=SwinConfig(**swin, out_indices=[2, 3, 4]),
        text_config=BertConfig(vocab_size=30522, **words),
        num_queries=20,
        encoder_layers=1,
        decoder_layers=2,
        d_model=32,
        **small,
    )
    model = (MMGroundingDinoForObjectDetection if mm else GroundingDinoForObjectDetection)(config).eval()
    with torch.no_grad():
        model.model.decoder.layer_norm.weight.mul_(0.2)  # scores are neither 0 nor 1
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 128})
    save(folder, model, GroundingDinoProcessor(images, bert_tokenizer()))


def save_owlv2(folder: Path, seed: int = 0) -> None:
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    torch.manual_seed(seed)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**small, "image_size": 64, "patch_size": 16}
    model = Owlv2ForObjectDetection(Owlv2Config(text_config=small, vision_config=vision, projection_dim=16)).eval()
    torch.nn.init.normal_(model.box_head.dense2.weight, std=0.02)  # boxes are where their patches are
    for value in (model.box_head.dense2.bias, model.class_head.logit_shift.weight, model.class_head.logit_scale.weight):
        torch.nn.init.zeros_(value)
    torch.nn.init.constant_(model.class_head.logit_scale.bias, 2.0)  # scores are neither 0 nor 1
    images = Owlv2ImageProcessor(size={"height": 64, "width": 64})
    save(folder, model, Owlv2Processor(images, clip_tokenizer("!")))


def save_sam2(folder: Path, seed: int = 0) -> None:
    from transformers import Sam2Config, Sam2ImageProcessor, Sam2Model, Sam2Processor

    torch.manual_seed(seed)
    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "num_attention_heads": 1,
                "image_size": [64, 64],
                "blocks_per_stage": [1, 2, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 2, 4, 8],
                "window_size_per_stage": [4, 4, 4, 4],
                "global_attention_blocks": [4],  # none may be the first of a stage
                "window_positional_embedding_background_size": [4, 4],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 16,
        },
        **_mask_decoder(),
    )
    images = Sam2ImageProcessor(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})
    save(folder, spread(Sam2Model(config)), Sam2Processor(images))


def save_edgetam(folder: Path, seed: int = 0) -> None:
    from transformers import (
        EdgeTamConfig,
        EdgeTamModel,
        EdgeTamVisionConfig,
        Sam2ImageProcessor,
        Sam2Processor,
        TimmWrapperConfig,
    )

    torch.manual_seed(seed)
    backbone = TimmWrapperConfig(
        architecture="repvit_m1",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
        num_labels=2,
    )
    vision = EdgeTamVisionConfig(
        backbone_config=backbone, backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]], fpn_hidden_size=16
    )
    images = Sam2ImageProcessor(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})
    model = EdgeTamModel(EdgeTamConfig(vision_config=vision, **_mask_decoder())).eval()
    spread(model.mask_decoder)
    save(folder, model, Sam2Processor(images))


def save_sam(folder: Path, seed: int = 0, hq: bool = False) -> None:
    from transformers import (
        SamConfig,
        SamHQConfig,
        SamHQModel,
        SamHQProcessor,
        SamImageProcessor,
        SamModel,
        SamProcessor,
    )

    torch.manual_seed(seed)
    vision = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 16, "window_size": 2}
    vision |= {
        "output_channels": 16,
        "image_size": 64,
        "patch_size": 16,
        "global_attn_indexes": [1],
        "num_pos_feats": 8,
    }
    config = (SamHQConfig if hq else SamConfig)(vision_config=vision, **_mask_decoder({"vit_dim": 16} if hq else {}))
    images = SamImageProcessor(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    )
    save(folder, spread((SamHQModel if hq else SamModel)(config)), (SamHQProcessor if hq else SamProcessor)(images))


def _mask_decoder(further: dict[str, int] | None = None) -> dict[str, dict[str, int]]:
    """The parts of SAM and its successors that boxes enter."""
    decoder = {"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16, **(further or {})}
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
    return {"prompt_encoder_config": prompts, "mask_decoder_config": decoder}


def save_qwen3vl(folder: Path, seed: int = 0) -> None:
    from transformers import (
        Qwen2Tokenizer,
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    torch.manual_seed(seed)
    letters = [chr(code) for code in byte_pairs._byte_codes()]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>"]
    special += ["<|vision_start|>", "<|vision_end|>"]
    ids = {piece: i for i, piece in enumerate([*letters, *special])}
    tokenizer = Qwen2Tokenizer(vocab=ids, merges=[], additional_special_tokens=special[1:])
    config = Qwen3VLConfig(
        text_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "vocab_size": len(ids),
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0},
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "depth": 2,
            "num_heads": 2,
            "out_hidden_size": 16,
            "patch_size": 8,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    model = Qwen3VLForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    side = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    images = Qwen2VLImageProcessor(patch_size=8, temporal_patch_size=2, merge_size=2, size=side)
    videos = Qwen3VLVideoProcessor(patch_size=8, temporal_patch_size=2, merge_size=2, size=side)
    template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
        "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
        "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    save(folder, model, Qwen3VLProcessor(images, tokenizer, videos, chat_template=template))


def save_mmgdino(folder: Path) -> None:
    save_gdino(folder, mm=True)


def save_samhq(folder: Path) -> None:
    save_sam(folder, hq=True)


def save_mask2former(folder: Path, seed: int = 0) -> None:
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    torch.manual_seed(seed)
    swin = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4, "image_size": 64}
    names = dict(enumerate(["Person", "Dog", "Cat"]))
    config = Mask2FormerConfig(
        backbone_config=SwinConfig(**swin, out_features=["stage1", "stage2", "stage3", "stage4"]),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=16,
        num_queries=10,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
    images = Mask2FormerImageProcessor(size={"shortest_edge": 48, "longest_edge": 96}, size_divisor=32)
    save(folder, spread(Mask2FormerForUniversalSegmentation(config), 0.2), images)


def save_clip(folder: Path, seed: int = 0) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    torch.manual_seed(seed)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    size = len(clip_tokenizer())
    words = {**small, "vocab_size": size, "max_position_embeddings": 77, "eos_token_id": size - 1}
    config = CLIPConfig(
        text_config=words, vision_config={**small, "image_size": 32, "patch_size": 16}, projection_dim=16
    )
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    model = spread(CLIPModel(config))
    torch.nn.init.constant_(model.logit_scale, 1.0)
    save(folder, model, CLIPProcessor(images, clip_tokenizer()))


def save_siglip2(folder: Path, seed: int = 0) -> None:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    torch.manual_seed(seed)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {**small, "vocab_size": len(clip_tokenizer("!")), "max_position_embeddings": 64, "projection_size": 16}
    config = SiglipConfig(text_config=words, vision_config={**small, "image_size": 32, "patch_size": 16})
    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    model = spread(SiglipModel(config))
    torch.nn.init.constant_(model.logit_scale, 1.0)
    save(folder, model, SiglipProcessor(images, clip_tokenizer("!")))
