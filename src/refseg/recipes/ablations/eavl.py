"""Ablations of EAVL and its aligner, by table and row."""

from refseg.networks.eavl import EAVLConfig


def tables(config: EAVLConfig) -> dict[str, dict[str, EAVLConfig]]:
    """The rows of the paper's Tables II to IV, by table, for the encoders of a config."""
    aligner = config.aligner

    def queries(count: int) -> EAVLConfig:
        return config.replace(aligner=aligner.replace(queries=count))

    blind = aligner.replace(estimator=False, global_vision=False)
    return {
        "II": {f"{count} queries": queries(count) for count in (32, 24, 16, 8, 4, 2, 1)},
        "III": {
            f"{count} queries, {head}": queries(count).replace(mask_head=head)
            for count in (24, 16, 8)
            for head in ("aligner", "fixed")
        },
        "IV": {
            "full": config,
            "without estimator": config.replace(aligner=aligner.replace(estimator=False)),
            "nor global vision": config.replace(aligner=blind),
            "nor global language": config.replace(aligner=blind, global_language=False),
        },
    }
