"""Papers of the networks, with the sizes and costs that they report."""

from refseg.config import Config


class Paper(Config):
    """Title, venue and link of a paper."""

    title: str
    venue: str
    link: str


class Reported(Config):
    """Size and cost as printed in a paper's table."""

    parameters_m: float  # millions
    multiply_adds_g: float | None = None  # 10^9; None where the table has none


PAPERS = {
    "dmmi": Paper(
        title="Beyond One-to-One: Rethinking the Referring Image Segmentation",
        venue="ICCV 2023",
        link="https://arxiv.org/abs/2308.13853",
    ),
    "cmirnet": Paper(
        title="CMIRNet: Cross-Modal Interactive Reasoning Network for Referring Image Segmentation",
        venue="IEEE TCSVT 2024",
        link="https://doi.org/10.1109/TCSVT.2024.3508752",
    ),
    "eavl": Paper(
        title="EAVL: Explicitly Align Vision and Language for Referring Image Segmentation",
        venue="arXiv 2023",
        link="https://arxiv.org/abs/2308.09779",
    ),
    "lavt": Paper(
        title="LAVT: Language-Aware Vision Transformer for Referring Image Segmentation",
        venue="CVPR 2022",
        link="https://arxiv.org/abs/2112.02244",
    ),
    "cris": Paper(
        title="CRIS: CLIP-Driven Referring Image Segmentation",
        venue="CVPR 2022",
        link="https://arxiv.org/abs/2111.15174",
    ),
    "vlt": Paper(
        title="Vision-Language Transformer and Query Generation for Referring Segmentation",
        venue="ICCV 2021",
        link="https://arxiv.org/abs/2108.05565",
    ),
    "dcmfnet": Paper(
        title="DCMFNet: Deep Cross-Modal Fusion Network for Referring Image Segmentation with Iterative Gated Fusion",
        venue="Graphics Interface 2024",
        link="https://graphicsinterface.org",
    ),
    "cmpc": Paper(
        title="Cross-Modal Progressive Comprehension for Referring Segmentation",
        venue="IEEE TPAMI 2021",
        link="https://arxiv.org/abs/2105.07175",
    ),
}
PAPERS["cmpc_video"] = PAPERS["cmpc"]

# Preset -> component -> figures. CMIRNet: Table IX, at 480 x 480, 20 words, without BERT, as thop counts. DCMFNet:
# Table 6, one gate of one layer at width 256. The others: EAVL's Table VI, which mixes conventions.
REPORTED = {
    "cmirnet_swin_base": {
        "TGMM": Reported(multiply_adds_g=3.90, parameters_m=18.51),
        "CGIP": Reported(multiply_adds_g=3.04, parameters_m=9.13),
        "CMAE": Reported(multiply_adds_g=37.67, parameters_m=31.60),
        "baseline": Reported(multiply_adds_g=221.39, parameters_m=132.03),
        "total": Reported(multiply_adds_g=266.00, parameters_m=191.27),
    },
    "dcmfnet_swin_base": {"gate": Reported(parameters_m=1.77)},
    "eavl_swin_base": {"total": Reported(multiply_adds_g=131.01, parameters_m=202.11)},
    "eavl_clip_resnet101": {"total": Reported(multiply_adds_g=99.94, parameters_m=192.24)},
    "lavt_swin_base": {"total": Reported(multiply_adds_g=124.71, parameters_m=203.71)},
    "cris_resnet101": {"total": Reported(multiply_adds_g=62.72, parameters_m=161.25)},
    "vlt_swin": {"total": Reported(multiply_adds_g=130.66, parameters_m=204.44)},
}
_WITH_BERT = "EAVL's Table VI counts BERT's layers too, but not its embeddings, as thop does"

# Preset -> why ours differ.
REMARKS = {
    "cmirnet_swin_base": "Of the five heads only the finest runs here.",
    "eavl_swin_base": f"{_WITH_BERT}. One kernel runs here, the sum of all queries' kernels, for 24.",
    "eavl_clip_resnet101": "EAVL's Table VI counts everything, words as well. One kernel runs here for 24.",
    "dcmfnet_swin_base": "Its Table 6 gives the parameters of one gate of one layer, at width 256.",
    "lavt_swin_base": f"{_WITH_BERT}; its multiply-adds fit an image of 384 x 384.",
    "cris_resnet101": "EAVL's Table VI counts everything, words as well; its multiply-adds fit no image size.",
    "vlt_swin": "Of this form no code is public: the network here is a reading of it, not a reproduction.",
}
