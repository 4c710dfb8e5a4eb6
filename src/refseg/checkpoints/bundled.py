"""Names of the bundled weights, which are the default."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "weights"
FOR_IMAGES, FOR_VIDEOS = "selector", "selector_video"
FOR_PHOTOGRAPHS = "reader"  # with a finder that is not bundled
FORMER = "selector-1", "cmpc_video_small"  # in releases/ of the repository


def default_weights(of_video: bool) -> str:
    """Returns the name of the default weights for images, or for videos."""
    return FOR_VIDEOS if of_video else FOR_IMAGES
