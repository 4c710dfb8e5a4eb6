"""Names that the shell completes; nothing here imports torch."""


def complete_weights(incomplete: str) -> list[str]:
    """Returns the bundled weights, the published ones that are on this machine, and the open models."""
    from refseg.adapters import ADAPTERS
    from refseg.checkpoints.catalogue import CATALOGUE, is_installed
    from refseg.checkpoints.locate import bundled_names

    published = (entry.name for entry in CATALOGUE if is_installed(entry))
    return _matching([*bundled_names(), *published, *ADAPTERS], incomplete)


def complete_published(incomplete: str) -> list[str]:
    """Returns the published weights that this version converts, the finders, and the open models."""
    from refseg.adapters import ADAPTERS
    from refseg.checkpoints.catalogue import CATALOGUE
    from refseg.finders.published import PUBLISHED_FINDERS

    converted = (entry.name for entry in CATALOGUE if entry.conversion and not entry.exported)
    return _matching([*converted, *PUBLISHED_FINDERS, *ADAPTERS], incomplete)


def complete_datasets(incomplete: str) -> list[str]:
    """Returns the data sets."""
    from refseg.datasets import DATASETS

    return _matching(list(DATASETS), incomplete)


def complete_recipes(incomplete: str) -> list[str]:
    """Returns the recipes."""
    from refseg.recipes import RECIPES

    return _matching(list(RECIPES), incomplete)


def complete_studies(incomplete: str) -> list[str]:
    """Returns the studies."""
    from refseg.studies import STUDIES

    return _matching(list(STUDIES), incomplete)


def complete_networks(incomplete: str) -> list[str]:
    """Returns networks, presets and open models."""
    from refseg.adapters import ADAPTERS
    from refseg.networks import NETWORKS, PRESETS

    return _matching(list(dict.fromkeys([*NETWORKS, *PRESETS, *ADAPTERS])), incomplete)


def complete_protocols(incomplete: str) -> list[str]:
    """Returns the protocols."""
    from refseg.protocols import PROTOCOLS, VIDEO_PROTOCOLS

    return _matching([*PROTOCOLS, *VIDEO_PROTOCOLS], incomplete)


def complete_conversions(incomplete: str) -> list[str]:
    """Returns the layouts of files that are converted."""
    from refseg.conversion import AUTO, CONVERSIONS

    return _matching([AUTO, *CONVERSIONS], incomplete)


def complete_sorts(incomplete: str) -> list[str]:
    """Returns the orders of the lines of a gallery."""
    from refseg.inspection.gallery.selection import SORTS

    return _matching(list(SORTS), incomplete)


def complete_devices(incomplete: str) -> list[str]:
    """Returns the usual devices."""
    return _matching(["auto", "cpu", "cuda"], incomplete)


def complete_precisions(incomplete: str) -> list[str]:
    """Returns the precisions of inference."""
    from refseg.hardware import PRECISIONS

    return _matching(list(PRECISIONS), incomplete)


def _matching(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
