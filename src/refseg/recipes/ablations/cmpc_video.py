"""Ablations of CMPC for videos by table and row; all start from GloVe's word vectors (a recipe's `initial.glove`)."""

from refseg.networks.cmpc_video import CMPCVideoConfig

_OFF = {"entity_perception": False, "graph_layers": 0, "temporal_graph": "none", "skip": "multimodal"}
_THREE_LEVELS = CMPCVideoConfig(levels="c3-c5", level_fusion="convlstm", **_OFF)
_ENTITIES = _THREE_LEVELS.replace(entity_perception=True)
_RELATIONS = _ENTITIES.replace(graph_layers=1)

ABLATIONS: dict[str, dict[str, CMPCVideoConfig]] = {
    "6": {
        "1": CMPCVideoConfig(levels="c5", level_fusion="sum", exchange_rounds=0, **_OFF),
        "2": _THREE_LEVELS,
        "3": _ENTITIES,
        "4": _RELATIONS,
        "5": _RELATIONS.replace(temporal_graph="direct"),
    },
    "7": {
        "AR": CMPCVideoConfig(temporal_graph="words"),  # edges between frames through action words
        "DR": CMPCVideoConfig(temporal_graph="direct"),
    },
}
