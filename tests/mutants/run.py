"""Break the code on purpose, one way at a time, and watch for red: `make mutants`.

Each mutant is applied to a copy of the tree; the tests or claims it names must then fail. First
they must all pass on an unbroken copy, else "caught" would mean nothing. Lists survivors and exits
1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from catalogue import MUTANTS
from mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
REPORT = "reports/claims.json"
TURNED = {"REFUTED", "VACUOUS", "INCONCLUSIVE"}
"""Verdicts that a claim of record as SUPPORTED must not have; ERROR would only be a crash."""

RED = ("FAILED", "ERROR")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant."""

    mutant: Mutant
    caught: bool
    words: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all mutants, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these only (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="copies worked on at a time")
    parser.add_argument("--list", action="store_true", help="list the mutants and stop")
    parsed = parser.parse_args(arguments)
    unknown = set(parsed.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"no mutant {', '.join(sorted(unknown))}; --list shows those there are")
    chosen = [m for m in MUTANTS if not parsed.names or m.name in parsed.names]
    if parsed.list:
        for mutant in chosen:
            print(f"{mutant.name:36} {mutant.file}: {mutant.why}")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        if not _baseline(chosen, Path(scratch) / "unbroken"):
            print("the unbroken copy fails: no mutant can be judged")
            return 1
        with ThreadPoolExecutor(parsed.jobs) as pool:
            outcomes = []
            for outcome in pool.map(lambda m: _try(m, Path(scratch) / m.name), chosen):
                outcomes.append(outcome)
                mark = "caught  " if outcome.caught else "SURVIVED"
                seconds = f"{outcome.seconds:5.1f} s"
                print(f"{mark} {seconds} {outcome.mutant.name}: {outcome.words}", flush=True)
    survivors = [outcome.mutant.name for outcome in outcomes if not outcome.caught]
    by_verdict = sum(outcome.mutant.by_verdict for outcome in outcomes if outcome.caught)
    print(f"{len(outcomes)} mutants, {by_verdict} caught by a verdict, survivors: {survivors or 0}")
    return 1 if survivors else 0


def _baseline(mutants: Sequence[Mutant], copy: Path) -> bool:
    """Whether all that the mutants name passes while nothing is broken."""
    _copy_tree(copy)
    tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.caught_by))
    result = _pytest(copy, tests)
    if result.returncode != 0:
        print(result.stdout[-4000:])
    return result.returncode == 0


def _try(mutant: Mutant, copy: Path) -> Outcome:
    started = time.monotonic()
    _copy_tree(copy)
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.before) != 1:
        words = f"{mutant.file} holds the text to break {source.count(mutant.before)} times, not 1"
        return Outcome(mutant, caught=False, words=words, seconds=time.monotonic() - started)
    path.write_text(source.replace(mutant.before, mutant.after), encoding="utf-8")
    result = _pytest(copy, mutant.caught_by)
    # Exit status 1 is "tests failed". Anything else (usage, no tests) has caught nothing.
    caught, words = result.returncode == 1, f"exit status {result.returncode}"
    if caught and mutant.by_verdict:
        caught, words = _verdicts(copy, mutant)
    elif caught:
        words = next(line for line in result.stdout.splitlines() if line.startswith(RED))
    shutil.rmtree(copy)
    return Outcome(mutant, caught=caught, words=words, seconds=time.monotonic() - started)


def _verdicts(copy: Path, mutant: Mutant) -> tuple[bool, str]:
    """Whether each claim named was judged and came out otherwise; a crash is no verdict."""
    records = json.loads((copy / REPORT).read_text(encoding="utf-8"))["records"]
    verdicts = [record["verdict"] for record in records]
    caught = len(records) == len(mutant.caught_by) and set(verdicts) <= TURNED
    return caught, ", ".join(f"{r['claim'].partition('/')[2]} {r['verdict']}" for r in records)


def _copy_tree(copy: Path) -> None:
    """What git tracks or would track, as it lies in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _pytest(copy: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # The copy comes first on the path, before the installed (editable) project.
    environment = os.environ | {"PYTHONPATH": str(copy), "CI": "true", "MUTANT": "true"}
    options = ["-q", "-ra", "--decouple-strict", "-p", "no:cacheprovider", "--benchmark-disable"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    raise SystemExit(main())
