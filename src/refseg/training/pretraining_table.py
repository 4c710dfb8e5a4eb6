"""The objectives that teach an encoder with heads of their own, by name."""

from refseg.training.object_pretraining import OBJECT_PRETRAINING, ObjectHeads
from refseg.training.pretraining import PretrainingHeads
from refseg.training.word_pretraining import WORD_PRETRAINING, ObjectChooser

PRETRAINING_HEADS: dict[str, type[PretrainingHeads]] = {
    OBJECT_PRETRAINING: ObjectHeads,
    WORD_PRETRAINING: ObjectChooser,
}


def pretraining_heads(objective: str) -> type[PretrainingHeads] | None:
    """Returns the heads of an objective of a stage, or None if the network has this objective itself."""
    return PRETRAINING_HEADS.get(objective)
