"""Ablations of DMMI, by table and row."""

from refseg.networks.dmmi import DMMIConfig


def table_3(config: DMMIConfig) -> dict[str, DMMIConfig]:
    """The rows of Table 3, top to bottom, for the encoders of a config."""
    one_way, one_scale = {"windows": ()}, {"regions": (1,), "windows": (1,)}
    return {
        "one decoder": config.replace(similarity=0, contrastive=None),
        "without contrastive loss": config.replace(contrastive=None),
        "without similarity loss": config.replace(similarity=0),
        "one direction, one scale": config.replace(**one_scale | one_way),
        "one scale": config.replace(**one_scale),
        "one direction": config.replace(**one_way),
        "full": config,
    }
