"""Ablations of CMIRNet, by table and row."""

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


def tables() -> dict[str, dict[str, CMIRNetConfig]]:
    """The rows of the paper's tables, by table and in their order; from Table II on they are variants of Swin-B.

    The authors published no code of them. What they leave open is read so:
    - where there is no TGMM, the decoder reads the encoder's map itself, sentences are one projection of the word
      encoder's, and the graph reads the projected text alone;
    - without TGMM, CGIP and CMAE the ASPP's map is multiplied by the projected sentence;
    - without CGIP the decoder's first block reads the ASPP's map twice, so that its parameters remain;
    - without CMSA and CMCA the blocks behind them go too, and without VLG and LVG all of TGMM: the numbers are those of
      rows 6 and 5 of Table III;
    - the Swin network has no stage 1: guided from there, it gets one from the patch embedding.
    """
    full = CMIRNetConfig()
    tgmm, cgip, cmae = TGMMConfig(), CGIPConfig(), CMAEConfig()
    cgi, igr = CGIConfig(), IGRConfig()
    return {
        "I": {name: config for name, config in PRESETS.items() if name != "cmirnet_small"},
        "II": {
            "masks": full,
            "masks and boxes": full.replace(loss=LossConfig(box=1)),
            "pretraining on boxes": full.replace(loss=LossConfig(mask=0, box=1)),
        },
        "III": {
            f"{row}: {', '.join(parts) or 'baseline'}": full.replace(
                tgmm=tgmm if "TGMM" in parts else None,
                cgip=cgip if "CGIP" in parts else None,
                cmae=cmae if "CMAE" in parts else None,
            )
            for row, parts in enumerate(
                [(), ("TGMM",), ("CGIP",), ("CMAE",), ("CGIP", "CMAE"), ("TGMM", "CGIP"), ("TGMM", "CMAE")]
                + [("TGMM", "CGIP", "CMAE")],
                start=1,
            )
        },
        "V (a)": {
            "re f_ew^new with ori f_ew": full.replace(tgmm=tgmm.replace(visual_words="original")),
            "wo VLG&LVG": full.replace(tgmm=None),
        },
        "V (b)": {
            "re f_ew^fu with ori f_ew": full.replace(cgip=cgip.replace(cgi=cgi.replace(words="original"))),
            "wo CGI": full.replace(cgip=cgip.replace(cgi=None)),
            "wo IGR": full.replace(cgip=cgip.replace(igr=None)),
            "w Cross-Attention": full.replace(cgip=CrossAttentionConfig()),
            "wo multi-head weights": full.replace(cgip=cgip.replace(cgi=cgi.replace(head_weights=False))),
        },
        "V (c)": {
            "re f_el^new with ori f_el": full.replace(cmae=cmae.replace(sentence="original")),
            "wo CMCA": full.replace(cmae=cmae.replace(channel=False)),
            "wo CMSA&CMCA": full.replace(cmae=None),
        },
        "VI": {
            f"TGMM-{first}~6" if first < ASPP_STAGE else "TGMM-6": full.replace(
                stem=first == 1, tgmm=tgmm.replace(first_stage=first)
            )
            for first in range(1, ASPP_STAGE + 1)
        },
        "VII": {
            f"{heads} heads": full.replace(
                cgip=cgip.replace(cgi=cgi.replace(heads=heads), igr=igr.replace(heads=heads))
            )
            for heads in (2, 4, 8, 16)
        },
        "VIII": {
            "WPA": full.replace(tgmm=WPAConfig()),
            "SVLA": full.replace(tgmm=SVLAConfig()),
            "TGMM": full,
        },
    }
