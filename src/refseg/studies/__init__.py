"""Studies by name: `STUDIES` is the table; each is a table of a paper, or of our own network, see `study`."""

from difflib import get_close_matches

from refseg.errors import InvalidInput
from refseg.studies import cmirnet, cmpc, dcmfnet, dmmi, eavl, selector
from refseg.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study for of_network in (cmpc, cmirnet, eavl, dcmfnet, dmmi, selector) for study in of_network.STUDIES
}


def find_study(name: str) -> Study:
    """Returns the study of that name.

    Raises:
        InvalidInput: for an unknown name.
    """
    if name not in STUDIES:
        near = ", ".join(get_close_matches(name, STUDIES, n=4)) or "cmirnet_table3"
        raise InvalidInput(f"unknown study {name!r}; choose one that `refseg study` lists, such as {near}")
    return STUDIES[name]
