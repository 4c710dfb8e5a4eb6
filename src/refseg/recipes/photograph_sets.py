"""Sets of photographs and initial weights of encoders, shared by recipes of several papers."""

from typing import Any

from refseg.recipes.recipe import FileData

SWIN_BASE = "timm/swin_base_patch4_window12_384.ms_in22k"
SWIN_LARGE = "timm/swin_large_patch4_window12_384.ms_in22k"
RESNET_50 = "timm/resnet50.tv_in1k"
RESNET_101 = "timm/resnet101.tv_in1k"
BERT = "google-bert/bert-base-uncased"
GLOVE = "glove.840B.300d.txt"  # to be downloaded; `refseg train` says from where
YOLO = "yolov3.weights"

BERT_LAYERS = (r"encoder\.layer\.\d\.",)  # 0 to 9: layers above and embeddings are frozen
SWIN_UNDECAYED = "norm", "relative_position_bias_table"

PHOTOGRAPH_SETS: dict[str, dict[str, Any]] = {  # by the name in a recipe's name
    "refcoco": {"dataset": "refcoco", "settings": {"split_by": "unc"}},
    "refcoco+": {"dataset": "refcoco+", "settings": {"split_by": "unc"}},
    "refcocog_umd": {"dataset": "refcocog", "settings": {"split_by": "umd"}},
    "refcocog_google": {"dataset": "refcocog", "settings": {"split_by": "google"}},
    "refclef": {"dataset": "refclef", "settings": {"split_by": "unc"}},
    "refclef_berkeley": {"dataset": "refclef", "settings": {"split_by": "berkeley"}, "train": "trainval"},
    "referit": {"dataset": "referit", "train": "trainval"},
    "refzom": {
        "dataset": "refzom",
        "item": "expression",
        "spread_no_target": True,
        "validation": "train",  # it has no val
        "validation_images": 500,
    },
}
REFCOCO_SETS = "refcoco", "refcoco+", "refcocog_umd"
NO_VAL_NOTE = " Ref-ZOM has no val: 500 images of train are scored on the way, so take the run's last/, not its best/."
BY_DMMI_NOTE = (
    " Trained on Ref-ZOM by DMMI's authors, who do not say how: here as on the other sets, on expressions as items, of "
    f"which those without referent are spread evenly.{NO_VAL_NOTE}"
)


def build_photograph_data(name: str, covered_twice: str = "kept", **fields: Any) -> FileData:
    """Returns a set of `PHOTOGRAPH_SETS` with other fields changed."""
    own = PHOTOGRAPH_SETS[name]
    settings = own.get("settings", {}) | ({"covered_twice": "lost"} if covered_twice == "lost" else {})
    return FileData.model_validate({**own, **fields, "settings": settings})
