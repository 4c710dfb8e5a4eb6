import zipfile

import pytest

from refseg.files import archives
from refseg.files.archives import member_names


def test_names_are_listed_and_damage_is_told(tmp_path, monkeypatch):
    whole, cut, other = (tmp_path / name for name in ("whole.zip", "cut.zip", "other.zip"))
    with zipfile.ZipFile(whole, "w") as archive:
        for name in ("a/data.pkl", "a/data/0"):
            archive.writestr(name, b"x" * 100)
    cut.write_bytes(whole.read_bytes()[:-30])
    other.write_text("no archive")
    assert member_names(whole) == ["a/data.pkl", "a/data/0"]
    for file in (cut, other):
        with pytest.raises(ValueError):
            member_names(file)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(ValueError, match="it has 2 members"):
        member_names(whole)
