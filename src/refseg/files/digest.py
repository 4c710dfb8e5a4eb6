"""Digests of files."""

import hashlib
from pathlib import Path


def sha256(*paths: Path) -> str:
    """Returns the SHA-256 digest, in hexadecimal, of files one after another, which are never held in memory."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
