"""CMIRNet's recipes."""

from refseg.recipe import Recipe
from refseg.recipes.small import small


def cmirnet_small() -> Recipe:
    """The small preset on drawn scenes: does the network learn, and what, on a laptop?

    Run       refseg train cmirnet_small
    Measured  docs/results.md
    """
    return small("cmirnet_small", steps=3000)
