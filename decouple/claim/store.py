"""The run store: evidence on disk, one folder for each run, written once and verified when read.

    <root>/<document>/<preset>/<arm>/seed-0003-1f0c9a72d4b86e55/
        evidence.csv     the tidy table
        manifest.json    identity, provenance, status, sha256 of the table
    <root>/damaged/      entries that failed verification, kept for a person to look at
    <root>/locks/        one lock file for each group of seeds being trained
    <root>/scratch/      checkpoints of runs that are not finished
    <root>/shared/       what the runs of a document share, such as a trained start; may be deleted

An entry's name ends in the digest of its identity: the configuration, arm, seed and group, and the
fingerprints of code, data, device class and libraries. A folder appears by one rename, so a reader
never sees half of one.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from decouple.claim.evidence import check_table
from decouple.claim.fingerprint import digest

FORMAT = 1
"""Version of the layout; raised when a reader of the old one would misread the new."""

_NUMBERED = re.compile(r"seed-\d+-[0-9a-f]+")


class StoreWarning(UserWarning):
    """Something in the store had to be set aside."""


class DamagedEntryError(ValueError):
    """An entry whose files do not agree with each other or cannot be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """All that decides what a run's numbers are."""

    document: str
    preset: str
    arm: str
    seed: int
    group: tuple[int, ...]
    "the seeds trained together with this one, itself included"
    config: Mapping[str, Any]
    code: str
    data: str
    device: str
    libraries: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The identity as JSON types."""
        return {
            "document": self.document,
            "preset": self.preset,
            "arm": self.arm,
            "seed": self.seed,
            "group": list(self.group),
            "config": dict(self.config),
            "code": self.code,
            "data": self.data,
            "device": self.device,
            "libraries": dict(self.libraries),
        }

    @property
    def key(self) -> str:
        """Digest of the whole identity."""
        return digest(self.as_dict())

    @property
    def experiment_key(self) -> str:
        """Digest of what was run, whatever the code, device and libraries it was run with."""
        return self._digest_of("document", "preset", "arm", "seed", "config", "data")

    @property
    def setup_key(self) -> str:
        """Digest of what was run, the data known only by what the configuration says of them."""
        return self._digest_of("document", "preset", "arm", "seed", "config")

    def _digest_of(self, *kept: str) -> str:
        return digest({name: value for name, value in self.as_dict().items() if name in kept})


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored run."""

    path: Path
    manifest: dict[str, Any]
    table: pd.DataFrame


class Store:
    """Evidence under one folder.

    Args:
        root: the folder; made when the first entry is written.
        read_only: never write, not even to set a damaged entry aside.
        warn: told when an entry had to be set aside.
    """

    def __init__(
        self,
        root: Path,
        *,
        read_only: bool = False,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.root = root
        self.read_only = read_only
        self._warn = warn or (lambda text: warnings.warn(text, StoreWarning, stacklevel=3))

    def path_of(self, identity: Identity) -> Path:
        """Where the run of this identity lies, whether or not it is there."""
        name = f"seed-{identity.seed:04d}-{identity.key}"
        return self.root / identity.document / identity.preset / identity.arm / name

    def has(self, identity: Identity) -> bool:
        """Whether an entry of this identity is there, not yet verified."""
        return (self.path_of(identity) / "manifest.json").is_file()

    def read(self, identity: Identity) -> Entry | None:
        """The verified entry, or None if there is none; a damaged one is set aside."""
        path = self.path_of(identity)
        if not path.exists():
            return None
        try:
            entry = read_entry(path)
            if digest(entry.manifest["identity"]) != identity.key:
                raise DamagedEntryError(f"{path.name}: the manifest is of another run")
        except DamagedEntryError as error:
            self._set_aside(path, error)
            return None
        return entry

    def write(self, identity: Identity, table: pd.DataFrame, provenance: Mapping[str, Any]) -> Path:
        """Store a run; returns where. A run that is already there is left as it is.

        Raises:
            ValueError: if the table is not tidy evidence.
            PermissionError: if the store is read-only.
        """
        if self.read_only:
            raise PermissionError(f"store {self.root.name} is read-only")
        check_table(table)
        path = self.path_of(identity)
        if path.exists() and not self.has(identity):
            self._set_aside(path, DamagedEntryError(f"{path.name}: no manifest"))
        path.parent.mkdir(parents=True, exist_ok=True)
        # Repr precision: the table read back is bitwise the table written.
        text = table.to_csv(index=False, lineterminator="\n")
        manifest = {
            "format": FORMAT,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "identity": identity.as_dict(),
            **provenance,
        }
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=path.parent))
        try:
            (draft / "evidence.csv").write_text(text, encoding="utf-8", newline="\n")
            (draft / "manifest.json").write_text(
                json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8"
            )
            draft.chmod(0o755)
            try:
                draft.rename(path)
            except OSError:
                if not path.exists():
                    raise  # not "somebody was faster" but a real failure
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return path

    def entries(self) -> Iterator[Path]:
        """The folders of all runs, sorted."""
        for path in sorted(self.root.glob("*/*/*/seed-*")):
            if path.is_dir() and _NUMBERED.fullmatch(path.name):
                yield path

    def verify(self) -> list[tuple[Path, str]]:
        """Entries that are damaged, with the reason; changes nothing."""
        damaged = []
        for path in self.entries():
            try:
                read_entry(path)
            except DamagedEntryError as error:
                damaged.append((path, str(error)))
        return damaged

    def remove(self, path: Path) -> None:
        """Delete one entry.

        Raises:
            ValueError: if `path` is no entry of this store.
            PermissionError: if the store is read-only.
        """
        if self.read_only:
            raise PermissionError(f"store {self.root.name} is read-only")
        if path not in set(self.entries()):
            raise ValueError(f"path must be an entry of the store, got {path}")
        shutil.rmtree(path)

    def _set_aside(self, path: Path, error: DamagedEntryError) -> None:
        if self.read_only:
            self._warn(f"damaged entry ignored: {error}")
            return
        shelf = self.root / "damaged"
        shelf.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{path.name}-", dir=shelf))
        try:
            path.replace(place / path.name)
        except FileNotFoundError:
            return  # another process has set it aside already
        self._warn(f"damaged entry set aside in {shelf.name}/ and run again: {error}")


def read_entry(path: Path) -> Entry:
    """Read and verify one entry.

    Raises:
        DamagedEntryError: if a file is missing, unreadable, of another format, or not the one the
            manifest describes.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        data = (path / "evidence.csv").read_bytes()
    except (OSError, ValueError) as error:
        raise DamagedEntryError(f"{path.name}: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DamagedEntryError(f"{path.name}: the manifest is not of format {FORMAT}")
    if hashlib.sha256(data).hexdigest() != manifest.get("sha256"):
        raise DamagedEntryError(f"{path.name}: the table does not have the recorded sha256")
    if not {"identity", "status"} <= manifest.keys():
        raise DamagedEntryError(f"{path.name}: the manifest lacks identity or status")
    try:
        # Python's own float() is exact where the parser of pandas may not be. Only an empty cell
        # is missing: a condition named "None" or "null" is a name.
        table = pd.read_csv(
            io.BytesIO(data),
            converters={"value": lambda text: float(text or "nan")},
            keep_default_na=False,
            na_values=[""],
        )
        check_table(table)
    except ValueError as error:
        raise DamagedEntryError(f"{path.name}: {error}") from error
    return Entry(path, manifest, table)
