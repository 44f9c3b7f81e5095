"""Getting the runs that claims need: stored, from committed reference evidence, or trained now.

Processes share the work through lock files. A process that needs runs another one is training does
not wait idly: it takes the next group of seeds from the backlog of all that the selected claims
need. No group is trained twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from decouple.claim.device import device_class, machine
from decouple.claim.evidence import Run, check_complete
from decouple.claim.experiment import DEFAULT_PACKAGES, Located, Progress, locate
from decouple.claim.fingerprint import (
    code_fingerprint,
    digest,
    library_versions,
    read_fingerprint,
)
from decouple.claim.store import DamagedEntryError, Entry, Identity, Store, read_entry

FINISHED = "finished"
"""Status of a run that reached its end; every other status says how it did not."""

POLL_SECONDS = 0.1
"""How often a process looks whether another one has finished the run it waits for."""


class UnrunError(RuntimeError):
    """The evidence is not there and cannot be made here; says what would be needed."""


class RunFailedError(RuntimeError):
    """An experiment raised, or its run diverged; says which run and how."""


@dataclass(frozen=True, slots=True)
class Group:
    """Seeds of one arm that are trained together: the unit of work."""

    stem: str
    preset: str
    arm: str
    seeds: tuple[int, ...]

    def __str__(self) -> str:
        seeds = f"{self.seeds[0]}-{self.seeds[-1]}" if len(self.seeds) > 1 else f"{self.seeds[0]}"
        return f"{self.stem} {self.preset} {self.arm} seeds {seeds}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the person who runs the claims chose."""

    packages: tuple[str, ...] = DEFAULT_PACKAGES
    "where experiments are looked for"
    corpus: str | None = None
    "a text file instead of the preset's own corpus"
    tokenizer: str | None = None
    "a folder with a tokenizer's files"
    base: str | None = None
    "a base model: `stand-in:NAME`, a folder, or a hub id"
    presets: dict[str, str] = field(default_factory=dict)
    "tier to a preset other than the one that fills it"
    read_only: bool = False
    "judge what is there, train nothing"


class Runner:
    """Finds or makes runs.

    Args:
        store: where runs are kept.
        settings: what the person chose.
        references: stores of evidence from elsewhere, consulted when the store has no such run.
        session: what processes share that do not repeat each other's failed runs; by default a
            name of this runner's own.
        progress: makes the callback that shows a group's progress.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        references: Sequence[Path] = (),
        session: str = "",
        progress: Callable[[Group], Progress | None] | None = None,
    ) -> None:
        self.store = store
        self.settings = settings
        self.backlog: list[Group] = []
        self._references = references
        self._session = session or uuid.uuid4().hex
        self._progress = progress or (lambda _: None)
        self._entries: dict[str, Entry] = {}
        self._located: dict[str, Located] = {}
        self._identities: dict[tuple[str, str, str, int], Identity] = {}
        self._reference_index: dict[str, list[Path]] | None = None

    def experiment(self, stem: str) -> Located:
        """The experiment of a document."""
        if stem not in self._located:
            # Before the first of its modules is imported: what they are is what is fingerprinted.
            for package in self.settings.packages:
                with contextlib.suppress(ModuleNotFoundError):
                    code_fingerprint(f"{package}.{stem}")
            self._located[stem] = locate(stem, self.settings.packages)
        return self._located[stem]

    def preset(self, stem: str, tier: str) -> str:
        """The preset that this session judges a tier on."""
        return self.experiment(stem).preset(tier, self.settings.presets.get(tier))

    def config(self, stem: str, preset: str, arm: str) -> Any:
        """The configuration of one arm, on the corpus that was chosen."""
        chosen = self.settings
        return self.experiment(stem).configure(
            preset, arm, corpus=chosen.corpus, tokenizer=chosen.tokenizer, base=chosen.base
        )

    def group(self, stem: str, preset: str, arm: str, seed: int) -> Group:
        """The group of seeds that this one is trained with."""
        size = self.experiment(stem).module.group_size(self.config(stem, preset, arm))
        first = seed // size * size
        return Group(stem, preset, arm, tuple(range(first, first + size)))

    def identity(self, group: Group, seed: int) -> Identity:
        """The identity of one run as it would be made here and now.

        Raises:
            UnrunError: if the run needs a device, weights or files that are not here.
        """
        cached = self._identities.get((group.stem, group.preset, group.arm, seed))
        if cached is not None:
            return cached
        experiment = self.experiment(group.stem)
        config = self.config(group.stem, group.preset, group.arm)
        device = device_class(experiment.module.device(config))
        if device is None:
            raise UnrunError(f"preset {group.preset!r} needs a CUDA GPU, and there is none here")
        missing = experiment.module.missing(config)
        if missing is not None:
            raise UnrunError(missing)
        identity = Identity(
            document=group.stem,
            preset=group.preset,
            arm=group.arm,
            seed=seed,
            group=group.seeds,
            config=_plain(config),
            code=code_fingerprint(experiment.name),
            data=experiment.module.data_fingerprint(config),
            device=device,
            libraries=library_versions(tuple(experiment.module.LIBRARIES)),
        )
        self._identities[group.stem, group.preset, group.arm, seed] = identity
        return identity

    def fetch(self, stem: str, preset: str, arm: str, seeds: Iterable[int]) -> dict[int, Entry]:
        """The evidence of an arm for the seeds, trained now where it is not stored.

        Raises:
            UnrunError: if a run is not stored and cannot be made here.
            RunFailedError: if the experiment raised.
        """
        wanted = {seed: self.group(stem, preset, arm, seed) for seed in seeds}
        found: dict[int, Entry] = {}
        while True:
            missing: list[Group] = []
            for seed, group in wanted.items():
                entry = found.get(seed) or self._look_up(group, seed)
                if entry is not None:
                    found[seed] = entry
                elif group not in missing:
                    missing.append(group)
            if not missing:
                return found
            self._make_one(missing)

    def _look_up(self, group: Group, seed: int) -> Entry | None:
        try:
            identity = self.identity(group, seed)
        except UnrunError:
            # It cannot be made here: evidence made elsewhere may still be judged.
            entry = self._reference(group, seed)
            if entry is None:
                raise
            return entry
        if identity.key not in self._entries:
            entry = self.store.read(identity)
            if entry is None and self._read_only:
                # Only where it cannot be made here: else old evidence would hide new code.
                entry = self._reference(group, seed)
            if entry is None:
                return None
            self._check_complete(group, entry)
            self._entries[identity.key] = entry
        return self._entries[identity.key]

    @property
    def _read_only(self) -> bool:
        return self.settings.read_only or self.store.read_only

    def _check_complete(self, group: Group, entry: Entry) -> None:
        if entry.manifest["status"] != FINISHED:
            return  # judged by its status, never by its numbers
        config = self.config(group.stem, group.preset, group.arm)
        check_complete(entry.table, self.experiment(group.stem).module.expected_cells(config))

    def _make_one(self, missing: Sequence[Group]) -> None:
        """Train one of the missing groups, or one of the backlog, or wait a moment."""
        if self._read_only:
            raise UnrunError(f"not in the store, which is read-only: {missing[0]}")
        for group in missing:
            self._raise_recorded_failure(group)
            if self._train(group):
                return
        for group in self.backlog:
            try:
                if not self._stored(group) and self._train(group):
                    return
            except Exception:  # the claim that needs this group will say so
                continue
        time.sleep(POLL_SECONDS)

    def _stored(self, group: Group) -> bool:
        try:
            return all(self.store.has(self.identity(group, seed)) for seed in group.seeds)
        except UnrunError:
            return True  # cannot be made here; nothing to do

    def _train(self, group: Group) -> bool:
        """Train a group unless another process is at it; returns whether it was trained here."""
        identities = {seed: self.identity(group, seed) for seed in group.seeds}
        key = digest([identities[seed].key for seed in group.seeds])
        lock_file = self.store.root / "locks" / f"{key}.lock"
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock_file, blocking=False):
                if not self._stored(group):  # another process may have finished in between
                    self._train_locked(group, identities, key)
                return True
        except Timeout:
            return False

    def _train_locked(self, group: Group, identities: dict[int, Identity], key: str) -> None:
        self._raise_recorded_failure(group)
        experiment = self.experiment(group.stem)
        config = self.config(group.stem, group.preset, group.arm)
        scratch = self.store.root / "scratch" / key
        scratch.mkdir(parents=True, exist_ok=True)
        shared = self.store.root / "shared" / group.stem
        shared.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        try:
            _check_code(experiment, identities)
            with warnings.catch_warnings():
                # Under pytest they may be errors: that a library warns on some device says nothing
                # about a claim, and must not end hours of training.
                warnings.simplefilter("default")
                table, status = experiment.module.run(
                    config,
                    group.seeds,
                    arm=group.arm,
                    scratch=scratch,
                    shared=shared,
                    progress=self._progress(group),
                )
            wall = time.monotonic() - started
            _check_code(experiment, identities)
            rows = {seed: table[table["seed"] == seed] for seed in group.seeds}
            for seed in group.seeds:  # all of them before the first is stored
                if status.get(seed, FINISHED) == FINISHED:
                    check_complete(rows[seed], experiment.module.expected_cells(config))
            for seed, identity in identities.items():
                provenance = {
                    "status": status.get(seed, FINISHED),
                    "described": experiment.module.describe(config),
                    "machine": machine(),
                    "wall_seconds": round(wall / len(group.seeds), 3),
                    "made": datetime.now(UTC).isoformat(timespec="seconds"),
                }
                self.store.write(identity, rows[seed], provenance)
        except Exception as error:
            reason = f"{group}: {type(error).__name__}: {error}"
            self._record_failure(group, reason)
            raise RunFailedError(reason) from error
        shutil.rmtree(scratch, ignore_errors=True)

    def _failure_file(self, group: Group) -> Path:
        return self.store.root / "scratch" / f"failed-{digest([self._session, str(group)])}.txt"

    def _record_failure(self, group: Group, reason: str) -> None:
        # One try a session: a run that is repeated until it passes proves nothing.
        self._failure_file(group).write_text(reason, encoding="utf-8")

    def _raise_recorded_failure(self, group: Group) -> None:
        file = self._failure_file(group)
        if file.exists():
            raise RunFailedError(file.read_text(encoding="utf-8"))

    def _reference(self, group: Group, seed: int) -> Entry | None:
        if self._reference_index is None:
            self._reference_index = _index(self._references)
        if not self._reference_index:
            return None
        experiment = self.experiment(group.stem)
        config = self.config(group.stem, group.preset, group.arm)
        absent = experiment.module.missing(config) is not None
        sought = Identity(
            document=group.stem,
            preset=group.preset,
            arm=group.arm,
            seed=seed,
            group=group.seeds,
            config=_plain(config),
            code="",
            # The digest of what is not here is not known: the configuration has to do.
            data="" if absent else experiment.module.data_fingerprint(config),
            device="",
            libraries={},
        )
        if sought.key in self._entries:
            return self._entries[sought.key]
        wanted = sought.setup_key if absent else sought.experiment_key
        entries = [read_entry(path) for path in self._reference_index.get(wanted, ())]
        if not entries:
            return None
        current = code_fingerprint(experiment.name)
        for entry in entries:
            entry.manifest["reference"] = True
            entry.manifest["stale"] = entry.manifest["identity"]["code"] != current
        # Of several, one made by the code as it is; else the newest.
        best = max(entries, key=lambda e: (not e.manifest["stale"], str(e.manifest.get("made"))))
        self._check_complete(group, best)
        self._entries[sought.key] = best
        return best


class CodeChangedError(RuntimeError):
    """The sources are no longer those that this process began with."""


def _check_code(experiment: Located, identities: dict[int, Identity]) -> None:
    """Evidence must not be stored under code that did not make it.

    Raises:
        CodeChangedError: if the sources of an experiment are not those of the identities.
    """
    try:
        now = read_fingerprint(experiment.name)
    except (ImportError, OSError, SyntaxError, ValueError):
        now = "none: a file is gone, or was saved half-way"
    if any(identity.code != now for identity in identities.values()):
        raise CodeChangedError(
            f"the code of {experiment.name} changed while this process ran, so that its numbers "
            "would stand under code that did not make them: nothing is stored, run it again"
        )


def as_run(entry: Entry) -> Run:
    """The entry as predicates read it.

    Raises:
        RunFailedError: if the run did not finish: its last cycle is not the last cycle.
    """
    identity, status = entry.manifest["identity"], entry.manifest["status"]
    label = f"arm {identity['arm']}, seed {identity['seed']}"
    if status != FINISHED:
        raise RunFailedError(f"{label} {status}")
    return Run(entry.table, label=label)


def _index(references: Iterable[Path]) -> dict[str, list[Path]]:
    index: dict[str, list[Path]] = {}
    for root in references:
        for path in Store(root, read_only=True).entries():
            try:
                identity = json.loads((path / "manifest.json").read_text())["identity"]
                found = Identity(**identity)
                for key in (found.experiment_key, found.setup_key):
                    index.setdefault(key, []).append(path)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DamagedEntryError(f"reference {path.name}: {error}") from error
    return index


def _plain(config: Any) -> dict[str, Any]:
    """A configuration dataclass as JSON types, nested ones included.

    Of a path only the name is kept: what the file holds is fingerprinted with the data, and where
    it lies on this machine is nobody's business.
    """
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return _without_folders(plain)


def _without_folders(plain: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_folders(value)
        if isinstance(value, dict)
        else Path(value).name
        if name == "path" and isinstance(value, str)
        else value
        for name, value in plain.items()
    }
