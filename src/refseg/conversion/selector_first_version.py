"""Names of the weights of Selector's first version."""

from collections.abc import Mapping

from torch import Tensor

from refseg.networks.selector.config import SelectorConfig


def first_version_config() -> SelectorConfig:
    """Returns the config of Selector's first published weights (see `rename_first_version`)."""
    return SelectorConfig(
        mask_stride=2, agreement=False, max_words=24, word_match=False, word_dropout=0, program_weight=0
    )


# Names of the first version's weights -> ours
FIRST_VERSION = {
    "seer.stem.": "finder.stages.0.",
    "seer.s4.": "finder.stages.1.",
    "seer.s8.": "finder.stages.2.",
    "seer.s16.": "finder.stages.3.",
    "seer.e16.": "finder.coarse.16.",
    "seer.e8.": "finder.coarse.8.",
    "seer.m8.": "finder.coarse_smooth.",
    "seer.p8.": "finder.down.",
    "seer.e4.": "finder.fine.4.",
    "seer.e2.": "finder.fine.2.",
    "seer.m4.": "finder.fine_smooth.",
    "seer.eo.": "finder.embed.",
    "seer.cen.": "finder.centre.",
    "seer.ker.": "finder.kernel.",
    "seer.tok.": "finder.appearance.",
    "seer.pool.": "finder.inside.",
    "seer.geo.": "finder.geometry.",
    "seer.n.": "finder.norm.",
    "seer.att.": "finder.attributes.",
    "seer.dense.": "finder_criterion.dense.",
    "talk.e.": "chooser.words.embedding.",
    "talk.tn.": "chooser.words.norm.",
    "talk.pr.": "chooser.pair_hidden.",
    "talk.pb.": "chooser.pair_bias.",
    "talk.pv.": "chooser.pair_value.",
    "talk.p": "chooser.words.positions",
    "talk.n.": "chooser.norm.",
    "talk.o.": "chooser.score.",
    "talk.ex.": "chooser.exists.",
}
INSIDE_RESIDUAL = {".a.": ".first.", ".b.": ".second."}
INSIDE_WORD_LAYER = {"0": "attend_norm", "1": "attend", "2": "feed_norm", "3": "feed"}
INSIDE_BLOCK = {"0": "cross_norm", "1": "cross", "2": "among_norm", "3": "among", "4": "feed_norm", "5": "feed"}
INSIDE_ATTENTION = {".o.": ".out.", ".rp.": ".place."}


def rename_first_version(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames weights of the first version for a network of `first_version_config`.

    The bias of the pair bias is dropped: it is the same for all keys and has no effect.
    """
    return {
        _rename(name): value.squeeze(0) if name == "talk.p" else value
        for name, value in state.items()
        if name != "talk.pb.bias"
    }


def _rename(name: str) -> str:
    """Returns our name of a weight of the first version."""
    for old, new in FIRST_VERSION.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
            for old, new in INSIDE_RESIDUAL.items() if name.startswith("finder.stages.") else ():
                name = name.replace(old, new)
            return name
    part, layer, inside, rest = name.removeprefix("talk.").split(".", 3)
    if part == "t":
        name = f"chooser.words.layers.{layer}.{INSIDE_WORD_LAYER[inside]}.{rest}"
    else:
        name = f"chooser.blocks.{layer}.{INSIDE_BLOCK[inside]}.{rest}"
    for old, new in INSIDE_ATTENTION.items():
        name = name.replace(old, new)
    return name
