"""The half of an adapter that needs no torch: settings, models on the hub, facts."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from refseg.adapters.download_model import get_model
from refseg.adapters.hub_model import Fact, HubModel, Revision
from refseg.adapters.local_model import LocalModel, is_complete, model_folder, own_folder
from refseg.config import Config, one_line
from refseg.errors import InvalidInput
from refseg.progress import Progress, no_progress


class AdapterConfig(Config):
    """Settings that all adapters have.

    A part of which there is a choice has a field of its name (`masker: Literal["sam2.1-small", ...]`), and a part after
    the first one a field `PART_revision`.

    Attributes:
        folder: an own copy in the place of the hub's, as `NAME=FOLDER` says; of an adapter of several parts a folder
            with a folder for each part that is not the hub's, such as FOLDER/detector.
        revision: branch, tag or commit of the first part on the hub.
        answer: "all" that fits the expression, or the "best" object alone.
    """

    folder: str | None = None
    revision: Revision = "main"
    answer: Literal["all", "best"] = "all"


class AdapterEntry(Config):
    """What is known of an adapter without loading it.

    Attributes:
        name: its name on the command line.
        title: the models, for people.
        paper: link to a paper or report.
        parts: models on the hub by part, the default first; several where a setting of the part's name chooses.
        settings: class of its settings.
        exists: how its logit of existence is computed.
        encodes_once: what is computed once an image; the rest is computed for each expression.
        most_pieces: pieces of an expression that it reads; what is longer is cut. None if its files say.
        ignores: parts of a sentence that it ignores ("place"), as the reader names them.
        knows: its strengths, as a noun phrase.
        cannot: its limits, as a verb phrase behind "cannot".
        reported: figures of others.
        usage: options that take it, if it is a part of the reader and no network by itself.
    """

    name: str
    title: str
    paper: str
    parts: dict[str, tuple[HubModel, ...]]
    settings: type[AdapterConfig] = Field(exclude=True)
    exists: str
    encodes_once: str
    most_pieces: int | None
    ignores: tuple[str, ...] = ()
    knows: str
    cannot: str
    reported: tuple[Fact, ...] = ()
    usage: str = ""

    def configured(self, given: Mapping[str, Any]) -> AdapterConfig:
        """Validates settings; those that are not given have their defaults.

        Raises:
            InvalidInput: for an unknown setting or a wrong value.
        """
        try:
            return self.settings.model_validate(dict(given))
        except ValidationError as error:
            names = ", ".join(name for name in self.settings.model_fields if name != "folder")
            raise InvalidInput(f"settings of {self.name}: {one_line(error)}; there are: {names}") from error

    def models(self, config: AdapterConfig) -> dict[str, HubModel]:
        """Returns the model of each part that the settings choose, at its revision."""
        chosen, values = {}, config.model_dump()
        for k, (part, choices) in enumerate(self.parts.items()):
            model = next((one for one in choices if one.name == values.get(part)), choices[0])
            revision = values.get("revision" if k == 0 else f"{part}_revision", model.revision)
            chosen[part] = model.replace(revision=revision)
        return chosen

    def spelled(self, config: AdapterConfig) -> str:
        """Returns the name with those settings behind it that choose other models than the default ones.

        >>> from refseg.adapters.catalogue import adapter_entry
        >>> entry = adapter_entry("florence2")
        >>> entry.spelled(entry.configured({"model": "large-ft", "beams": 1}))
        'florence2:model=large-ft'
        """
        fields = {*self.parts, "revision", *(f"{part}_revision" for part in self.parts)}
        values, usual = config.model_dump(), self.settings().model_dump()
        texts = [f"{name}={values[name]}" for name in values if name in fields and values[name] != usual[name]]
        return f"{self.name}:{','.join(texts)}" if texts else self.name

    def get(
        self,
        config: AdapterConfig,
        on_message: Callable[[str], None] = lambda line: None,
        progress: Progress = no_progress,
    ) -> dict[str, Path]:
        """Gets all parts from the hub, those that are not on this machine, and returns their folders.

        Args:
            config: settings, which choose the models.
            on_message: receives a line with the size before each download.
            progress: shows how many megabytes of weights are there.

        Raises:
            MissingFile, InvalidInput, UnwritableOutput: as `hub.get_model`.
        """
        name = self.spelled(config)
        return {part: get_model(model, name, on_message, progress) for part, model in self.models(config).items()}

    def local_models(self, config: AdapterConfig) -> dict[str, LocalModel]:
        """Finds all parts on this machine, at once and without asking the hub.

        Raises:
            MissingFile: if one is not there; the message names the command that gets it.
        """
        return dict(self._local_models(config))

    def _local_models(self, config: AdapterConfig) -> Iterator[tuple[str, LocalModel]]:
        given = None if config.folder is None else Path(config.folder)
        if given is not None and (len(self.parts) == 1 or not given.is_dir()):
            own_folder(given, self.name)  # with its error
        for part, model in self.models(config).items():
            own = given if given is None or len(self.parts) == 1 else given / part
            if own is not None and (len(self.parts) == 1 or own.is_dir()):
                yield part, LocalModel(self.name, own_folder(own, self.name), own=True)
            else:
                yield part, LocalModel(self.spelled(config), model_folder(model, self.spelled(config)))

    def pinned(self, config: AdapterConfig, models: Mapping[str, LocalModel]) -> AdapterConfig:
        """Returns the settings with the commits of the loaded models in the place of branches, for other folders."""
        fields = {part: "revision" if k == 0 else f"{part}_revision" for k, part in enumerate(self.parts)}
        commits = {fields[part]: model.commit for part, model in models.items() if model.commit}
        known = {name: commit for name, commit in commits.items() if name in type(config).model_fields}
        folder = config.folder and str(Path(config.folder).absolute())
        return config.replace(**known, folder=folder)

    def fingerprint(self, config: AdapterConfig) -> bytes:
        """Returns an identifier of the local weights: the commit of each part, or a digest of own files."""
        return " ".join(model.fingerprint() for model in self.local_models(config).values()).encode()

    def is_installed(self) -> bool:
        """Whether all parts are on this machine, with the default settings."""
        try:
            return all(is_complete(model.folder) for model in self.local_models(self.settings()).values())
        except OSError:  # MissingFile too
            return False

    @property
    def default_models(self) -> tuple[HubModel, ...]:
        """The models of the default settings."""
        return tuple(choices[0] for choices in self.parts.values())

    @property
    def size(self) -> int:
        """Bytes of the default download, about."""
        return sum(model.size for model in self.default_models)

    @property
    def parameters(self) -> int:
        """Number of parameters with the default settings."""
        return sum(model.parameters for model in self.default_models)

    @property
    def gated(self) -> bool:
        """Whether the hub wants a licence accepted first."""
        return any(model.gated for model in self.default_models)

    def about(self) -> dict[str, Any]:
        """Returns everything that is known, for JSON."""
        sizes = {"size": self.size, "parameters": self.parameters, "gated": self.gated}
        return self.model_dump() | sizes | {"here": self.is_installed()}

    def card(self) -> str:
        """Returns the model card: licence, size, figures of others."""
        parts = (
            f"* **{part}** [{model.id}]({model.page}), licence: {model.licence}"
            for part, model in zip(self.parts, self.default_models, strict=True)
        )
        figures = (f"* {fact.text} ({fact.source}; not run by us)" for fact in self.reported)
        lines = [f"# {self.name}", "", f"{self.title}: {self.paper}", "", *parts, *figures]
        lines += [f"* **Knows** {self.knows}", f"* **Cannot** {self.cannot}", f"* **Existence** {self.exists}"]
        return "\n".join(lines) + "\n"
