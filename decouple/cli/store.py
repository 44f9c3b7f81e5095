"""`decouple store`: show, verify and prune what is stored."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from decouple.claim.experiment import UnknownExperimentError, locate
from decouple.claim.fingerprint import code_fingerprint
from decouple.claim.store import Store
from decouple.cli.parsing import Commands, add_command, add_store_option


def add_store(commands: Commands) -> None:
    """Add the command to a parser."""
    command = add_command(
        commands,
        "store",
        summary="show, verify or prune stored runs",
        description="The store holds the evidence of every run: a table and a manifest each.",
        examples=(
            "decouple store show",
            "decouple store verify",
            "decouple store prune --yes",
        ),
        statuses={1: "verify found damaged entries"},
    )
    add_store_option(command)
    actions = command.add_subparsers(required=True, metavar="ACTION")
    show = add_command(
        actions,
        "show",
        summary="one line for each run",
        description="What every run is of, how it ended, and whether the code that made it is "
        "the code that is here.",
        examples=("decouple store show",),
    )
    show.set_defaults(run=_show)
    verify = add_command(
        actions,
        "verify",
        summary="check every file",
        description="Checks manifest, sum and table of every run.",
        examples=("decouple store verify", "decouple store --store elsewhere verify"),
        statuses={0: "every entry is whole", 1: "some are damaged"},
    )
    verify.set_defaults(run=_verify)
    prune = add_command(
        actions,
        "prune",
        summary="remove runs of code that is no longer there, damaged entries and scratch",
        description="Lists what is of no use any more; removes it only with --yes. What is in use, "
        "and runs of experiments that are not known here, stay.",
        examples=("decouple store prune", "decouple store prune --yes"),
    )
    prune.add_argument("--yes", action="store_true", help="remove, do not only list")
    prune.set_defaults(run=_prune)


def _show(parsed: argparse.Namespace) -> int:
    number = 0
    for path in _store(parsed).entries():
        try:
            print(_line(path))
        except (OSError, ValueError, LookupError, TypeError):
            print(f"{path.relative_to(parsed.store)}: damaged; `decouple store verify` says how")
        number += 1
    print(f"{number} run(s)")
    return 0


def _line(path: Path) -> str:
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    identity = manifest["identity"]
    current = {True: "current", False: "old code", None: "unknown"}[_is_current(path)]
    return (
        f"{identity['document']} {identity['preset']} {identity['arm']} seed {identity['seed']}: "
        f"{manifest['status']}, {identity['device']}, {current}, {manifest['wall_seconds']} s, "
        f"made {manifest['made']}"
    )


def _verify(parsed: argparse.Namespace) -> int:
    store = _store(parsed)
    damaged = store.verify()
    for path, reason in damaged:
        print(f"damaged: {path.relative_to(parsed.store)}: {reason}")
    print(f"{sum(1 for _ in store.entries())} run(s), {len(damaged)} damaged")
    return 1 if damaged else 0


def _prune(parsed: argparse.Namespace) -> int:
    store = _store(parsed)
    damaged = {path for path, _ in store.verify()}
    doomed = [path for path in store.entries() if path in damaged or _is_current(path) is False]
    doomed += [path for path in [parsed.store / "damaged"] if path.is_dir()]
    doomed += sorted(parsed.store.glob("scratch/failed-*.txt"))
    for path in doomed:
        _remove(path, parsed)
    for scratch in sorted(path for path in parsed.store.glob("scratch/*") if path.is_dir()):
        try:
            # A checkpoint is in use as long as somebody holds the lock of its run.
            with FileLock(parsed.store / "locks" / f"{scratch.name}.lock", blocking=False):
                _remove(scratch, parsed)
        except Timeout:
            print(f"in use: {scratch.relative_to(parsed.store)}")
    if not parsed.yes:
        print("nothing removed; --yes removes")
    return 0


def _store(parsed: argparse.Namespace) -> Store:
    """The store, which must be there: one that is not holds no damage either."""
    if not parsed.store.is_dir():
        raise FileNotFoundError(f"there is no store {parsed.store}: nothing was run with it yet")
    return Store(parsed.store, read_only=True)


def _remove(path: Path, parsed: argparse.Namespace) -> None:
    print(f"{'removed' if parsed.yes else 'would remove'}: {path.relative_to(parsed.store)}")
    if parsed.yes and path.is_dir():
        shutil.rmtree(path)
    elif parsed.yes:
        path.unlink()


def _is_current(path: Path) -> bool | None:
    """Whether the run was made by the code as it is; None where its experiment is not known."""
    try:
        identity = json.loads((path / "manifest.json").read_text(encoding="utf-8"))["identity"]
        return bool(identity["code"] == code_fingerprint(locate(identity["document"]).name))
    except UnknownExperimentError:
        return None
    except (OSError, ValueError, LookupError, TypeError):
        return False
