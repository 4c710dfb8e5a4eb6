"""DCMFNet's training on photographs; its code is not public.

Run       refseg train dcmfnet_refcoco
Measured  not run yet
"""

from functools import partial

from refseg.preprocessing.transform import photographs
from refseg.recipes.photograph_sets import BERT, RESNET_101, SWIN_BASE, YOLO, build_photograph_data
from refseg.recipes.recipe import NOT_STATED, Group, PaperReference, Recipe, Stage
from refseg.recipes.reported import REPORTED, name_row
from refseg.recipes.schedules import Polynomial

MAX_WORDS = {"refcoco": 15, "refcoco+": 15, "refcocog_google": 20, "refclef_berkeley": 15}  # largest number of words
INITIAL_ENCODERS = {"swin_base": SWIN_BASE, "darknet53": YOLO, "resnet101": RESNET_101}


def dcmfnet(data: str, image_encoder: str) -> Recipe:
    """Returns the recipe of a row of the main table, with the image encoder's rate for BERT."""
    slow, fast = Group(lr=1.82e-5), Group(lr=1.82e-4)
    learn = Stage(
        name="learn",
        groups={"image_encoder": slow, "word_encoder": slow, "fusion": fast},
        epochs=15,
        images=6,
        expressions_per_image=1,
        optimiser="adam",
        betas=(0.9, 0.999),
        schedule=Polynomial(power=0.9),
        flip=0,
    )
    name = name_recipe(data, image_encoder)
    reports = REPORTED.get(name, {})
    return Recipe(
        name=name,
        about=PaperReference(
            row=name_row(f"Table {3 if image_encoder == 'darknet53' else 1}, {data}, {image_encoder}", reports),
            reports=reports,
            protocol=NOT_STATED,
            paper_says="Adam, 1.82e-5 for the image encoder and 1.82e-4 for all else, BERT too (dcmfnet_*_literal), "
            "which is more than BERT stands; 15 epochs, batches of 6, 480 x 480. Assumed here: a polynomial schedule, "
            "no weight decay, frozen batch norms of the image encoder, and what weights of ResNet-101 and DarkNet-53 "
            "it starts from. On ReferIt it learns from train and val together, so validation tells little there.",
        ),
        network=f"dcmfnet_{image_encoder}",
        config={"max_words": MAX_WORDS[data]},
        data=build_photograph_data(data, preprocessing=photographs(480)),
        initial={"image_encoder": INITIAL_ENCODERS[image_encoder], "word_encoder": BERT},
        stages=(learn,),
    )


def dcmfnet_literal(data: str, image_encoder: str) -> Recipe:
    """Returns the recipe with the rates that the paper prints."""
    base = dcmfnet(data, image_encoder)
    (learn,) = base.stages
    groups = learn.groups | {"word_encoder": learn.groups["fusion"]}
    return base.replace(name=f"{base.name}_literal", stages=(learn.replace(groups=groups),))


def name_recipe(data: str, image_encoder: str) -> str:
    """Returns the recipe's name, without that of the main image encoder."""
    return f"dcmfnet_{data}" if image_encoder == "swin_base" else f"dcmfnet_{data}_{image_encoder}"


RECIPES = {
    name_recipe(data, encoder): partial(dcmfnet, data, encoder) for encoder in INITIAL_ENCODERS for data in MAX_WORDS
}
RECIPES |= {
    f"{name_recipe(data, 'swin_base')}_literal": partial(dcmfnet_literal, data, "swin_base") for data in MAX_WORDS
}
