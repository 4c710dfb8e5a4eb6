"""Models on the hub as we know them without asking it: their names, sizes and licences."""

from typing import Annotated

from pydantic import Field

from refseg.config import Config

UNCHECKED = "not checked by us, see its page"  # a licence

Revision = Annotated[str, Field(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$", max_length=100)]
"""A branch, tag, commit or pull request (refs/pr/1) on the hub, which is also a path in its cache."""


class Fact(Config):
    """A figure that others published, and where."""

    text: str
    source: str


class HubModel(Config):
    """A model on the hub.

    Attributes:
        name: of the model in settings and messages.
        id: "owner/name" on the hub.
        revision: branch, tag or commit.
        licence: of the weights, or where it is stated.
        size: bytes of a download, about.
        parameters: number of them.
        gated: whether the hub wants its licence accepted first.
    """

    name: str
    id: str
    revision: Revision = "main"
    licence: str
    size: int
    parameters: int
    gated: bool = False

    @property
    def page(self) -> str:
        """Address of its page."""
        return f"https://huggingface.co/{self.id}"


def single_precision(name: str, hub_id: str, parameters: int, licence: str = UNCHECKED) -> HubModel:
    """Returns a model whose file has four bytes a parameter."""
    return HubModel(name=name, id=hub_id, licence=licence, size=4 * parameters, parameters=parameters)


def described(model: HubModel) -> str:
    """Describes a model in a few words."""
    at = "" if model.revision == "main" else f" at {model.revision}"
    return f"{model.id}{at}, {size_text(model.size)}"


def size_text(size: int) -> str:
    """Formats a number of bytes.

    >>> size_text(609_600_000), size_text(3_439_600_000), size_text(24_251)
    ('610 MB', '3.4 GB', '1 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
