"""The papers behind the networks, and what they report about size and cost."""

from refseg.config import Config


class Paper(Config):
    """Where a network was published."""

    title: str
    venue: str
    link: str


class Reported(Config):
    """Size and cost as a paper's table prints them."""

    parameters_m: float  # millions
    multiply_adds_g: float  # thousands of millions


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
}

# Preset -> component -> figures. CMIRNet: Table IX, at 480 x 480, 20 words, without BERT, counted as thop does.
REPORTED = {
    "cmirnet_swin_base": {
        "TGMM": Reported(multiply_adds_g=3.90, parameters_m=18.51),
        "CGIP": Reported(multiply_adds_g=3.04, parameters_m=9.13),
        "CMAE": Reported(multiply_adds_g=37.67, parameters_m=31.60),
        "baseline": Reported(multiply_adds_g=221.39, parameters_m=132.03),
        "total": Reported(multiply_adds_g=266.00, parameters_m=191.27),
    },
}

# Preset -> why ours differ.
REMARKS = {
    "cmirnet_swin_base": "Of the five heads only the finest runs here.",
}
