"""The caveat of figures of few expressions or images; apart from the others, which need torch."""

from refseg.counting import counted

FEW_EXPRESSIONS, FEW_IMAGES = 200, 50


def find_few_caveat(expressions: int, images: int, shown: str) -> str:
    """Returns a caveat where there are few expressions, or few images or videos, as `shown` says; "" elsewhere.

    >>> find_few_caveat(300, 12, "image")
    'Only 300 expressions about 12 images: too few for decimals to matter. Look at the intervals.'
    """
    if expressions >= FEW_EXPRESSIONS and images >= FEW_IMAGES:
        return ""
    counts = f"{counted(expressions, 'expression')} about {counted(images, shown)}"
    return f"Only {counts}: too few for decimals to matter. Look at the intervals."
