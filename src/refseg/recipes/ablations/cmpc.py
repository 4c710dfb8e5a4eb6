"""Ablations of CMPC, by table and row."""

from refseg.networks.cmpc import CMPCConfig


def table_5(config: CMPCConfig) -> dict[int, CMPCConfig]:
    """The rows of Table 5; those with GloVe (5, 6 and 12 to 15) want a recipe with `initial.glove`, the others none.

    Row 2, without reasoning, has nothing that its skip could go round: it is the same with CMF.
    """
    off = {"entity_perception": False, "graph_layers": 0, "skip": "multimodal", "exchange_rounds": 0}
    one = config.replace(levels="c5", level_fusion="sum", **off)
    three = config.replace(levels="c3-c5", level_fusion="convlstm", **off)
    entities, graph = {"entity_perception": True}, {"graph_layers": 1, "skip": "visual"}
    everything = three.replace(entity_perception=True, graph_layers=1)
    return {
        1: one,
        2: one.replace(**entities),
        3: one.replace(**graph),
        4: one.replace(**entities, **graph),
        5: one.replace(**entities, **graph),
        6: one.replace(**entities, graph_layers=1),
        7: three,
        8: three.replace(exchange_rounds=1),
        9: three.replace(**entities, exchange_rounds=1),
        10: three.replace(**graph, exchange_rounds=1),
        11: three.replace(**entities, **graph, exchange_rounds=1),
        12: three.replace(**entities, **graph, exchange_rounds=1),
        13: everything,
        14: everything.replace(exchange_rounds=1, level_fusion="sum"),
        15: everything.replace(exchange_rounds=1),
    }


def table_8(config: CMPCConfig) -> dict[int, CMPCConfig]:
    """The rows of Table 8 by rounds of TGFE; without GloVe."""
    without = table_5(config)[11]
    return {rounds: without.replace(exchange_rounds=rounds) for rounds in range(4)}


def table_10(config: CMPCConfig) -> dict[int, CMPCConfig]:
    """The rows of Table 10 by graph layers; without GloVe."""
    rows = table_5(config)
    return {0: rows[2]} | {layers: rows[4].replace(graph_layers=layers) for layers in (1, 2, 3)}
