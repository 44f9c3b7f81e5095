"""A judging session: options in, records out. Knows nothing of pytest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from decouple.claim.compare import DOUBTFUL, UNCOMFORTABLE, Outcome, compare_records
from decouple.claim.evidence import Run
from decouple.claim.experiment import Experiment
from decouple.claim.fingerprint import digest
from decouple.claim.judge import judge_published, judge_runs
from decouple.claim.ledger import read_ledger
from decouple.claim.published import load_tables
from decouple.claim.record import Provenance, Record, Setting, doubts, make_record
from decouple.claim.report import read_whole
from decouple.claim.runner import Group, Runner, UnrunError, as_run
from decouple.claim.spec import Claim, Tier, split_arm
from decouple.claim.store import Entry
from decouple.claim.verdict import Judgement, Verdict

FIRST_CALIBRATION_SEED = 1000
"""Seeds from here on size experiments and never judge."""

DEFAULT_SEEDS = 5
"""How many seeds judge a preset for which the experiment names no number."""


class Fate(StrEnum):
    """What a record means for the test run."""

    PASS = "pass"
    EXPECTED = "expected failure"
    WEAKENED = "weakened"
    SKIP = "skip"
    FAIL = "fail"


@dataclass
class JudgingSession:
    """Judges claims with one set of options."""

    runner: Runner
    fixtures: Path
    "holds published/<stem>/*.csv and ledger/<stem>.json"
    seeds: tuple[int, ...] | None = None
    "the replicates; None: as many as the experiment names for the preset"
    strict: bool = False
    "doubts fail, and so does a claim that was not judged"
    ledger: dict[tuple[str, ...], Record] = field(default_factory=dict)
    "what is compared with: the committed records, or those of a baseline"
    baseline: bool = False
    "which of the two it is"
    fail_on: frozenset[Outcome] = UNCOMFORTABLE
    "outcomes of that comparison that fail"
    notes: list[str] = field(default_factory=list)
    "what the store had to say since the last record"
    weighed: dict[str, str] = field(default_factory=dict)
    "folders of the runs that the last record rests on, with the sha256 of their tables"
    _runs: dict[Path, Run] = field(default_factory=dict, repr=False)

    @classmethod
    def with_ledger(
        cls,
        runner: Runner,
        fixtures: Path,
        *,
        seeds: tuple[int, ...] | None = None,
        strict: bool = False,
        use_ledger: bool = True,
        baseline: Path | None = None,
        fail_on: frozenset[Outcome] | None = None,
    ) -> JudgingSession:
        """A session that compares with the committed ledger, unless asked not to.

        Args:
            runner: provides the runs.
            fixtures: holds the published tables and the ledger.
            seeds: the replicates.
            strict: doubts fail.
            use_ledger: False lets the plain verdict decide.
            baseline: a JSON report to compare with in place of the ledger.
            fail_on: outcomes that fail; by default a flip either way from the ledger, and what is
                broken since the baseline.

        Raises:
            ReportError: if the baseline is no report: its absence is not a pass.
        """
        if baseline is not None:
            records = read_whole(baseline).records
            fail_on = frozenset({Outcome.BROKEN}) if fail_on is None else fail_on
        else:
            records = read_ledger(fixtures / "ledger") if use_ledger else []
        return cls(
            runner=runner,
            fixtures=fixtures,
            seeds=seeds,
            strict=strict,
            ledger={record.key: record for record in records},
            baseline=baseline is not None,
            fail_on=UNCOMFORTABLE if fail_on is None else fail_on,
        )

    def judge(self, claim: Claim, tier: Tier, command: str) -> Record:
        """Judge one claim on one tier."""
        self.weighed = {}
        if tier == "published":
            return self._judge_published(claim, command)
        return self._judge_runs(claim, tier, command)

    def decide(self, record: Record) -> tuple[Fate, str]:
        """What the record means for the test run, by what it is compared with or by itself."""
        verdict = Verdict(record.verdict)
        text = f"{verdict}: {record.reason}"
        before = self._before(record)
        comparison = None if before is None else compare_records(before, record)
        outcome = Outcome.NEW if comparison is None else comparison.outcome
        if verdict is not Verdict.UNRUN and self.strict and doubts(record):
            return Fate.FAIL, f"{text}; {'; '.join(doubts(record))}"
        if outcome in self.fail_on or verdict is Verdict.ERROR:
            return Fate.FAIL, f"{comparison or outcome}; {record.reason}"
        if verdict is Verdict.UNRUN:
            return (Fate.FAIL, f"not judged: {record.reason}") if self.strict else (Fate.SKIP, text)
        if comparison is None:
            return (Fate.PASS if verdict.holds else Fate.FAIL), text
        changed = f"{comparison}; {record.reason}"
        if comparison.redefined and not self.baseline:
            words = f"{comparison.redefined} since it was recorded: the record is of another claim"
            return Fate.FAIL, words
        if outcome is Outcome.HELD:
            return (Fate.PASS, text) if verdict.holds else (Fate.EXPECTED, f"as recorded, {text}")
        if outcome in DOUBTFUL and self.strict:
            return Fate.FAIL, changed
        return (Fate.PASS if verdict.holds and outcome not in DOUBTFUL else Fate.WEAKENED), changed

    def _before(self, record: Record) -> Record | None:
        """The record to compare with; of a baseline also one under another setting."""
        found = self.ledger.get(record.key)
        if found is not None or not self.baseline:
            return found
        others = [each for key, each in self.ledger.items() if key[:2] == record.key[:2]]
        return others[0] if len(others) == 1 else None

    def backlog(self, wanted: Iterable[tuple[Claim, Tier]]) -> list[Group]:
        """All groups of runs that these claims need, each once, in the order of first need."""
        groups: dict[Group, None] = {}
        for claim, tier in wanted:
            if tier == "published":
                continue
            try:
                preset = self.runner.preset(claim.stem, tier)
                for arm, seeds in self._needed(claim, preset):
                    for seed in seeds:
                        groups[self.runner.group(claim.stem, preset, arm, seed)] = None
            except Exception:  # whatever is wrong, judging this claim will say it
                continue
        return list(groups)

    def _needed(self, claim: Claim, preset: str) -> Iterable[tuple[str, Sequence[int]]]:
        blocks = self._seeds(claim, preset)
        for reference in claim.arms:
            yield split_arm(reference)[0], blocks[0]
        for control in claim.controls:
            for reference, block in zip(control.arms, control.seeds_of, strict=True):
                yield split_arm(reference)[0], blocks[block]

    def _seeds(self, claim: Claim, preset: str) -> list[tuple[int, ...]]:
        """The judging seeds, and a block of others for each that a control asks for.

        Blocks share no group: what is trained together is not independent of the group's size.
        """
        experiment = self.runner.experiment(claim.stem)
        arm = next(iter(experiment.module.ARMS))
        size = experiment.module.group_size(self.runner.config(claim.stem, preset, arm))
        seeds = self.seeds
        if seeds is None:
            seeds = tuple(range(experiment.module.SEEDS.get(preset, DEFAULT_SEEDS)))
        shift = (max(seeds) // size + 1) * size
        last = max((max(control.seeds_of) for control in claim.controls), default=0)
        return [tuple(seed + block * shift for seed in seeds) for block in range(last + 1)]

    @staticmethod
    def _own_data(module: Experiment, config: Any) -> bool:
        """Whether the run reads the document's own data."""
        return module.missing(config) is None and module.data_fingerprint(config) in module.OWN_DATA

    def _run(self, entry: Entry) -> Run:
        """The entry as predicates read it; claims share their runs."""
        if entry.path not in self._runs:
            self._runs[entry.path] = as_run(entry)
        return self._runs[entry.path]

    def _judge_published(self, claim: Claim, command: str) -> Record:
        try:
            tables = load_tables(
                self.fixtures / "published" / claim.stem, claim.source.tables, claim.arms
            )
            judgement = judge_published(claim, tables)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            judgement = Judgement(verdict=Verdict.ERROR, reason=reason)
        return make_record(
            claim,
            "published",
            judgement,
            setting=Setting(preset="document"),
            provenance=Provenance(),
            command=command,
        )

    def _judge_runs(self, claim: Claim, tier: Tier, command: str) -> Record:
        entries: dict[tuple[str, int], Entry] = {}
        preset, setting = "", Setting()
        seeds: tuple[int, ...] = ()
        calibration: tuple[int, ...] = ()

        def fetch(arm: str, wanted: Sequence[int]) -> dict[int, Run]:
            found = self.runner.fetch(claim.stem, preset, arm, wanted)
            entries.update({(arm, seed): entry for seed, entry in found.items()})
            self.weighed |= {str(e.path): e.manifest["sha256"] for e in found.values()}
            return {seed: self._run(entry) for seed, entry in found.items()}

        try:
            preset = self.runner.preset(claim.stem, tier)
            module = self.runner.experiment(claim.stem).module
            config = self.runner.config(claim.stem, preset, split_arm(claim.arms[0])[0])
            setting = Setting(preset=preset, **module.describe(config))
            if claim.kind == "figure" and not self._own_data(module, config):
                raise UnrunError("a figure of the document's own data, which are not at hand")
            seeds, *others = self._seeds(claim, preset)
            following = [seed for block in others for seed in block]
            if max([*seeds, *following]) >= FIRST_CALIBRATION_SEED:
                raise ValueError(f"judging seeds must be below {FIRST_CALIBRATION_SEED}")
            calibration = tuple(module.CALIBRATION_SEEDS.get(preset, ()))
            judgement = judge_runs(
                claim, tier, fetch, seeds=seeds, next_seeds=following, calibration=calibration
            )
        except UnrunError as error:
            judgement = Judgement(verdict=Verdict.UNRUN, reason=str(error))
        except Exception as error:  # an experiment is anybody's code: a claim does not go missing
            reason = f"{type(error).__name__}: {error}"
            judgement = Judgement(verdict=Verdict.ERROR, reason=reason)
        notes = tuple(self.notes)
        self.notes.clear()  # the store goes on writing to this very list
        return make_record(
            claim,
            tier,
            judgement,
            setting=setting,
            provenance=_provenance(list(entries.values()), seeds, calibration, notes),
            command=command,
        )


def _provenance(
    entries: Sequence[Entry],
    seeds: tuple[int, ...],
    calibration: tuple[int, ...],
    notes: tuple[str, ...],
) -> Provenance:
    identities = [entry.manifest["identity"] for entry in entries]
    labels = list(notes)
    if any(entry.manifest.get("reference") for entry in entries):
        labels.append("reference evidence, not run here")
    if any(entry.manifest.get("stale") for entry in entries):
        labels.append("stale: made by other code than this")
    makers = {
        digest([identity["code"], identity["device"], identity["libraries"]])
        for identity in identities
    }
    if len(makers) > 1:
        labels.append("mixed: made by different code, devices or libraries")
    return Provenance(
        seeds=seeds,
        calibration=calibration,
        device=", ".join(sorted({identity["device"] for identity in identities})),
        code=", ".join(sorted({identity["code"] for identity in identities})),
        libraries=identities[0]["libraries"] if identities else {},
        labels=tuple(labels),
    )
