"""Names of the open models that draw the masks of boxes; `adapters.model_masker` loads them."""

from typing import Literal, get_args

MaskerName = Literal[
    "sam2", "sam2-tiny", "sam2-base-plus", "sam2-large", "edgetam", "sam-base", "sam-large", "sam-huge", "sam-hq"
]
MODEL_MASKERS: tuple[MaskerName, ...] = get_args(MaskerName)
