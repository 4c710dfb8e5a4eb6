"""Ablations of DCMFNet by table and row, top to bottom, on the paper's main network."""

from refseg.networks.dcmfnet import DCMFNetConfig, Stage

_FULL = DCMFNetConfig()
_STAGES: dict[str, tuple[Stage, ...]] = {
    "2: M": (),
    "3: V4, M": ("V4",),
    "4: V3, V4, M": ("V3", "V4"),
    "5: V2, V3, V4, M": ("V2", "V3", "V4"),
}
_OUTPUTS = {"G_5": "G_last", "F_5": "F_last", "F_1 to F_4, G_5": "F_and_G_last", "F_1 to F_5": "F"}

ABLATIONS: dict[str, dict[str, DCMFNetConfig]] = {
    "2": {
        "1: no IGF": _FULL.replace(guided_stages=(), guide_fused=False, detail_fusion="none"),
        **{row: _FULL.replace(guided_stages=guided) for row, guided in _STAGES.items()},
        "6: V3, V4": _FULL.replace(guide_fused=False),
        "7, 8: no detail": _FULL.replace(detail_fusion="none"),
        "9: concatenation": _FULL.replace(detail_fusion="concat"),
        "10: gated": _FULL.replace(detail_fusion="gated"),
        "11: gated, bidirectional": _FULL.replace(detail_fusion="gated_bidirectional"),
        "12: IGF": _FULL.replace(detail_fusion="igf"),
    },
    "4": {str(layers): _FULL.replace(layers=layers) for layers in range(1, 8)},
    "5": {row: _FULL.replace(igf_output=output) for row, output in _OUTPUTS.items()},
    "6": {gate: _FULL.replace(gate=gate) for gate in ("conv_lstm", "conv_gru", "asgate")},
}
