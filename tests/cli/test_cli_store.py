"""`decouple store`."""

import json

import pandas as pd
import pytest
from filelock import FileLock

from decouple.claim.store import Identity, Store
from decouple.cli import main


@pytest.fixture
def folder(tmp_path):
    """A store with one run, of code that is no longer there."""
    identity = Identity(
        document="routing_collapse",
        preset="smoke",
        arm="published",
        seed=3,
        group=(0, 1, 2, 3, 4),
        config={"cycles": 12},
        code="0123456789abcdef",
        data="d",
        device="cpu",
        libraries={"torch": "1"},
    )
    cell = {"step": 0, "metric": "loss", "value": 1.5}
    table = pd.DataFrame([{"document": "routing_collapse", "arm": "published", "seed": 3, **cell}])
    provenance = {"status": "finished", "wall_seconds": 1.0, "made": "2000-01-01"}
    Store(tmp_path).write(identity, table, provenance)
    return tmp_path


def test_show_lists_runs_and_says_which_are_of_old_code(folder, capsys):
    assert main(["store", "--store", str(folder), "show"]) == 0
    said = capsys.readouterr().out
    assert "routing_collapse smoke published seed 3: finished, cpu, old code" in said
    assert said.endswith("1 run(s)\n")


def test_verify_finds_damage(folder, capsys):
    assert main(["store", "--store", str(folder), "verify"]) == 0
    (table,) = folder.rglob("evidence.csv")
    table.write_text(table.read_text().replace("1.5", "2.5"))
    assert main(["store", "--store", str(folder), "verify"]) == 1
    assert "does not have the recorded sha256" in capsys.readouterr().out


def test_prune_leaves_what_it_does_not_know_and_what_is_in_use(folder, capsys):
    for name in ("used", "left"):
        (folder / "scratch" / name).mkdir(parents=True)
    (folder / "locks").mkdir()
    (entry,) = Store(folder).entries()
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["identity"]["document"] = "somebody_elses"
    (entry / "manifest.json").write_text(json.dumps(manifest))
    with FileLock(folder / "locks" / "used.lock"):
        assert main(["store", "--store", str(folder), "prune", "--yes"]) == 0
    assert "in use: scratch/used" in capsys.readouterr().out
    assert [path.name for path in (folder / "scratch").iterdir()] == ["used"]
    assert list(Store(folder).entries()) == [entry]


def test_prune_removes_only_when_told_to(folder, capsys):
    assert main(["store", "--store", str(folder), "prune"]) == 0
    assert "would remove" in capsys.readouterr().out
    assert list(Store(folder).entries())
    assert main(["store", "--store", str(folder), "prune", "--yes"]) == 0
    assert not list(Store(folder).entries())
