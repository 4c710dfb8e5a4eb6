"""The weights that come with the package: what answers where nobody names other ones."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "weights"
FOR_IMAGES, FOR_VIDEOS = "selector", "cmpc_video_small"


def default_weights(of_video: bool) -> str:
    """The name of the weights for an image, or for a video."""
    return FOR_VIDEOS if of_video else FOR_IMAGES
