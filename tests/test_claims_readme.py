"""The guide to adding a claim, followed literally in a project of its own."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from decouple.claim.ledger import read_ledger

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "claims" / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- (file|append to): (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
PROGRAMS = {
    "pytest": [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
    "decouple": [sys.executable, "-c", "import sys, decouple.cli as c; sys.exit(c.main())"],
}


@pytest.fixture
def project(tmp_path):
    for name in ("claims", "fixtures"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(line, project):
    program, *arguments = shlex.split(line)
    return subprocess.run(
        [*PROGRAMS[program], *arguments], cwd=project, capture_output=True, text=True, check=False
    )


def test_the_five_steps_add_a_claim(project):
    written = 0
    for how, name, text in BLOCK.findall(GUIDE):
        file = project / name
        assert file.exists() == (how == "append to")
        with file.open("a", encoding="utf-8") as stream:
            stream.write(f"\n\n{text}" if how == "append to" else text)
        written += 1
    assert written == 2
    judge, record = re.search(r"```sh\n(.*?)```", GUIDE, re.DOTALL)[1].strip().splitlines()

    judged = run(judge, project)
    assert judged.returncode == 0, judged.stdout
    assert "routing_collapse [published]: 1 CONSISTENT" in judged.stdout
    recorded = run(record, project)
    assert recorded.returncode == 0, recorded.stderr
    ids = {record.claim for record in read_ledger(project / "fixtures" / "ledger")}
    assert "routing_collapse/deeper-half-is-more-certain" in ids


def test_each_step_is_there_and_names_commands_that_exist():
    assert re.findall(r"^\*\*(\d)\.", GUIDE, re.MULTILINE) == list("12345")
    commands = re.findall(r"`decouple (\w+)", GUIDE)
    assert commands == ["rehearse"]
    said = run(f"decouple {commands[0]} --help", ROOT)
    assert said.returncode == 0


def test_the_figures_of_the_example_are_those_of_the_table_it_names():
    (table,) = [text for _, name, text in BLOCK.findall(GUIDE) if name.endswith(".csv")]
    rows = table.splitlines()[2:]
    known = (ROOT / "fixtures/published/routing_collapse/router_entropy.csv").read_text()
    assert rows
    assert [row for row in rows if row not in known.splitlines()] == []
