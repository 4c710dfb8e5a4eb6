"""Ablations of DMMI by table and row, top to bottom, on the paper's main network."""

from refseg.networks.dmmi import DMMIConfig

_FULL = DMMIConfig()
_ONE_WAY, _ONE_SCALE = {"windows": ()}, {"regions": (1,), "windows": (1,)}

ABLATIONS: dict[str, dict[str, DMMIConfig]] = {
    "3": {
        "one decoder": _FULL.replace(similarity=0, contrastive=None),
        "without contrastive loss": _FULL.replace(contrastive=None),
        "without similarity loss": _FULL.replace(similarity=0),
        "one direction, one scale": _FULL.replace(**_ONE_SCALE | _ONE_WAY),
        "one scale": _FULL.replace(**_ONE_SCALE),
        "one direction": _FULL.replace(**_ONE_WAY),
        "full": _FULL,
    }
}
