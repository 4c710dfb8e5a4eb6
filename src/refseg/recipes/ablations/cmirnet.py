"""Ablations of CMIRNet by table and row; from Table II on they are variants of Swin-B.

The authors published no code for them. What they leave open is read so:
- without TGMM the decoder reads the encoder's map itself, sentences are one projection of the word encoder's, and the
  graph reads the projected text alone;
- without TGMM, CGIP and CMAE the ASPP's map is multiplied by the projected sentence;
- without CGIP the decoder's first block reads the ASPP's map twice, so that its parameters remain;
- without CMSA and CMCA the blocks behind them go too, and without VLG and LVG all of TGMM: the numbers are those of
  rows 6 and 5 of Table III;
- the Swin network has no stage 1: guided from there, it gets one from the patch embedding.
"""

from refseg.networks.cmirnet.config import (
    ASPP_STAGE,
    PRESETS,
    CGIConfig,
    CGIPConfig,
    CMAEConfig,
    CMIRNetConfig,
    CrossAttentionConfig,
    IGRConfig,
    LossConfig,
    SVLAConfig,
    TGMMConfig,
    WPAConfig,
)

_FULL = CMIRNetConfig()
_TGMM, _CGIP, _CMAE, _CGI, _IGR = TGMMConfig(), CGIPConfig(), CMAEConfig(), CGIConfig(), IGRConfig()

ABLATIONS: dict[str, dict[str, CMIRNetConfig]] = {
    "I": {name: config for name, config in PRESETS.items() if name != "cmirnet_small"},
    "II": {
        "masks": _FULL,
        "masks and boxes": _FULL.replace(loss=LossConfig(box=1)),
        "pretraining on boxes": _FULL.replace(loss=LossConfig(mask=0, box=1)),
    },
    "III": {
        f"{row}: {', '.join(parts) or 'baseline'}": _FULL.replace(
            tgmm=_TGMM if "TGMM" in parts else None,
            cgip=_CGIP if "CGIP" in parts else None,
            cmae=_CMAE if "CMAE" in parts else None,
        )
        for row, parts in enumerate(
            [(), ("TGMM",), ("CGIP",), ("CMAE",), ("CGIP", "CMAE"), ("TGMM", "CGIP"), ("TGMM", "CMAE")]
            + [("TGMM", "CGIP", "CMAE")],
            start=1,
        )
    },
    "V (a)": {
        "re f_ew^new with ori f_ew": _FULL.replace(tgmm=_TGMM.replace(visual_words="original")),
        "wo VLG&LVG": _FULL.replace(tgmm=None),
    },
    "V (b)": {
        "re f_ew^fu with ori f_ew": _FULL.replace(cgip=_CGIP.replace(cgi=_CGI.replace(words="original"))),
        "wo CGI": _FULL.replace(cgip=_CGIP.replace(cgi=None)),
        "wo IGR": _FULL.replace(cgip=_CGIP.replace(igr=None)),
        "w Cross-Attention": _FULL.replace(cgip=CrossAttentionConfig()),
        "wo multi-head weights": _FULL.replace(cgip=_CGIP.replace(cgi=_CGI.replace(head_weights=False))),
    },
    "V (c)": {
        "re f_el^new with ori f_el": _FULL.replace(cmae=_CMAE.replace(sentence="original")),
        "wo CMCA": _FULL.replace(cmae=_CMAE.replace(channel=False)),
        "wo CMSA&CMCA": _FULL.replace(cmae=None),
    },
    "VI": {
        f"TGMM-{first}~6" if first < ASPP_STAGE else "TGMM-6": _FULL.replace(
            stem=first == 1, tgmm=_TGMM.replace(first_stage=first)
        )
        for first in range(1, ASPP_STAGE + 1)
    },
    "VII": {
        f"{heads} heads": _FULL.replace(
            cgip=_CGIP.replace(cgi=_CGI.replace(heads=heads), igr=_IGR.replace(heads=heads))
        )
        for heads in (2, 4, 8, 16)
    },
    "VIII": {
        "WPA": _FULL.replace(tgmm=WPAConfig()),
        "SVLA": _FULL.replace(tgmm=SVLAConfig()),
        "TGMM": _FULL,
    },
}
