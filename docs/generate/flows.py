"""The figures of the networks: what is computed from what, in the order of the code."""

import re
from collections.abc import Mapping

from flow import Box, draw

from networks import NAMES, files, title

MOST_LETTERS = 27  # of a line in a box
IMAGE = Box(0, 0, "image", "input")
BOXES: dict[str, dict[str, Box]] = {
    "selector": {
        "image": IMAGE,
        "words": Box(0, 2, "expression", "input"),
        "maps": Box(1, 0, "maps\npyramid, centres", "encoder"),
        "objects": Box(2, 0, "objects\ntokens and masks", "encoder"),
        "pairs": Box(2, 1, "Pairs\ngeometry, likeness", "encoder"),
        "encoder": Box(1, 2, "WordEncoder\nattention among words", "encoder"),
        "blocks": Box(3, 1.5, "4 blocks\nwords, then objects", "fusion"),
        "scores": Box(4, 1, "scores of objects", "decoder"),
        "exists": Box(4, 2, "existence", "decoder"),
        "mask": Box(5, 0.5, "mask\nof the chosen objects", "output"),
    },
    "selector_video": {
        "image": Box(0, 0, "frames of a clip", "input"),
        "words": Box(0, 2, "expression", "input"),
        "finder": Box(1, 0, "finder\neach frame by itself", "encoder"),
        "appearance": Box(1, 1, "Appearance\nof each object", "encoder"),
        "encoder": Box(1, 2, "WordEncoder\nattention among words", "encoder"),
        "motion": Box(2, 1, "Motion\nfollowed over the clip", "fusion"),
        "objects": Box(3, 0, "objects of the\nmiddle frame", "encoder"),
        "chooser": Box(3, 2, "Chooser\nas in Selector", "fusion"),
        "scores": Box(4, 1, "scores, existence", "decoder"),
        "mask": Box(5, 0.5, "mask\nof the chosen objects", "output"),
    },
    "dmmi": {
        "image": IMAGE,
        "words": Box(0, 1.5, "expression", "input"),
        "erased": Box(0, 3, "expression\na phrase erased", "training"),
        "stages": Box(1, 0, "4 stages\nSwin or ResNet", "encoder"),
        "bert": Box(1, 1.5, "words\nBERT", "encoder"),
        "mba": Box(2, 0.75, "MBA, each stage\nboth directions", "fusion"),
        "decoder": Box(3, 0.75, "Decoder\ncoarse to fine", "decoder"),
        "mask": Box(4, 0.75, "mask", "output"),
        "recover": Box(3, 2.25, "ContextClueRecovery\nof the erased words", "training"),
        "losses": Box(4, 2.25, "L_sim and L_con\nin training only", "training"),
    },
    "cmirnet": {
        "image": IMAGE,
        "words": Box(0, 2, "expression", "input"),
        "stages": Box(1, 0, "stages 2 to 5\nResNet or Swin", "encoder"),
        "bert": Box(1, 2, "words, sentence\nBERT", "encoder"),
        "tgmm": Box(2, 1, "TGMM, each stage\nwords and pixels", "fusion"),
        "aspp": Box(3, 0, "ASPP\nstage 6", "encoder"),
        "cgip": Box(3, 1, "CGIP\ngraphs of pixels, words", "fusion"),
        "cmae": Box(4, 1, "Decoder with CMAE\nspace, then channels", "decoder"),
        "mask": Box(5, 1, "mask\na head a stage", "output"),
    },
    "eavl": {
        "image": IMAGE,
        "words": Box(0, 2, "expression", "input"),
        "encoder": Box(1, 0, "levels\nSwin or CLIP", "encoder"),
        "pool": Box(2, 0, "Pool\nlevels, image's vector", "encoder"),
        "text": Box(1, 2, "words, sentence\nBERT or CLIP", "encoder"),
        "neck": Box(2, 1, "FusionNeck\nsentence on pixels", "fusion"),
        "queries": Box(3, 2, "QueryGenerator\nwords seen by pixels", "fusion"),
        "decoder": Box(3, 1, "PixelDecoder\npixels attend to queries", "decoder"),
        "masks": Box(4, 1, "MaskGenerator\nqueries as kernels", "decoder"),
        "mask": Box(5, 1, "mask\nsum of the queries'", "output"),
    },
    "lavt": {
        "image": Box(0, 0.5, "image", "input"),
        "words": Box(0, 1.75, "expression", "input"),
        "stages": Box(1, 0.5, "4 stages\nSwin", "encoder"),
        "bert": Box(1, 1.75, "words\nBERT", "encoder"),
        "pwam": Box(2, 1, "PWAM, each stage\npixels attend to words", "fusion"),
        "gate": Box(2, 0, "language gate\nback into the encoder", "fusion"),
        "decoder": Box(3, 1, "Decoder\ncoarse to fine", "decoder"),
        "mask": Box(4, 1, "mask", "output"),
    },
    "cris": {
        "image": IMAGE,
        "words": Box(0, 2, "expression", "input"),
        "encoder": Box(1, 0, "levels\nCLIP's ResNet", "encoder"),
        "text": Box(1, 2, "words, sentence\nCLIP's Transformer", "encoder"),
        "neck": Box(2, 0.5, "FusionNeck\nsentence on pixels", "fusion"),
        "decoder": Box(3, 0.5, "PixelDecoder\npixels attend to words", "decoder"),
        "projector": Box(4, 1, "Projector\nsentence as a kernel", "decoder"),
        "mask": Box(5, 1, "mask", "output"),
    },
    "vlt": {
        "image": IMAGE,
        "words": Box(0, 2, "expression", "input"),
        "encoder": Box(1, 0, "levels\nDarkNet-53 or Swin", "encoder"),
        "text": Box(1, 2, "words\nGRU or BERT", "encoder"),
        "fusion": Box(2, 0, "Fusion\npixels and sentence", "fusion"),
        "queries": Box(2, 1, "QueryGeneration\nwords weighed by pixels", "fusion"),
        "transformer": Box(3, 0, "Transformer\nqueries read pixels", "decoder"),
        "balance": Box(3, 1, "QueryBalance\nconfidence of each", "decoder"),
        "decoder": Box(4, 1, "MaskDecoder", "decoder"),
        "mask": Box(5, 1, "mask", "output"),
    },
    "dcmfnet": {
        "image": IMAGE,
        "words": Box(0, 2, "expression", "input"),
        "stages": Box(1, 0, "stages V1 to V4", "encoder"),
        "sentence": Box(1, 2, "sentence", "encoder"),
        "igf": Box(2, 1.5, "IGF on V3, V4 and M\nfuse, gate, fuse again", "fusion"),
        "joined": Box(3, 0, "M\nV2 to V4 joined", "fusion"),
        "aspp": Box(4, 0, "ASPP\nM_dec", "decoder"),
        "detail": Box(4, 1.5, "IGF on V1\nguided by M_dec", "decoder"),
        "mask": Box(5, 1.5, "mask", "output"),
    },
    "cmpc": {
        "image": IMAGE,
        "words": Box(0, 2, "expression", "input"),
        "encoder": Box(1, 0, "levels c3, c4, c5\nDeepLab ResNet-101", "encoder"),
        "text": Box(1, 2, "words\nLSTM", "encoder"),
        "types": Box(2, 2, "WordTypes\nentity, attribute, ...", "encoder"),
        "entity": Box(2, 0, "EntityPerception\neach level", "fusion"),
        "relation": Box(3, 0, "RelationReasoning\ngraph of pixels", "fusion"),
        "output": Box(4, 0, "OutputFusion", "fusion"),
        "exchange": Box(4, 1, "Exchange (TGFE)\namong levels", "decoder"),
        "lstm": Box(5, 1, "ConvLSTM\nlevels in turn", "decoder"),
        "mask": Box(5, 2, "mask", "output"),
    },
    "cmpc_video": {
        "image": Box(0, 0, "frames of a clip", "input"),
        "words": Box(0, 2, "expression", "input"),
        "encoder": Box(1, 0, "levels over time\nI3D or frame by frame", "encoder"),
        "text": Box(1, 2, "words\nLSTM", "encoder"),
        "types": Box(2, 2, "WordTypes\nentity, ..., action", "encoder"),
        "entity": Box(2, 0, "EntityPerception\neach level", "fusion"),
        "relation": Box(3, 0, "RelationReasoning\nin the middle frame", "fusion"),
        "action": Box(3, 1, "ActionReasoning\namong frames", "fusion"),
        "output": Box(4, 0.5, "OutputFusion", "fusion"),
        "exchange": Box(4, 1.5, "Exchange (TGFE)", "decoder"),
        "lstm": Box(5, 1.5, "ConvLSTM", "decoder"),
        "mask": Box(5, 0.5, "mask\nof the middle frame", "output"),
    },
}
ARROWS: dict[str, tuple[str, ...]] = {
    "selector": (
        "image maps", "maps objects", "objects pairs", "words encoder", "encoder blocks", "objects blocks",
        "pairs blocks", "blocks scores", "blocks exists", "scores mask", "exists mask", "objects mask",
    ),
    "selector_video": (
        "image finder", "image appearance", "finder appearance", "finder motion", "appearance motion",
        "finder objects", "motion objects", "words encoder", "encoder chooser", "objects chooser", "chooser scores",
        "scores mask", "objects mask",
    ),
    "dmmi": (
        "image stages", "words bert", "stages mba", "bert mba", "mba stages", "mba decoder", "decoder mask",
        "erased bert", "bert recover", "decoder recover", "recover losses", "decoder losses",
    ),
    "cmirnet": (
        "image stages", "words bert", "stages tgmm", "bert tgmm", "tgmm stages", "stages aspp", "tgmm cgip",
        "aspp cgip", "bert cgip", "cgip cmae", "tgmm cmae", "bert cmae", "cmae mask",
    ),
    "eavl": (
        "image encoder", "words text", "encoder pool", "pool neck", "text neck", "pool queries", "text queries",
        "neck decoder", "queries decoder", "queries masks", "decoder masks", "masks mask",
    ),
    "lavt": (
        "image stages", "words bert", "stages pwam", "bert pwam", "pwam gate", "gate stages", "pwam decoder",
        "decoder mask",
    ),
    "cris": (
        "image encoder", "words text", "encoder neck", "text neck", "neck decoder", "text decoder", "decoder projector",
        "text projector", "projector mask",
    ),
    "vlt": (
        "image encoder", "words text", "encoder fusion", "text fusion", "fusion queries", "text queries",
        "fusion transformer", "queries transformer", "queries balance", "transformer balance", "balance decoder",
        "decoder mask",
    ),
    "dcmfnet": (
        "image stages", "words sentence", "stages igf", "sentence igf", "igf stages", "stages joined", "igf joined",
        "joined igf", "joined aspp", "stages detail", "aspp detail", "detail mask",
    ),
    "cmpc": (
        "image encoder", "words text", "text types", "encoder entity", "types entity", "entity relation",
        "types relation", "relation output", "types output", "output exchange", "types exchange", "exchange lstm",
        "lstm mask",
    ),
    "cmpc_video": (
        "image encoder", "words text", "text types", "encoder entity", "types entity", "entity relation",
        "types relation", "entity action", "types action", "relation output", "action output", "output exchange",
        "types exchange", "exchange lstm", "lstm mask",
    ),
}  # fmt: skip


def figures() -> Mapping[str, str]:
    """Returns the figure of each network as SVG; names of classes in it must be those of the network's files."""
    for name in NAMES:
        code = "".join(file.read_text(encoding="utf-8") for file in files(name))
        for box in BOXES[name].values():
            lines = box.text.split("\n")
            words = re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", lines[0])
            if left := [word for word in words if not re.search(rf"\b{word}\b", code)]:
                raise SystemExit(f"docs/generate/flows.py: {name} has no {left[0]}")
            if longest := [line for line in lines if len(line) > MOST_LETTERS]:
                raise SystemExit(f"docs/generate/flows.py: {longest[0]!r} is too long for a box")
    return {name: draw(f"How data flow through {title(name)}", BOXES[name], ARROWS[name]) for name in NAMES}
