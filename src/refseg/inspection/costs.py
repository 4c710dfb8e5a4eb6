"""What each preset consists of and costs, from a table, so that listing networks builds none of them.

`python -m refseg.inspection.costs` counts all presets again and writes the table; a test compares it with the networks.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from refseg.checkpoints import bundled
from refseg.files.atomic import write_atomically

TABLE = Path(__file__).with_name("costs.json")
ENCODERS = ("image_encoder", "word_encoder")
SIDES = {"small": 128, "small_clips": 128, "deeplab": 320, "i3d": 320, "clip_resnet": 416}  # of images, by encoder
PHOTOGRAPH = 480


def read_costs(name: str) -> dict[str, Any]:
    """Returns encoders, image side, parameters and multiply-adds of a preset, which is counted if not in the table."""
    return _table().get(name) or count_costs(name)


def count_costs(name: str, settings: Mapping[str, Any] | None = None, side: int | None = None) -> dict[str, Any]:
    """Counts a network or preset on the meta device, which takes seconds; see `read_costs`.

    Args:
        name: of the network or preset.
        settings: that differ from the preset.
        side: of the image; the network's usual one if not given.
    """
    from refseg import networks
    from refseg.encoders import encoder_name
    from refseg.inspection.flops import complexity

    config = networks.configured(name, settings or {})
    encoders = {part: encoder_name(getattr(config, part)) for part in ENCODERS if hasattr(config, part)}
    kind = getattr(getattr(config, "image_encoder", None), "kind", "small")
    side = side or getattr(config, "image_size", None) or SIDES.get(kind, PHOTOGRAPH)
    cost = complexity(name, (side, side), _vocabulary_size(encoders.get("word_encoder", "")), settings)
    return {
        **encoders,
        "image_size": side,
        "parameters": cost.parameters,
        "word_encoder_parameters": cost.word_parameters,
        "multiply_adds": cost.multiply_adds,
        "parts": {part: asdict(value) for part, value in cost.as_thop.items()},
    }


def count_words(name: str, settings: Mapping[str, Any] | None = None) -> dict[str, dict[str, int]]:
    """Counts the word encoder of a network or preset: "all" of it, and its "layers" as thop counts them."""
    from refseg.inspection.flops import word_complexity

    whole, layers = word_complexity(name, vocabulary_size(name, settings), settings)
    return {"all": asdict(whole), "layers": asdict(layers)}


def vocabulary_size(name: str, settings: Mapping[str, Any] | None = None) -> int:
    """Returns the number of token ids that a network or preset is counted with."""
    from refseg import networks
    from refseg.encoders import encoder_name

    config = networks.configured(name, settings or {})
    return _vocabulary_size(encoder_name(config.word_encoder) if hasattr(config, "word_encoder") else "")


@cache
def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def _vocabulary_size(word_encoder: str) -> int:
    """Of the tokenizer that comes with an encoder; else the words of drawn scenes, as the bundled weights know them."""
    if word_encoder == "bert_base":
        from refseg.text.word_pieces import WordPieces

        return len(WordPieces())
    if word_encoder.startswith("clip_text"):
        from refseg.text.byte_pairs import BytePairs

        return len(BytePairs())
    if word_encoder in ("gru", "lstm"):
        return 2  # padding and unknown; its word vectors are those of a data set's words
    from refseg.checkpoints.schema import CONFIG
    from refseg.text.vocabulary import Vocabulary

    tokenizer = json.loads((bundled.FOLDER / bundled.FOR_IMAGES / CONFIG).read_text(encoding="utf-8"))["tokenizer"]
    return len(Vocabulary(tokenizer["words"], tokenizer["max_words"]))


def write_costs() -> None:
    """Counts all networks and presets, and writes the table."""
    from refseg.networks import listed

    table = {name: count_costs(name) for name in listed()}
    with write_atomically(TABLE) as unfinished:
        unfinished.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_costs()
