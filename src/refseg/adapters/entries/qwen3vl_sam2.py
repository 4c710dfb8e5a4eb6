"""qwen3vl_sam2: Qwen3-VL says where the things are that a sentence means, SAM 2 draws their masks."""

from typing import Literal

from pydantic import Field

from refseg.adapters.entries.boxes import BoxesConfig
from refseg.adapters.entries.maskers import maskers_from
from refseg.adapters.entry import AdapterEntry
from refseg.adapters.hub_model import HubModel, single_precision


class Qwen3VLSam2Config(BoxesConfig):
    """Settings of `qwen3vl_sam2`.

    Attributes:
        detector: size of Qwen3-VL.
        max_pieces: longest answer in pieces of text; of a longer one the last boxes are lost.
        dtype: of its numbers; "bfloat16" takes half of the memory.
    """

    detector: Literal["4b", "2b", "8b"] = "4b"
    max_pieces: int = Field(default=512, ge=16, le=4096)
    dtype: Literal["bfloat16", "float32"] = "bfloat16"


def _detector(name: str, parameters: int) -> HubModel:
    model = single_precision(name, f"Qwen/Qwen3-VL-{name.upper()}-Instruct", parameters)
    return model.replace(size=2 * parameters)  # bfloat16


ENTRY = AdapterEntry(
    name="qwen3vl_sam2",
    title="Qwen3-VL and SAM 2.1",
    paper="https://huggingface.co/Qwen/Qwen3-VL-4B-Instruct",
    parts={
        "detector": (_detector("4b", 4_000_000_000), _detector("2b", 2_000_000_000), _detector("8b", 8_000_000_000)),
        "masker": maskers_from("sam2"),
    },
    settings=Qwen3VLSam2Config,
    exists="certain where it names a box, impossible where it says none",
    encodes_once="the image features of the masker; each expression costs the whole language model",
    most_pieces=None,
    knows="things in photographs, by sentences: relations, order, exclusion, what takes knowledge",
    cannot="answer fast without a GPU, or say how sure it is",
)
