"""DMMI's recipes."""

from refseg.recipe import Recipe
from refseg.recipes.small import small


def dmmi_small() -> Recipe:
    """The small preset on drawn scenes: does the network learn, and what, on a laptop?

    Run       refseg train dmmi_small
    Measured  docs/results.md
    """
    return small("dmmi_small", steps=1500)
