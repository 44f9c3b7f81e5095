"""A copy of this project as a repository of its own, to be changed and compared with itself."""

import contextlib
import io
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from decouple.cli import main

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("claims", "decouple", "fixtures", "conftest.py", "pyproject.toml")
STORE = Path("reports/store")
SIDES = ("before", "after")


@dataclass
class Project:
    """The copy, committed as it is here; the current folder."""

    folder: Path

    def read(self, file):
        return (self.folder / file).read_text(encoding="utf-8")

    def write(self, file, text):
        (self.folder / file).write_text(text, encoding="utf-8")

    def rewrite(self, file, before, after):
        text = self.read(file)
        assert text.count(before) == 1
        self.write(file, text.replace(before, after))

    def runs(self):
        return len(list((self.folder / STORE).glob("*/*/*/seed-*")))

    def compare(self, claims):
        """Exit status and standard output of comparing what is committed with what lies there."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            status = main(
                ["compare", "HEAD", ".", "--tier=smoke", f"--only={claims}", "--keep=compared"]
            )
        return status, said.getvalue()

    def differences(self):
        """Of the numbers of all seeds, between the two reports that were compared last."""
        before, after = (
            {
                (record["claim"], seed): value
                for record in json.loads(path.read_text(encoding="utf-8"))["records"]
                for seed, value in record["values"].items()
            }
            for path in (self.folder / "compared" / side / "claims.json" for side in SIDES)
        )
        assert before.keys() == after.keys()
        return {after[key] - before[key] for key in after}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Begins with the runs that `make claims` left here, if it did: code that is the same is not
    run again."""
    folder = tmp_path / "project"
    folder.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, folder / part)
    if (ROOT / STORE).is_dir():
        ignored = shutil.ignore_patterns("locks", "scratch")
        shutil.copytree(ROOT / STORE, folder / STORE, ignore=ignored)
    (folder / ".gitignore").write_text("__pycache__\ncompared\nreports\n")
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as it stands"]):
        subprocess.run(["git", *identity, *command], check=True, capture_output=True)
    return Project(folder)
