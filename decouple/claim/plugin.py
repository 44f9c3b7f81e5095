"""The pytest plugin: collects claims, judges them, maps verdicts to outcomes. Never imports torch.

A claim in `claims/test_<stem>.py` becomes one item for each tier that can speak to it, named
`test_<name>[published]`, `[smoke]`, `[gpu]` and marked with the tier.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import time
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from decouple.claim.compare import Outcome
from decouple.claim.experiment import DEFAULT_PACKAGES, Progress
from decouple.claim.progress import progress_bar
from decouple.claim.record import Record
from decouple.claim.report import summary_lines, write_report
from decouple.claim.runner import Group, Runner, Settings
from decouple.claim.session import Fate, JudgingSession
from decouple.claim.spec import TIERS, Claim, Tier
from decouple.claim.store import Store
from decouple.claim.trace import Trace, describe_predicate
from decouple.claim.verdict import Verdict

TIER_HELP = {
    "published": "a claim judged by the document's own tables",
    "smoke": "a claim judged on small runs, on a CPU",
    "gpu": "a claim judged at the published scale, on a GPU",
}
SESSION = pytest.StashKey[JudgingSession]()
RECORDS = pytest.StashKey[dict[str, tuple[Record, str]]]()
STARTED = pytest.StashKey[float]()
COLLECTOR = "decouple-collector"


class ClaimFailedError(Exception):
    """A claim whose verdict is not the one of record, or that does not hold and has no record."""


class Hooks:
    """Hooks that this plugin offers to others."""

    def pytest_decouple_report(self, path: Path) -> None:
        """Called when the JSON report of a session has been written."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Announce the hooks of `Hooks`."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, all under one prefix."""
    group = parser.getgroup("decouple", "claims about published findings")
    add = group.addoption
    add("--decouple-seeds", metavar="N|LIST", help="how many seeds, or which (0,1,4)")
    add(
        "--decouple-preset",
        metavar="TIER=NAME",
        action="append",
        default=[],
        help="judge a tier on another preset, such as gpu=short",
    )
    add("--decouple-corpus", metavar="FILE", help="a UTF-8 text instead of the generated one")
    add("--decouple-tokenizer", metavar="DIR", help="folder with the GPT-2 tokenizer's files")
    add(
        "--decouple-base",
        metavar="MODEL",
        help="base model: stand-in:NAME, a folder with a checkpoint, or a hub id",
    )
    add("--decouple-store", metavar="DIR", help="where runs are kept (reports/store)")
    add(
        "--decouple-reference",
        metavar="DIR",
        action="append",
        default=[],
        help="a store of evidence made elsewhere, judged where there is no run from here",
    )
    add("--decouple-read-only", action="store_true", help="judge what is stored, run nothing")
    add(
        "--decouple-strict",
        action="store_true",
        help="a weakened claim fails, and so does a selected claim that was not judged",
    )
    add("--decouple-no-ledger", action="store_true", help="the plain verdict decides")
    add(
        "--decouple-baseline",
        metavar="FILE",
        help="compare with this JSON report of an earlier run in place of the ledger",
    )
    add(
        "--decouple-fail-on",
        metavar="OUTCOMES",
        help=f"what fails, comma-separated, of: {', '.join(o for o in Outcome if o != 'gone')} "
        "(broken, and repaired too when it is the ledger that is compared with)",
    )
    add("--decouple-report", metavar="DIR", default="reports", help="where the report goes")
    parser.addini("decouple_experiments", "packages with experiments", "args", DEFAULT_PACKAGES)
    parser.addini("decouple_fixtures", "published tables and ledger", default="fixtures")


def pytest_configure(config: pytest.Config) -> None:
    """Register the tiers as markers and read the options."""
    for tier, text in TIER_HELP.items():
        config.addinivalue_line("markers", f"{tier}: {text}")
    config.stash[RECORDS] = {}
    config.stash[STARTED] = time.monotonic()
    config.stash[SESSION] = _session(config)


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> list[ClaimItem] | None:
    """One item for each tier of a claim."""
    if not isinstance(obj, Claim):
        return None
    return [ClaimItem.of(collector, name, obj, tier) for tier in obj.tiers]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse what would keep a verdict from being seen: a second claim of one id, and marks.

    The second claim would overwrite the first in every report. A skip or xfail mark would turn any
    verdict green; the ledger is where an expected refutation is recorded.
    """
    seen: dict[tuple[str, str], str] = {}
    for item in items:
        if not isinstance(item, ClaimItem):
            continue
        first = seen.setdefault((item.claim.id, item.tier), item.nodeid)
        if first != item.nodeid:
            raise pytest.UsageError(
                f"claim id must be unique, got {item.claim.id!r} at {first} and {item.nodeid}"
            )
        for mark in ("skip", "skipif", "xfail"):
            if item.get_closest_marker(mark) is not None:
                raise pytest.UsageError(
                    f"a claim takes no mark {mark!r}: {item.nodeid}; the ledger records refutations"
                )
    session = config.stash[SESSION]
    if session.baseline and seen and not seen.keys() & {key[:2] for key in session.ledger}:
        raise pytest.UsageError(
            "--decouple-baseline must hold a claim of those collected, it holds none"
        )


class ClaimItem(pytest.Item):
    """One claim on one tier."""

    def __init__(self, *, claim: Claim, tier: Tier, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.claim = claim
        self.tier = tier
        self.record: Record | None = None
        self.add_marker(tier)
        self.extra_keyword_matches.update({claim.id, claim.name, claim.stem})

    @classmethod
    def of(cls, parent: pytest.Collector, name: str, claim: Claim, tier: Tier) -> ClaimItem:
        """The item of a claim found in a module."""
        # pytest >= 9.2 finds the parameter in a node id only if it gets the id as a whole.
        name = f"{name}[{tier}]"
        item: ClaimItem = cls.from_parent(
            parent, name=name, nodeid=f"{parent.nodeid}::{name}", claim=claim, tier=tier
        )
        return item

    def runtest(self) -> None:
        """Judge, then pass, skip, fail as expected or fail."""
        session = self.config.stash[SESSION]
        if not session.runner.backlog:
            # Each worker knows the whole plan, so that none waits idly for another.
            items = [item for item in self.session.items if isinstance(item, ClaimItem)]
            session.runner.backlog = session.backlog((item.claim, item.tier) for item in items)
        self.record = session.judge(self.claim, self.tier, self._command())
        self.user_properties += [
            ("claim", self.claim.id),
            ("tier", self.tier),
            ("verdict", self.record.verdict),
            ("reason", self.record.reason),
        ]
        fate, text = session.decide(self.record)
        if fate is Fate.PASS:
            return
        if fate is Fate.SKIP:
            pytest.skip(text)
        if fate in (Fate.EXPECTED, Fate.WEAKENED):
            pytest.xfail(text)
        raise ClaimFailedError(text)  # reached under --runxfail too, where xfail() does nothing

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A verdict needs no traceback."""
        if not isinstance(excinfo.value, ClaimFailedError) or self.record is None:
            return super().repr_failure(excinfo, style)
        return "\n".join(_explanation(self.record, str(excinfo.value)))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the predicate stands."""
        line = self.claim.predicate.__code__.co_firstlineno - 1
        return self.path, line, f"{self.claim.id}[{self.tier}]"

    def _command(self) -> str:
        option = self.config.option
        words = ["pytest", self.nodeid]
        for name in ("seeds", "corpus", "tokenizer", "base"):
            value = getattr(option, f"decouple_{name}")
            words += [f"--decouple-{name}={value}"] if value else []
        words += [f"--decouple-preset={value}" for value in option.decouple_preset]
        words += [f"--decouple-reference={value}" for value in option.decouple_reference]
        return shlex.join(words)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send the record along with the report: workers of xdist judge, the controller reports."""
    report = yield
    if isinstance(item, ClaimItem):
        vars(report)["of_claim"] = True
    if isinstance(item, ClaimItem) and call.when == "call" and item.record is not None:
        session = item.config.stash[SESSION]
        # Extra attributes of a report survive the way from an xdist worker to its controller.
        vars(report).update(
            claim_record=json.dumps(item.record.as_dict()),
            claim_fate=str(session.decide(item.record)[0]),
            claim_runs=session.weighed,
            claim_predicate=describe_predicate(item.claim, item.nodeid.partition("::")[0]),
        )
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """A weakened claim is its own category: neither passed nor failed as expected."""
    if report.skipped and getattr(report, "claim_fate", "") == Fate.WEAKENED:
        return "weakened", "w", "WEAKENED"
    return None


class _Collector:
    """Keeps the records of the session, in the process that reports."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.met_claims = False
        self.trace = Trace(fixtures=config.rootpath / config.getini("decouple_fixtures"))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._problem(f"{report.nodeid or 'claims'} could not be collected")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.met_claims |= getattr(report, "of_claim", False)
        text = getattr(report, "claim_record", None)
        # Of a process that died xdist only says which item it was at.
        died = str(report.when) == "???"
        if report.failed and text is None and (died or getattr(report, "of_claim", False)):
            self._problem(f"{report.nodeid} ended without a verdict")
        if text is not None:
            record = Record.from_dict(json.loads(text))
            fate = str(getattr(report, "claim_fate", ""))
            self.config.stash[RECORDS][report.nodeid] = (record, fate)
            self.trace.runs |= vars(report)["claim_runs"]
            self.trace.predicates[record.claim] = vars(report)["claim_predicate"]

    def _problem(self, text: str) -> None:
        if text not in self.trace.problems:  # each worker collects
            self.trace.problems.append(text)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to keep records."""
    session.config.pluginmanager.register(_Collector(session.config), COLLECTOR)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the report, and do not call a session green in which nothing was judged."""
    config = session.config
    records = [record for record, _ in config.stash[RECORDS].values()]
    collector = config.pluginmanager.get_plugin(COLLECTOR)
    if hasattr(config, "workerinput") or collector is None or not collector.met_claims:
        return
    if records and config.option.decouple_report:
        folder = config.rootpath / config.option.decouple_report
        path = write_report(
            folder,
            records,
            root=config.rootpath,
            wall_seconds=time.monotonic() - config.stash[STARTED],
            arguments=[str(argument) for argument in config.invocation_params.args],
            trace=collector.trace,
        )
        config.hook.pytest_decouple_report(path=path)
    judged = [record for record in records if Verdict(record.verdict).judged]
    if not judged and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One section: what does not hold, counts, where the report is."""
    records = config.stash[RECORDS]
    if not records:
        return
    terminalreporter.section("claims")
    for line in summary_lines(list(records.values())):
        terminalreporter.write_line(line)
    if config.option.decouple_report:
        terminalreporter.write_line(f"report: {config.option.decouple_report}/claims.html")


def _session(config: pytest.Config) -> JudgingSession:
    option = config.option
    root = config.rootpath
    notes: list[str] = []
    store = Store(
        root / (option.decouple_store or "reports/store"),
        read_only=option.decouple_read_only,
        warn=notes.append,
    )
    settings = Settings(
        packages=tuple(config.getini("decouple_experiments")),
        corpus=_existing("corpus", option.decouple_corpus, config),
        tokenizer=_existing("tokenizer", option.decouple_tokenizer, config),
        base=option.decouple_base,
        presets=_presets(option.decouple_preset),
        read_only=option.decouple_read_only,
    )
    runner = Runner(
        store,
        settings,
        references=[
            Path(folder)
            for each in option.decouple_reference
            if (folder := _existing("reference", each, config))
        ],
        # All workers of one xdist session share its id.
        session=os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex,
        progress=lambda group: _progress(config, group),
    )
    try:
        session = JudgingSession.with_ledger(
            runner,
            root / config.getini("decouple_fixtures"),
            seeds=_seeds(option.decouple_seeds),
            strict=option.decouple_strict,
            use_ledger=not option.decouple_no_ledger,
            baseline=_baseline(config),
            fail_on=_outcomes(option.decouple_fail_on),
        )
    except ValueError as error:
        raise pytest.UsageError(f"ledger or baseline: {error}") from error
    session.notes = notes
    return session


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    seeds = tuple(range(numbers[0])) if len(numbers) == 1 and "," not in text else tuple(numbers)
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise pytest.UsageError(
            "--decouple-seeds must be a number of seeds such as 5, or a list of different seeds "
            f"such as 0,1,4 (one seed: '3,'), got {text!r}"
        )
    return seeds


def _presets(pairs: list[str]) -> dict[str, str]:
    presets: dict[str, str] = {}
    for pair in pairs:
        tier, _, name = pair.partition("=")
        if tier not in TIERS[1:] or not name:
            raise pytest.UsageError(
                f"--decouple-preset must read TIER=NAME with a tier of {', '.join(TIERS[1:])}, "
                f"got {pair!r}"
            )
        presets[tier] = name
    return presets


def _existing(option: str, path: str | None, config: pytest.Config) -> str | None:
    if path is None:
        return None
    full = config.invocation_params.dir / path
    if not path or not full.exists():
        raise pytest.UsageError(
            f"--decouple-{option} must name an existing file or folder, got {path!r}"
        )
    return str(full)


def _baseline(config: pytest.Config) -> Path | None:
    baseline = config.option.decouple_baseline
    if baseline is None:
        return None
    if config.option.decouple_no_ledger:
        raise pytest.UsageError("--decouple-baseline cannot be combined with --decouple-no-ledger")
    return Path(config.invocation_params.dir, baseline)


def _outcomes(text: str | None) -> frozenset[Outcome] | None:
    if text is None:
        return None
    try:
        outcomes = frozenset(Outcome(word.strip()) for word in text.split(","))
    except ValueError as error:
        known = ", ".join(Outcome)
        raise pytest.UsageError(
            f"--decouple-fail-on must name outcomes of {known}: {error}"
        ) from None
    if Outcome.GONE in outcomes:
        raise pytest.UsageError(
            "--decouple-fail-on cannot tell what is gone from what was not selected: "
            "compare reports with `decouple compare`"
        )
    return outcomes


def _progress(config: pytest.Config, group: Group) -> Progress | None:
    capture = config.pluginmanager.getplugin("capturemanager")
    uncaptured = capture.global_and_fixture_disabled if capture else contextlib.nullcontext
    with uncaptured():  # while pytest captures, standard error is never a terminal
        quiet = bool(os.environ.get("CI")) or not sys.stderr.isatty()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return None if quiet else progress_bar(str(group), uncaptured, int(worker[2:]))


def _explanation(record: Record, text: str) -> Iterator[str]:
    yield record.statement
    yield text
    yield f"band:     {record.band['words']} ({record.band['because']})"
    if record.values:
        yield "seeds:    " + ", ".join(f"{s}: {v:.4g}" for s, v in record.values.items())
    for control in record.controls:
        yield f"control:  {control['arms']}: {control['verdict']}, {control['sentence']}"
    for label in record.provenance.labels:
        yield f"note:     {label}"
    yield f"again:    {record.command}"
