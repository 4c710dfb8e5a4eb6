"""Ablations of CMPC for videos, by table and row."""

from refseg.networks.cmpc_video import CMPCVideoConfig


def table_6(config: CMPCVideoConfig) -> dict[int, CMPCVideoConfig]:
    """The rows of Table 6; all want a recipe with `initial.glove`."""
    off = {"entity_perception": False, "graph_layers": 0, "temporal_graph": "none", "skip": "multimodal"}
    three = config.replace(levels="c3-c5", level_fusion="convlstm", **off)
    entities = three.replace(entity_perception=True)
    related = entities.replace(graph_layers=1)
    return {
        1: config.replace(levels="c5", level_fusion="sum", exchange_rounds=0, **off),
        2: three,
        3: entities,
        4: related,
        5: related.replace(temporal_graph="direct"),
    }


def table_7(config: CMPCVideoConfig) -> dict[str, CMPCVideoConfig]:
    """The rows of Table 7: edges between frames through action words (AR), and direct ones (DR)."""
    return {"AR": config.replace(temporal_graph="words"), "DR": config.replace(temporal_graph="direct")}
