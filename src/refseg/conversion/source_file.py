"""Checks of an authors' file that need no torch: whether it is there, whole, and a file of weights."""

from pathlib import Path

from refseg.errors import InvalidInput, MissingFile, first_line, for_caller, printable
from refseg.files.archives import ZIP, check_member, member_names

PICKLE = b"\x80"
"""First byte of a file that torch.save wrote before 2020."""
MAX_STRUCTURE = 2**26
"""Size in bytes up to which the structure of a file is read to check it; that of weights takes some 100,000."""
WHICH_FILE = "give the file that the authors' training script saved"


def check_file(path: Path, which_file: str = WHICH_FILE) -> None:
    """Checks that an authors' file can be one of weights.

    Args:
        path: the file.
        which_file: advice on the right file.

    Raises:
        MissingFile, InvalidInput: if there is none, it cannot be read, is empty, cut off, or another file.
    """
    if not path.exists():
        raise MissingFile(f"{path} is missing; docs/published_weights.md says where the authors' files are")
    if path.is_dir():
        way_back = for_caller(", or --to-official for the way back", "")
        raise InvalidInput(f"{path} is a folder; give an authors' file{way_back}")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror})") from error
    _check_start(start, path)
    if start.startswith(ZIP):
        try:
            names = member_names(path)
            if not all(name.endswith(".npy") for name in names):
                check_member(path, _structure(names), MAX_STRUCTURE)
        except (OSError, ValueError) as error:
            raise _damaged(path, first_line(error), which_file) from error
    elif not start.startswith(PICKLE) and path.suffix != ".safetensors":
        raise _damaged(path, f"it begins with {start[:8]!r}", which_file)


def _structure(names: list[str]) -> str:
    """Returns the name of the member that holds everything but numbers in a file of torch.save."""
    found = next((name for name in names if name.endswith("/data.pkl")), None)
    if found is None:
        raise ValueError(f"it has no data.pkl, but {', '.join(map(printable, names[:3])) or 'nothing'}")
    return found


def _check_start(start: bytes, path: Path) -> None:
    if not start:
        raise InvalidInput(f"{path} is empty; download it again")
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise InvalidInput(
            f"{path} is a web page, not weights (a file host sends one when it wants a confirmation or its quota is "
            "used up); open the link in a browser and save the file from there"
        )


def _damaged(path: Path, reason: str, which_file: str) -> InvalidInput:
    return InvalidInput(f"{path} is damaged or no .pth or .npz file ({reason}); download it again, or {which_file}")
