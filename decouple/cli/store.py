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


def add_store(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser("store", help="show, verify or prune stored runs")
    command.add_argument("--store", type=Path, default=Path("reports/store"))
    actions = command.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("show", help="one line for each run").set_defaults(run=_show)
    actions.add_parser("verify", help="check every file").set_defaults(run=_verify)
    prune = actions.add_parser(
        "prune", help="remove runs of code that is no longer there, damaged entries and scratch"
    )
    prune.add_argument("--yes", action="store_true", help="remove, do not only list")
    prune.set_defaults(run=_prune)


def _show(parsed: argparse.Namespace) -> int:
    number = 0
    for path in Store(parsed.store, read_only=True).entries():
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        identity = manifest["identity"]
        current = {True: "current", False: "old code", None: "unknown"}[_is_current(path)]
        print(
            f"{identity['document']} {identity['preset']} {identity['arm']} seed "
            f"{identity['seed']}: {manifest['status']}, {identity['device']}, {current}, "
            f"{manifest['wall_seconds']} s, made {manifest['made']}"
        )
        number += 1
    print(f"{number} run(s)")
    return 0


def _verify(parsed: argparse.Namespace) -> int:
    store = Store(parsed.store, read_only=True)
    damaged = store.verify()
    for path, reason in damaged:
        print(f"damaged: {path.relative_to(parsed.store)}: {reason}")
    print(f"{sum(1 for _ in store.entries())} run(s), {len(damaged)} damaged")
    return 1 if damaged else 0


def _prune(parsed: argparse.Namespace) -> int:
    store = Store(parsed.store)
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
    except (OSError, ValueError, KeyError):
        return False
