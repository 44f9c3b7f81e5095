"""The report of one revision: its own checkout, its own process, a store shared with others."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from decouple.claim.report import NAME

WORKING_TREE = "."
"""Stands for the tree as it lies, uncommitted changes included."""

SOME_FAILED = 1
"""pytest's exit status when claims failed: an outcome to compare, not an accident."""


class RevisionError(ValueError):
    """A revision that could not be checked out or judged; says which and why."""


def judge_revision(
    revision: str, *, root: Path, store: Path, into: Path, arguments: Sequence[str]
) -> Path:
    """Judge claims as a revision has them; returns the path of the JSON report.

    Runs that the store holds are not made again: their identity carries the fingerprint of the code
    of their experiment, so only experiments that a change touches are run for both revisions.

    Args:
        revision: What `git rev-parse` understands, or `WORKING_TREE`.
        root: Folder of the repository.
        store: Where runs are kept, for all revisions.
        into: Folder for the report.
        arguments: Further arguments of pytest: tiers, seeds, claims.

    Raises:
        RevisionError: if there is no such revision, or nothing could be judged.
    """
    with _checkout(revision, root) as tree:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--decouple-no-ledger", f"--decouple-store={store.resolve()}"]
        command += [f"--decouple-report={into.resolve()}", *arguments, "claims/"]
        done = subprocess.run(
            command,
            cwd=tree,
            # The checkout comes before the installed project.
            env=os.environ | {"PYTHONPATH": str(tree)},
            stdout=subprocess.PIPE,
            stderr=None,  # progress
            text=True,
            check=False,
        )
    report = into / NAME
    if done.returncode not in (0, SOME_FAILED) or not report.is_file():
        said = "\n".join(done.stdout.splitlines()[-20:])
        raise RevisionError(f"revision {revision!r} gave no report:\n{said}")
    return report


@contextmanager
def _checkout(revision: str, root: Path) -> Iterator[Path]:
    """A worktree of a revision, removed afterwards."""
    if revision == WORKING_TREE:
        yield root
        return
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", of=revision)
    with tempfile.TemporaryDirectory(prefix="decouple-") as folder:
        tree = Path(folder) / "tree"
        _git(root, "worktree", "add", "--detach", "--quiet", str(tree), commit, of=revision)
        try:
            yield tree
        finally:
            _git(root, "worktree", "remove", "--force", str(tree), of=revision)


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
