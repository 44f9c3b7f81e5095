"""The report of one revision: its own checkout, its own process, a store shared with others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from decouple.claim.report import NAME, Report, ReportError, read_whole

WORKING_TREE = "."
"""Stands for the tree as it lies, uncommitted changes included."""

SOME_FAILED = 1
"""pytest's exit status when claims failed: an outcome to compare, not an accident."""


class RevisionError(ValueError):
    """A revision that could not be checked out or judged; says which and why."""


def judge_revision(
    revision: str, *, root: Path, store: Path, into: Path, arguments: Sequence[str]
) -> Report:
    """Judge claims as a revision has them; returns the report.

    Runs that the store holds are not made again: their identity carries the fingerprint of the code
    of their experiment, so only experiments that a change touches are run for both revisions.

    Args:
        revision: What `git rev-parse` understands, or `WORKING_TREE`.
        root: Folder of the repository.
        store: Where runs are kept, for all revisions.
        into: Folder for the report.
        arguments: Further arguments of pytest: tiers, seeds, claims.

    Raises:
        RevisionError: if there is no such revision, or claims of it could not be judged: what is
            missing from a report would pass for gone.
    """
    report = into / NAME
    report.unlink(missing_ok=True)  # an earlier one would be taken for this one
    with _leaving_when_told_to(), _checkout(revision, root) as tree:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--decouple-no-ledger", f"--decouple-store={store.resolve()}"]
        command += [f"--decouple-report={into.resolve()}", *arguments, "claims/"]
        # The checkout comes before the installed project.
        path = os.pathsep.join([str(tree), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = _run(command, cwd=tree, env=os.environ | {"PYTHONPATH": path})
    if done.returncode not in (0, SOME_FAILED) or not report.is_file():
        said = "\n".join(done.stdout.splitlines()[-20:])
        raise RevisionError(f"revision {revision!r} gave no report:\n{said}")
    try:
        return read_whole(report)
    except ReportError as error:
        raise RevisionError(f"revision {revision!r} was not judged: {error}") from error


@contextmanager
def _checkout(revision: str, root: Path) -> Iterator[Path]:
    """A worktree of a revision, removed afterwards, as is what a killed process left of its own."""
    if revision == WORKING_TREE:
        yield root
        return
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", of=revision)
    try:
        with tempfile.TemporaryDirectory(prefix="decouple-") as folder:
            tree = Path(folder) / "tree"
            _git(root, "worktree", "add", "--detach", "--quiet", str(tree), commit, of=revision)
            yield tree
    finally:
        _git(root, "worktree", "prune", of=revision)  # those whose folder is gone, as this one's


def _run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command; what ends the wait for it ends all that it has started, its workers too."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=None,  # progress
        text=True,
        process_group=0,  # one of its own: workers outlive a parent that is killed alone
    ) as child:
        try:
            output, _ = child.communicate()
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, child.returncode, output)


@contextmanager
def _leaving_when_told_to() -> Iterator[None]:
    """A cancelled job (SIGTERM) or a closed terminal (SIGHUP) leaves nothing behind."""
    if threading.current_thread() is not threading.main_thread():  # only there are handlers set
        yield
        return

    def leave(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # one that follows must not cut the tidying short
        sys.exit(128 + number)

    heard = (signal.SIGTERM, signal.SIGHUP)
    before = {
        number: signal.signal(number, leave)
        for number in heard
        if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _git(root: Path, *arguments: str, of: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip() or "no such revision"
        raise RevisionError(
            f"revision must be a report file, a git revision or '.', got {of!r}: {reason}"
        )
    return done.stdout.strip()
