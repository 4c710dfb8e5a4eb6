"""Ablations of CMPC by table and row, on the paper's main network.

Rows 5, 6 and 12 to 15 of Table 5 start from GloVe's word vectors, which is a recipe's `initial.glove`; all others start
from random ones. Row 2 has no reasoning that its skip could bypass, so it is the same with CMF.
"""

from refseg.networks.cmpc import CMPCConfig

_OFF = {"entity_perception": False, "graph_layers": 0, "skip": "multimodal", "exchange_rounds": 0}
_ONE_LEVEL = CMPCConfig(levels="c5", level_fusion="sum", **_OFF)
_THREE_LEVELS = CMPCConfig(levels="c3-c5", level_fusion="convlstm", **_OFF)
_ENTITIES, _GRAPH = {"entity_perception": True}, {"graph_layers": 1, "skip": "visual"}
_EVERYTHING = _THREE_LEVELS.replace(**_ENTITIES, graph_layers=1)
_WITHOUT_GLOVE = _THREE_LEVELS.replace(**_ENTITIES, **_GRAPH, exchange_rounds=1)

ABLATIONS: dict[str, dict[str, CMPCConfig]] = {
    "5": {
        "1": _ONE_LEVEL,
        "2": _ONE_LEVEL.replace(**_ENTITIES),
        "3": _ONE_LEVEL.replace(**_GRAPH),
        "4": _ONE_LEVEL.replace(**_ENTITIES, **_GRAPH),
        "5": _ONE_LEVEL.replace(**_ENTITIES, **_GRAPH),
        "6": _ONE_LEVEL.replace(**_ENTITIES, graph_layers=1),
        "7": _THREE_LEVELS,
        "8": _THREE_LEVELS.replace(exchange_rounds=1),
        "9": _THREE_LEVELS.replace(**_ENTITIES, exchange_rounds=1),
        "10": _THREE_LEVELS.replace(**_GRAPH, exchange_rounds=1),
        "11": _WITHOUT_GLOVE,
        "12": _WITHOUT_GLOVE,
        "13": _EVERYTHING,
        "14": _EVERYTHING.replace(exchange_rounds=1, level_fusion="sum"),
        "15": _EVERYTHING.replace(exchange_rounds=1),
    },
    "8": {  # by rounds of TGFE
        str(rounds): _WITHOUT_GLOVE.replace(exchange_rounds=rounds) for rounds in range(4)
    },
    "10": {  # by graph layers
        str(layers): _ONE_LEVEL.replace(**_ENTITIES, **_GRAPH | {"graph_layers": layers})
        if layers
        else _ONE_LEVEL.replace(**_ENTITIES)
        for layers in range(4)
    },
}
