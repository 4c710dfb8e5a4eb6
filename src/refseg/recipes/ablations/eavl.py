"""Ablations of EAVL and its aligner by table and row, on the paper's main network."""

from refseg.networks.eavl import EAVLConfig

_FULL = EAVLConfig()
_ALIGNER = _FULL.aligner
_WORDS_ALONE = _ALIGNER.replace(estimator=False, global_vision=False)


def _queries(count: int) -> EAVLConfig:
    return _FULL.replace(aligner=_ALIGNER.replace(queries=count))


ABLATIONS: dict[str, dict[str, EAVLConfig]] = {
    "II": {f"{count} queries": _queries(count) for count in (32, 24, 16, 8, 4, 2, 1)},
    "III": {
        f"{count} queries, {head}": _queries(count).replace(mask_head=head)
        for count in (24, 16, 8)
        for head in ("aligner", "fixed")
    },
    "IV": {
        "full": _FULL,
        "without estimator": _FULL.replace(aligner=_ALIGNER.replace(estimator=False)),
        "nor global vision": _FULL.replace(aligner=_WORDS_ALONE),
        "nor global language": _FULL.replace(aligner=_WORDS_ALONE, global_language=False),
    },
}
