"""Opens the manifest that a path, a pattern or a URL names."""

import glob
import os
from collections.abc import Sequence

from refseg.errors import InvalidInput, MissingFile, shown
from refseg.manifests.csv_rows import CsvRows
from refseg.manifests.image_files import ImageFiles
from refseg.manifests.json_rows import JsonRows
from refseg.manifests.manifest import Manifest
from refseg.manifests.parquet_rows import ParquetRows
from refseg.manifests.places import ImageRoot, is_url, open_place, parent_of
from refseg.manifests.store import Store
from refseg.manifests.tar_shards import TarShards

TABLES: dict[str, type[Manifest]] = {".jsonl": JsonRows, ".csv": CsvRows, ".parquet": ParquetRows}


def open_manifest(place: str, asked: Sequence[str], images: str | None, store: Store) -> Manifest:
    """Opens a manifest.

    Args:
        place: a table (.jsonl, .csv, .parquet), tar files (shards/{000..099}.tar), a folder of images, or a glob.
        asked: expressions about images whose row has none.
        images: the folder or URL that names of a table's images start from; that of the table if None.
        store: of the answers, which keeps the listing of a folder.

    Raises:
        MissingFile, InvalidInput: if there is none, or it is nothing of these.
    """
    ending = os.path.splitext(place)[1].lower()
    if ending not in TABLES and images is not None:
        raise InvalidInput(f"{place} is no table; the folder that paths start from is of tables: leave it out")
    if ending == ".tar" or place.rstrip("}").endswith(".tar"):
        return TarShards(place, asked)
    if ending in TABLES:
        open_place(place).close()
        root = ImageRoot(images if images is not None else parent_of(place), place)
        return TABLES[ending](place, asked, root)
    if os.path.isdir(place) or glob.has_magic(place) or is_url(place):
        return ImageFiles(place, asked, store)
    if not os.path.lexists(place):
        raise MissingFile(f"{place} is missing; check the path of the manifest")
    raise InvalidInput(
        f"{shown(place)} is no manifest; give a table ({', '.join(TABLES)}), tar files ('shards/{{000..099}}.tar'), "
        "or a folder of images"
    )
