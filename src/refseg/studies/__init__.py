"""Studies by name: `STUDIES` is the table; each is a table of a paper, or of our own network, see `study`."""

from pathlib import Path

from refseg.errors import InvalidInput, did_you_mean
from refseg.studies import cmirnet, cmpc, dcmfnet, dmmi, eavl, selector
from refseg.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study for module in (cmpc, cmirnet, eavl, dcmfnet, dmmi, selector) for study in module.STUDIES
}


def find_study(name: str) -> Study:
    """Returns the study of that name, or of a YAML file.

    Raises:
        InvalidInput: for an unknown name, or a file that holds no study.
        MissingFile: if there is no such file.
    """
    if name.endswith((".yaml", ".yml")):
        from refseg.studies.read_study import read_study  # which knows all recipes

        study = read_study(Path(name))
        if study.name in STUDIES:
            raise InvalidInput(f"{name}: name: {study.name} is a table of refseg's own; give it another one")
        return study
    if name not in STUDIES:
        meant = did_you_mean(name, STUDIES)
        raise InvalidInput(
            f"unknown study {name!r}; {meant}choose one that `refseg study` lists, such as cmirnet_table3, or give a "
            ".yaml file"
        )
    return STUDIES[name]
