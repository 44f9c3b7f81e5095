import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from decouple.claim.bands import at_least
from decouple.claim.device import gpu_name
from decouple.claim.fingerprint import code_fingerprint
from decouple.claim.record import Provenance, Record, Setting
from decouple.claim.report import read_report
from decouple.claim.runner import Runner, Settings
from decouple.claim.spec import Source, control
from decouple.claim.spec import claim as make_claim
from decouple.claim.store import Store

HERE = Path(__file__).parent
_numbers = itertools.count()


@dataclass
class Toy:
    """The toy experiment in a package of its own, with a store and a log of its trainings."""

    package: str
    folder: Path
    store_folder: Path
    log: Path

    @property
    def source(self):
        return self.folder / self.package / "toy.py"

    def trainings(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def runner(self, *, references=(), session="", read_only=False, warn=None, **settings):
        return Runner(
            Store(self.store_folder, read_only=read_only, warn=warn),
            Settings(packages=(self.package,), **settings),
            references=references,
            session=session,
        )


def make_toy(folder, monkeypatch):
    # A name of its own each time: modules, import specs and fingerprints are cached by name.
    package = f"toy_papers_{os.getpid()}_{next(_numbers)}"
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("")
    shutil.copy(HERE / "toy_document.py", folder / package / "toy.py")
    monkeypatch.syspath_prepend(folder)
    log = folder / "trainings.log"
    monkeypatch.setenv("TOY_LOG", str(log))
    return Toy(package, folder, folder / "store", log)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpu_name.cache_clear()
    yield
    gpu_name.cache_clear()


@pytest.fixture
def toy(tmp_path, monkeypatch, no_gpu):
    return make_toy(tmp_path, monkeypatch)


@pytest.fixture
def claim_of():
    """Makes a claim about the toy: `claim_of("name", arms=…, controls=…, …)`."""

    def make(name="holds", *, predicate=lambda run, *_: run.cell("share", step="last"), **parts):
        parts = {
            "source": Source(section="Results"),
            "band": at_least(0.8, because="half of the published change"),
            "smoke": True,
            **parts,
        }
        if parts.get("kind") != "exact":
            parts.setdefault("controls", [control("balanced", why="nothing pulls")])
        return make_claim(f"toy/{name}", "The share ends high.", **parts)(predicate)

    return make


@pytest.fixture
def record_of():
    """Makes a record: `record_of("SUPPORTED", claim="toy/holds", …)`."""

    def make(verdict="SUPPORTED", *, claim="toy/holds", tier="smoke", preset="small", **parts):
        parts = {
            "kind": "shape",
            "statement": "The share ends high.",
            "source": {"section": "Results", "figure": "0.93", "tables": []},
            "band": {
                "kind": "at_least",
                "low": 0.8,
                "high": None,
                "words": "≥ 0.8",
                "because": "h",
            },
            "arms": ["published"],
            "note": "",
            "reason": "0.9 [0.85, 0.95] over 5 seeds",
            "estimate": 0.9,
            "interval": [0.85, 0.95],
            "margin": 0.1,
            "detectable": 0.03,
            "values": {str(seed): 0.88 + seed / 100 for seed in range(5)},
            "provenance": Provenance(seeds=(0, 1, 2, 3, 4), device="cpu", labels=("a note",)),
            "command": "pytest here",
            **parts,
        }
        setting = Setting(preset=preset, base_model="none", corpus="toy text", tokenizer="letters")
        return Record(claim=claim, tier=tier, verdict=verdict, setting=setting, **parts)

    return make


@dataclass
class Suite:
    """A project with the toy's claims, run by a pytest inside pytest."""

    pytester: pytest.Pytester
    toy: Toy

    @property
    def path(self):
        return self.pytester.path

    @property
    def ledger(self):
        return self.path / "fixtures" / "ledger"

    def run(self, *arguments, **kwargs):
        code_fingerprint.cache_clear()  # a new session reads the sources anew
        return self.pytester.runpytest_inprocess("claims", *arguments, **kwargs)

    def records(self):
        report = read_report(self.path / "reports" / "claims.json")
        return {(record.claim, record.tier): record for record in report.records}

    def as_json(self):
        """The records as JSON types, in which even NaN is equal to itself."""
        return {key: record.as_dict() for key, record in self.records().items()}


@pytest.fixture
def suite(pytester, monkeypatch, no_gpu):
    # The run inside is a session of its own, also where this test runs under xdist.
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    toy = make_toy(pytester.path, monkeypatch)
    toy.store_folder = pytester.path / "reports" / "store"
    pytester.makeconftest('pytest_plugins = ["decouple.claim.plugin", "decouple.report.plugin"]')
    pytester.makeini(
        f"""
        [pytest]
        addopts = --strict-markers --strict-config
        pythonpath = .
        filterwarnings = error
        decouple_experiments = {toy.package}
        """
    )
    (pytester.path / "claims").mkdir()
    shutil.copy(HERE / "toy_claims.py", pytester.path / "claims" / "test_toy.py")
    tables = pytester.path / "fixtures" / "published" / "toy"
    tables.mkdir(parents=True)
    (tables / "shares.csv").write_text(
        "# source: Results\nmetric,step,value\nshare,0,0.25\nshare,3,0.93\n"
    )
    return Suite(pytester, toy)
