"""VLT's training on photographs: the released form with DarkNet-53, and our form of the later one with Swin-B.

Run       refseg train vlt_refcoco
Measured  not run yet
"""

from functools import partial

from refseg.preprocessing.transform import Preprocessing
from refseg.recipes.eavl import LEARN_STAGE, LIKE_LAVT, SWIN_AND_BERT
from refseg.recipes.photograph_sets import BY_DMMI_NOTE, GLOVE, REFCOCO_SETS, YOLO, build_photograph_data
from refseg.recipes.recipe import NOT_STATED, Group, PaperReference, Recipe, Stage
from refseg.recipes.reported import REPORTED
from refseg.recipes.schedules import Milestones

DECAYED_NAMES = (
    r"fusion\.(convolved|of_|join_|back|pixels).*\.0|query_generation\.maps\.(\d\.0|3)|decoder\.(.*\.0|classify)"
)
"""Names of fusion that are kernels of convolutions."""
ICCV_SETS = *REFCOCO_SETS, "refcocog_google"
PIXELS = Preprocessing(resize="letterbox_truncated", side=416, mean=0.0, std=255.0, multiple_of=32, padding="grey")


def vlt(data: str) -> Recipe:
    """Returns the recipe of the ICCV paper's form."""
    lr = 1e-3
    learn = Stage(
        name="learn",
        groups={  # the image encoder and the word vectors are frozen
            "word_encoder": Group(lr=lr, only=(r"\.(ahead|back)\.",)),
            # Keras adds 5e-4 times the sum of squares, whose gradient has a factor 2
            "fusion": Group(lr=lr, weight_decay=1e-3, undecayed=(rf"^(?!({DECAYED_NAMES})\.weight$)",)),
        },
        epochs=50,
        images=128,
        expressions_per_image=1,
        optimiser="adam",
        betas=(0.9, 0.999),
        schedule=Milestones(at=(39, 44, 49), factor=0.1),  # the release counts epochs from 1
        flip=0,
    )
    return Recipe(
        name=f"vlt_{data}",
        about=PaperReference(
            row=f"tables of the ICCV paper, {data}",
            reports=REPORTED[f"vlt_{data}"],
            protocol="vlt",
            paper_says="The DarkNet-53 of a YOLOv3 that has not seen the val and test images of the three sets. "
            f"{YOLO}, which its authors published and this recipe starts from, has seen them: figures do not compare.",
            release_does="Word vectors of spaCy's en_vectors_web_lg, here GloVe's; 16 queries; batches of 128; masks "
            "go to the input's size by cubics, here linearly.",
        ),
        network="vlt_darknet53",
        config={"max_words": 20} if data.startswith("refcocog") else {},
        data=build_photograph_data(data, mask="soft", preprocessing=PIXELS),
        initial={"image_encoder": YOLO, "glove": GLOVE},
        stages=(learn,),
        precision="32",
    )


def vlt_refzom() -> Recipe:
    """Returns the recipe of a row of DMMI's Table 2."""
    base = vlt("refcoco")
    assert base.about is not None
    return base.replace(
        name="vlt_refzom",
        about=base.about.replace(
            row="DMMI's Table 2, VLT",
            reports=REPORTED["vlt_refzom"],
            protocol="dmmi",
            paper_says=f"{base.about.paper_says}{BY_DMMI_NOTE}",
        ),
        config={"max_words": 20},
        data=build_photograph_data("refzom", mask="soft", preprocessing=PIXELS),
    )


def vlt_swin(data: str) -> Recipe:
    """Returns the recipe of our form with Swin-B and BERT, trained as EAVL's hosts."""
    return Recipe(
        name=f"vlt_{data}_swin",
        about=PaperReference(
            row=f"VLT with Swin-B, {data}",
            reports=REPORTED[f"vlt_{data}_swin"],
            protocol=NOT_STATED,
            paper_says="The form of the TPAMI paper, whose code is not public: this network is ours, and its results "
            "are no reproduction. EAVL prints 75.96 for testA of RefCOCO in its Table V.",
        ),
        network="vlt_swin",
        data=build_photograph_data(data, **LIKE_LAVT),
        initial=SWIN_AND_BERT,
        stages=(LEARN_STAGE,),
    )


RECIPES = {f"vlt_{data}": partial(vlt, data) for data in ICCV_SETS} | {"vlt_refzom": vlt_refzom}
RECIPES |= {f"vlt_{data}_swin": partial(vlt_swin, data) for data in REFCOCO_SETS}
