"""CMPC-V's training on videos: the paper's main results, and A2D Sentences as in the authors' released code.

Run       refseg train cmpc_video_a2d
Measured  not run yet

JHMDB Sentences has no recipe: weights of A2D Sentences are evaluated on it.
"""

from collections.abc import Callable
from functools import partial

from refseg.preprocessing.transform import IMAGENET_MEAN, IMAGENET_STD, ClipSampling, Preprocessing
from refseg.recipes.cmpc import RELEASED_MEAN, build_letterbox, build_stage
from refseg.recipes.photograph_sets import GLOVE, RESNET_101
from refseg.recipes.recipe import FileData, PaperReference, Recipe
from refseg.recipes.reported import REPORTED, name_row
from refseg.recipes.schedules import Milestones

I3D_FILE = "rgb_imagenet.pt"
FRAME_OFFSETS = {"": (-8, -4, 0, 4, 7), "_i3d": (-8, -6, -4, -2, 0, 2, 4, 6)}
PAPER_SAYS = {
    "": "5 frames of a clip; DeepLab-ResNet-101 of PASCAL VOC, frozen. Here it is torchvision's of ImageNet, since "
    "DeepLab's weights come with the released checkpoint only (cmpc_video_a2d_release).",
    "_i3d": "8 frames of a clip; I3D of Kinetics on RGB. Whether it is frozen and which frames these are is not said; "
    "here it is, and they are every second one of 16.",
}
JHMDB_NOTE = (
    " JHMDB Sentences is scored with these weights as they are: refseg evaluate runs/{run}/weights jhmdb_sentences."
)
NO_VAL_NOTE = (
    " There is no val with masks: 50 clips of train are scored on the way, so take the run's last/, not its best/."
)
RELEASE_DOES = (
    "R2D only: of 16 frames around the answered one the numbers 0, 4, 8, 12 and 15; 380,000 steps of one expression, "
    "on a schedule that would end at 400,000; the weights of step 360,000 are scored. 2 rounds of TGFE, the visual "
    "skip, the loss is summed over pixels, logits are enlarged by corners."
)


def cmpc_video_a2d(encoder: str) -> Recipe:
    """Returns the recipe of the main result on A2D Sentences."""
    name = f"cmpc_video_a2d{encoder}"
    notes = NO_VAL_NOTE + JHMDB_NOTE.format(run=name)
    return Recipe(
        name=name,
        about=PaperReference(
            row=f"main results, A2D Sentences, {'I3D' if encoder else 'R2D'}",
            reports=REPORTED[name],
            protocol="cmpc_video",
            paper_says=f"3 rounds of TGFE; the loss is averaged over pixels. {PAPER_SAYS[encoder]}{notes}",
            release_does=RELEASE_DOES,
        ),
        network=f"cmpc_video{encoder}",
        config={} if encoder else {"image_encoder": "resnet101_stride8"},
        data=build_video_data("a2d_sentences", encoder),
        initial={"i3d": I3D_FILE, "glove": GLOVE} if encoder else {"image_encoder": RESNET_101, "glove": GLOVE},
        stages=(build_stage(380_000, over=400_000, validate_every=20_000),),
        precision="32",
    )


def cmpc_video_a2d_release() -> Recipe:
    """Returns the recipe of the released code."""
    base = cmpc_video_a2d("")
    assert base.about is not None and isinstance(base.data, FileData)
    name = f"{base.name}_release"
    notes = NO_VAL_NOTE + JHMDB_NOTE.format(run=name)
    return base.replace(
        name=name,
        about=base.about.replace(
            row=name_row(f"{base.about.row}, 2 rounds", {}),  # the figures are of 3
            reports={},
            paper_says=f"3 rounds of TGFE, the multimodal skip; the loss is averaged over pixels.{notes}",
            release_does=f"{RELEASE_DOES} This recipe ends there. initial.image_encoder is the folder that `refseg "
            "convert cmpc` makes of the released checkpoint: its image encoder is the one that they started from, "
            "since it was frozen.",
        ),
        network="cmpc_video_release",
        config={},
        data=base.data.replace(preprocessing=add_clips(build_letterbox(RELEASED_MEAN, 1.0), "")),
        stages=(build_stage(360_000, over=400_000, validate_every=20_000),),
        initial=base.initial | {"image_encoder": "cmpc_video_released"},
    )


def cmpc_video_refer_youtube_vos(encoder: str) -> Recipe:
    """Returns the recipe of the main result on Refer-YouTube-VOS."""
    base, name = cmpc_video_a2d(encoder), f"cmpc_video_refer_youtube_vos{encoder}"
    reports = REPORTED.get(name, {})
    (stage,) = base.stages
    groups = {part: group.replace(lr=5e-4) for part, group in stage.groups.items()}
    schedule = Milestones(at=(160_000,), unit="step", factor=0.1)
    return base.replace(
        name=name,
        about=PaperReference(
            row=name_row(f"main results, Refer-YouTube-VOS, {'I3D' if encoder else 'R2D'}", reports),
            reports=reports,
            protocol="mevis",
            paper_says="200,000 steps, learning rate 5e-4, a tenth of it from step 160,000 on; the batch is not given. "
            f"{PAPER_SAYS[encoder]} Frames are counted among those that the data set lists, every fifth of a video."
            f"{NO_VAL_NOTE} valid is scored by the challenge's server.",
            release_does="Nothing for these data.",
        ),
        data=build_video_data("refer_youtube_vos", encoder),
        stages=(stage.replace(groups=groups, steps=200_000, schedule=schedule),),
    )


def build_video_data(dataset: str, encoder: str) -> FileData:
    """Returns the data of a video data set."""
    pixels = build_letterbox((127.5,) * 3, 127.5) if encoder else build_letterbox(IMAGENET_MEAN, IMAGENET_STD)
    return FileData(
        dataset=dataset,
        validation="train",
        validation_images=50,
        item="expression",
        mask="touched",
        preprocessing=add_clips(pixels, encoder),
    )


def add_clips(preprocessing: Preprocessing, encoder: str) -> Preprocessing:
    """Adds the frames of a clip to a preprocessing."""
    return preprocessing.replace(clip=ClipSampling(offsets=FRAME_OFFSETS[encoder]))


RECIPES: dict[str, Callable[[], Recipe]] = {"cmpc_video_a2d_release": cmpc_video_a2d_release}
RECIPES |= {f"cmpc_video_a2d{encoder}": partial(cmpc_video_a2d, encoder) for encoder in FRAME_OFFSETS}
RECIPES |= {
    f"cmpc_video_refer_youtube_vos{encoder}": partial(cmpc_video_refer_youtube_vos, encoder)
    for encoder in FRAME_OFFSETS
}
