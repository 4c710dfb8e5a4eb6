"""Fine-tunes any weights on some hundreds of your own photographs.

Run       refseg train finetune --set initial.weights=lavt_swin_base/refcoco --set data.settings.root=own.jsonl
Measured  on photographs, from two starts that answered a tenth of the expressions, 6 to 10 epochs: no gain, nothing is
          answered any more (docs/results.md#fine-tuning); not run yet from published weights
"""

from refseg.recipes.recipe import FileData, Group, Recipe, Stage
from refseg.recipes.schedules import Cosine


def finetune() -> Recipe:
    """Returns the recipe, whose network, config and preprocessing are those of `initial.weights`.

    Encoders learn slowly, and their first layers slowest. The stage ends when five epochs were no better than the best
    one on validation images, which are held out if the data have no split of them.
    """
    learn = Stage(
        name="learn",
        groups={
            "image_encoder": Group(lr=3e-5, weight_decay=0.05, clip=1, layer_decay=0.9),
            "word_encoder": Group(lr=3e-5, weight_decay=0.02, clip=1, layer_decay=0.9),
            "fusion": Group(lr=1e-4, weight_decay=0.02, clip=1),
        },
        epochs=20,
        images=8,
        expressions_per_image=2,
        betas=(0.9, 0.999),
        schedule=Cosine(warm_up=0.05, final=0.05),
        frozen_batch_norm=True,
        patience=5,
    )
    return Recipe(
        name="finetune",
        network="lavt_swin_base",
        data=FileData(dataset="jsonl", item="image", held_out=0.15, workers=2),
        initial={"weights": "lavt_swin_base/refcoco"},
        stages=(learn,),
        precision="32",
    )
