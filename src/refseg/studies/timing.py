"""Images a second and hours of training of a recipe, measured on this machine with random weights."""

from dataclasses import dataclass

from refseg.datasets.tools.published_counts import PUBLISHED, Count
from refseg.hardware import choose_device, describe_hardware
from refseg.recipes.recipe import FileData, Recipe, Stage


@dataclass(frozen=True)
class Timing:
    """How fast the network of a recipe is.

    Attributes:
        fps: images a second, one image and one expression at a time.
        estimated_hours: of training on one device; None if the size of its data set is not known.
        machine: that was measured.
        device: that computed there.
    """

    fps: float
    estimated_hours: float | None
    machine: str
    device: str


def measure(recipe: Recipe, side: int, device: str) -> Timing:
    """Measures the network of a recipe on images of this side."""
    from refseg.inspection.speed import measure_images_per_second, measure_training_seconds

    device = choose_device(device)
    fps = measure_images_per_second(recipe.network, recipe.config, side, device)
    images, hours = count_images(recipe), None
    if images is not None:
        bf16 = recipe.precision == "bf16" and device.startswith("cuda")
        hours = images * measure_training_seconds(recipe.network, recipe.config, side, device, bf16) / 3600
    return Timing(fps, hours, describe_hardware(device), device)


def count_images(recipe: Recipe) -> float | None:
    """Returns how many images a training sees, by the published sizes of its data sets; None if these are unknown."""
    seen = [count_stage_images(recipe, stage) for stage in recipe.stages]
    return None if None in seen else sum(one for one in seen if one is not None)


def count_stage_images(recipe: Recipe, stage: Stage) -> float | None:
    """Returns how many images a stage of a training sees; None if the size of its data set is not published."""
    data = stage.data or recipe.data
    if stage.steps is not None:
        return stage.steps * stage.images
    if not isinstance(data, FileData) or stage.epochs is None:
        return None
    known = PUBLISHED.get((data.dataset, data.settings.get("split_by", "")), {}).get(data.train, Count())
    items = {"referent": known.refs, "expression": known.expressions, "image": known.images}[data.item]
    return None if items is None else stage.epochs * items
