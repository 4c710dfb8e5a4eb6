"""Overfits a few photographs on a laptop: a check that images, masks and words of a data set are read correctly.

Run       refseg train photographs_by_heart --set data.dataset=refer --set "data.settings={root: data/mine, count: 16}"
Measured  docs/results.md
"""

from refseg.preprocessing.transform import photographs
from refseg.recipes.recipe import FileData, Group, Recipe, Stage

IMAGE_SIDE = 224


def photographs_by_heart() -> Recipe:
    """Returns the recipe of a small EAVL that is validated on its training images, where oIoU should exceed 90."""
    data = FileData(
        dataset="refcoco",
        settings={"split_by": "unc", "count": 16},
        validation="train",
        validation_images=16,
        item="image",
        preprocessing=photographs(IMAGE_SIDE),
        workers=1,
    )
    learn = Stage(
        name="learn",
        groups={
            part: Group(lr=1e-3, weight_decay=decay, clip=1)
            for part, decay in {"image_encoder": 0.05, "word_encoder": 0.02, "fusion": 0.02}.items()
        },
        steps=1500,
        images=4,
        expressions_per_image=8,
        flip=0,
        validate_every=150,
    )
    return Recipe(
        name="photographs_by_heart",
        network="eavl_small",
        config={
            "image_encoder": "small",
            "class_weights": [1, 1],
            "threshold": 0.5,
            "aligner": {"queries": 16, "width": 64, "image_size": IMAGE_SIDE},
        },
        data=data,
        initial={"image_encoder.net": "small_image_encoder"},
        stages=(learn,),
        precision="32",
    )
