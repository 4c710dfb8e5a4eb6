"""Studies by name: `STUDIES` is the table; each is a table of a paper, see `study`."""

from refseg.errors import InvalidInput, did_you_mean
from refseg.studies import cmirnet, cmpc, dcmfnet, dmmi, eavl
from refseg.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study for paper in (cmpc, cmirnet, eavl, dcmfnet, dmmi) for study in paper.STUDIES
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
