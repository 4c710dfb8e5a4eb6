"""Studies by name: `STUDIES` is the table; each is a table of a paper, or of our own network, see `study`."""

from refseg.errors import InvalidInput, did_you_mean
from refseg.studies import cmirnet, cmpc, dcmfnet, dmmi, eavl, selector
from refseg.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study for module in (cmpc, cmirnet, eavl, dcmfnet, dmmi, selector) for study in module.STUDIES
}


def find_study(name: str) -> Study:
    """Returns the study of that name.

    Raises:
        InvalidInput: for an unknown name.
    """
    if name not in STUDIES:
        meant = did_you_mean(name, STUDIES)
        raise InvalidInput(
            f"unknown study {name!r}; {meant}choose one that `refseg study` lists, such as cmirnet_table3"
        )
    return STUDIES[name]
