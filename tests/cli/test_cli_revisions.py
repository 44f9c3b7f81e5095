"""Judging a revision: what its process sees, and what is left when it ends early."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from decouple.claim.report import NAME
from decouple.cli.revisions import RevisionError, judge_revision

CONFTEST = """
def pytest_addoption(parser):
    for name in ("store", "report"):
        parser.addoption(f"--decouple-{name}")
    parser.addoption("--decouple-no-ledger", action="store_true")
"""

CLAIM = """
import fcntl, json, os, subprocess, sys, time
from pathlib import Path
from decouple.claim.report import write_report

def test_claim(request):
    seen = {"path": sys.path, "given": os.environ["PYTHONPATH"]}
    Path(os.environ["SEEN"]).write_text(json.dumps(seen))
    # Held by this process and by one that, like pytest-xdist's workers, its end does not end.
    held = open(os.environ["HELD"], "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    worker = subprocess.Popen(sleep, pass_fds=[held.fileno()])
    if "SILENT" not in os.environ:
        folder = Path(request.config.getoption("--decouple-report"))
        write_report(folder, [], root=Path.cwd(), wall_seconds=0, arguments=())
    time.sleep(float(os.environ.get("SECONDS", "0")))
    worker.kill()
    worker.wait()
    held.close()
"""


def git(*arguments):
    options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *options, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository whose one claim tells what its process sees, as the current folder."""
    folder = tmp_path / "project"
    (folder / "claims").mkdir(parents=True)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "claims" / "test_it.py").write_text(CLAIM)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("HELD", str(tmp_path / "held"))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(folder)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    return folder


def judge(project, revision="HEAD"):
    into, store = project.parent / "into", project.parent / "store"
    return judge_revision(revision, root=project, store=store, into=into, arguments=[])


def seen(project):
    return json.loads((project.parent / "seen.json").read_text())


def checkouts():
    return git("worktree", "list").splitlines()


def test_the_users_own_search_path_comes_after_the_checkout(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(project.parent / "mine"))
    judge(project)
    tree, mine = seen(project)["given"].split(os.pathsep)
    assert Path(tree).name == "tree"
    assert mine == str(project.parent / "mine")
    path = seen(project)["path"]
    assert path.index(tree) < path.index(mine)
    monkeypatch.delenv("PYTHONPATH")
    judge(project)
    assert os.pathsep not in seen(project)["given"]


def test_an_earlier_report_is_not_taken_for_this_one(project, monkeypatch):
    judge(project)
    assert (project.parent / "into" / NAME).is_file()
    monkeypatch.setenv("SILENT", "1")
    with pytest.raises(RevisionError, match="revision 'HEAD' gave no report"):
        judge(project)
    assert not (project.parent / "into" / NAME).exists()


def test_what_a_killed_process_left_registered_is_cleared(project):
    git("worktree", "add", "--detach", str(project.parent / "left"))
    shutil.rmtree(project.parent / "left")
    assert len(checkouts()) == 2
    judge(project)
    assert len(checkouts()) == 1


def test_the_handler_of_before_is_put_back(project):
    before = signal.getsignal(signal.SIGTERM)
    judge(project)
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(RevisionError):
        judge(project, "nowhere")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_job_that_is_cancelled_leaves_nothing_behind(project, monkeypatch):
    monkeypatch.setenv("SECONDS", "60")
    into = project.parent / "into"
    program = (
        "from pathlib import Path\n"
        "from decouple.cli.revisions import judge_revision\n"
        f"judge_revision('HEAD', root=Path.cwd(), store=Path('store'), into=Path({str(into)!r}), "
        "arguments=[])\n"
    )
    judging = subprocess.Popen([sys.executable, "-c", program])
    try:
        until((into / NAME).exists)
        assert len(checkouts()) == 2
        judging.terminate()
        assert judging.wait(timeout=30) == 128 + signal.SIGTERM
    finally:
        judging.kill()
    with (project.parent / "held").open() as held:
        until(lambda: is_free(held))
    assert len(checkouts()) == 1
    assert list((project.parent / "temporary").iterdir()) == []


def is_free(held):
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def until(there):
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)
