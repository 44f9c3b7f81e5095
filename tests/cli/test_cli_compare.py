"""Comparing two revisions of a small project of its own: what broke, and what was run again."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from decouple.cli import main

HERE = Path(__file__).parent
TOY = HERE.parent / "claim"
HOLDS = "toy/holds"
NAMES = "test_holds or test_fails or test_figure"


def git(*arguments):
    options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *options, *arguments], check=True, capture_output=True)


def commit(words):
    git("add", "-A")
    git("commit", "-qm", words)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository with the toy's claims, committed once, that is the current folder."""
    folder = tmp_path / "project"
    (folder / "papers").mkdir(parents=True)
    (folder / "papers" / "__init__.py").touch()
    shutil.copy(TOY / "toy_document.py", folder / "papers" / "toy.py")
    (folder / "claims").mkdir()
    shutil.copy(TOY / "toy_claims.py", folder / "claims" / "test_toy.py")
    (folder / "conftest.py").write_text('pytest_plugins = ["decouple.claim.plugin"]\n')
    (folder / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\ndecouple_experiments = papers\naddopts = -p no:cacheprovider\n"
    )
    (folder / ".gitignore").write_text("reports\n__pycache__\n")
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "trainings.log"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(folder)
    git("init", "-q")
    commit("first")
    return folder


def trainings(project):
    return (project.parent / "trainings.log").read_text().splitlines()


def rewrite(project, before, after):
    source = project / "papers" / "toy.py"
    assert source.read_text().count(before) == 1
    source.write_text(source.read_text().replace(before, after))


def compared(*arguments):
    return main(["compare", *arguments, "--tier", "smoke", "--only", NAMES])


def test_a_change_that_breaks_a_result_is_told_by_how_much(project, capsys):
    rewrite(project, "mean: float = 0.9", "mean: float = 0.4")
    assert compared("HEAD", ".") == 1
    said = capsys.readouterr().out
    assert "broken: toy/holds [smoke] SUPPORTED → REFUTED, difference -0.5 [" in said
    assert re.search(r"^    0\.4\S* \[.*\] over 5 seeds, must be ≥ 0\.8", said, re.MULTILINE), (
        "and why"
    )
    assert "broken: 1" in said
    assert "cannot tell" not in said, "what was judged on neither side has not changed"


def test_what_a_change_does_not_touch_is_not_run_again(project, capsys):
    assert compared("HEAD", ".") == 0
    once = trainings(project)
    rewrite(project, "def group_size(config):\n", "# a comment\ndef group_size(config):\n")
    commit("a comment")
    assert compared("HEAD~1", "HEAD") == 0
    assert trainings(project) == once
    assert capsys.readouterr().out == 2 * "held: 2\njudged on neither side: 1\n"


def test_the_reports_of_revisions_are_kept_where_asked_for(project, capsys):
    assert compared("HEAD", ".", "--keep=reports/kept") == 0
    kept = [f"reports/kept/{side}/claims.json" for side in ("before", "after")]
    capsys.readouterr()
    assert main(["compare", *kept]) == 0
    assert capsys.readouterr().out == "held: 2\njudged on neither side: 1\n"
    assert main(["compare", *kept, "--all"]) == 0
    assert (
        "held: toy/holds [smoke] SUPPORTED → SUPPORTED, difference 0 [0, 0]\n"
        in capsys.readouterr().out
    )


def test_a_widened_band_repairs_nothing(project, capsys):
    claims = project / "claims" / "test_toy.py"
    text = claims.read_text()
    before = 'BAND = at_least(0.8, because="half of the published change")'
    assert before in text
    claims.write_text(text.replace(before, 'BAND = at_least(0.1, because="it suits")'))
    assert compared("HEAD", ".", "--fail-on=broken,cannot tell") == 1
    said = capsys.readouterr().out
    assert "cannot tell: toy/holds [smoke] SUPPORTED → " in said
    assert "repaired" not in said
    assert said.count("band changed: another claim") == 2


def test_a_revision_is_left_as_it_was(project):
    compared("HEAD", ".")
    listed = subprocess.run(
        ["git", "worktree", "list"], check=True, capture_output=True, text=True
    ).stdout
    assert len(listed.splitlines()) == 1
    status = subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True)
    assert status.stdout == b""


def test_a_revision_that_is_none_is_an_error_in_one_line(project, capsys):
    assert compared("nowhere", ".") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "must be a report file, a git revision or '.', got 'nowhere'" in said


def test_a_revision_in_which_nothing_was_judged_is_an_error(project, capsys):
    status = main(["compare", "HEAD", ".", "--tier", "smoke", "--only", "no_such_claim"])
    assert status == 2
    assert "revision 'HEAD' gave no report" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", [[], ["--jobs=2"]])
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        # A field that nobody gives: the experiment cannot be described any more.
        (
            '    corpus: str = "toy text"',
            "    corpus: str",
            "broken: toy/holds [smoke] SUPPORTED → ERROR",
        ),
        (
            "import time\n",
            "import time\nimport no_such_module\n",
            "broken: toy/holds [smoke] SUPPORTED → ERROR",
        ),
    ],
)
def test_an_experiment_that_cannot_be_read_is_broken_not_gone(
    project, capsys, monkeypatch, jobs, before, after, words
):
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    rewrite(project, before, after)
    assert compared("HEAD", ".", *jobs) == 1
    said = capsys.readouterr().out
    assert words in said
    assert "gone" not in said


@pytest.mark.parametrize("jobs", [[], ["--jobs=2"]])
def test_claims_that_cannot_be_collected_or_kill_the_judge_are_an_error(
    project, capsys, monkeypatch, jobs
):
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    other = project / "claims" / "test_other.py"
    other.write_text("import no_such_module\n")
    assert compared("HEAD", ".", *jobs) == 2
    assert "revision '.' " in capsys.readouterr().err
    other.unlink()
    rewrite(project, "def group_size(config):\n", "def group_size(config):\n    os._exit(1)\n")
    assert compared("HEAD", ".", *jobs) == 2
    assert "revision '.' " in capsys.readouterr().err


def test_a_break_is_one_even_if_its_control_broke_too(project, capsys):
    claims = project / "claims" / "test_toy.py"
    plain = 'BALANCED = control("balanced", why="nothing draws the tokens together")'
    text = claims.read_text()
    assert plain in text
    claims.write_text(text.replace(plain, plain[:-1] + ", margin=0.2)"))
    commit("a margin")
    rewrite(project, "mean: float = 0.9", "mean: float = 0.4")
    rewrite(project, "replace(config, mean=0.3)", 'replace(config, trouble="diverge")')
    assert compared("HEAD", ".") == 1
    assert "broken: toy/holds [smoke] SUPPORTED → REFUTED" in capsys.readouterr().out


def test_two_reports_take_no_options_of_revisions_and_need_something_in_common(
    project, capsys, tmp_path
):
    assert compared("HEAD", ".", "--keep=reports/kept") == 0
    capsys.readouterr()
    report = "reports/kept/before/claims.json"
    assert main(["compare", report, report, "--only=test_holds"]) == 2
    assert "--only is for revisions" in capsys.readouterr().err
    empty = tmp_path / "empty.json"
    empty.write_text('{"format": 1, "records": []}')
    assert main(["compare", report, str(empty)]) == 2
    assert "no claim was judged on both sides" in capsys.readouterr().err
