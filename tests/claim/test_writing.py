import os

import pytest

from decouple.claim.writing import write_atomically


def test_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "new" / "file.txt"
    write_atomically(target, "first\n")
    assert target.read_text() == "first\n"
    assert target.stat().st_mode & 0o777 == 0o644

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(target, "second\n")
    assert target.read_text() == "first\n"
    assert os.listdir(target.parent) == ["file.txt"], "no draft is left behind"  # noqa: PTH208
