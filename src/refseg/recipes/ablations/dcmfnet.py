"""Ablations of DCMFNet, by table and row."""

from refseg.networks.dcmfnet import DCMFNetConfig, Stage


def tables(config: DCMFNetConfig) -> dict[str, dict[str, DCMFNetConfig]]:
    """The rows of the paper's ablations (Tables 2, 4, 5, 6), top to bottom, for the encoders of a config."""
    stages: dict[str, tuple[Stage, ...]] = {
        "2: M": (),
        "3: V4, M": ("V4",),
        "4: V3, V4, M": ("V3", "V4"),
        "5: V2, V3, V4, M": ("V2", "V3", "V4"),
    }
    outputs = {"G_5": "G_last", "F_5": "F_last", "F_1 to F_4, G_5": "F_and_G_last", "F_1 to F_5": "F"}
    return {
        "2": {
            "1: no IGF": config.replace(guided_stages=(), guide_fused=False, detail_fusion="none"),
            **{row: config.replace(guided_stages=guided) for row, guided in stages.items()},
            "6: V3, V4": config.replace(guide_fused=False),
            "7, 8: no detail": config.replace(detail_fusion="none"),
            "9: concatenation": config.replace(detail_fusion="concat"),
            "10: gated": config.replace(detail_fusion="gated"),
            "11: gated, bidirectional": config.replace(detail_fusion="gated_bidirectional"),
            "12: IGF": config.replace(detail_fusion="igf"),
        },
        "4": {str(layers): config.replace(layers=layers) for layers in range(1, 8)},
        "5": {row: config.replace(igf_output=output) for row, output in outputs.items()},
        "6": {gate: config.replace(gate=gate) for gate in ("conv_lstm", "conv_gru", "asgate")},
    }
