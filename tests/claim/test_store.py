import hashlib
import json
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decouple.claim.store import DamagedEntryError, Identity, Store, StoreWarning, read_entry

IDENTITY = Identity(
    document="toy",
    preset="small",
    arm="published",
    seed=3,
    group=(0, 1, 2, 3, 4),
    config={"mean": 0.9, "nested": {"steps": [1, 2]}},
    code="c0de",
    data="da7a",
    device="cpu",
    libraries={"numpy": "2.0"},
)
PROVENANCE = {"status": "finished", "wall_seconds": 1.5}


def table_of(*values, **columns):
    return pd.DataFrame(
        {
            "document": "toy",
            "arm": "published",
            "seed": 3,
            "metric": "share",
            "step": range(len(values)),
            "value": values,
            **columns,
        }
    )


@pytest.fixture
def notes():
    return []


@pytest.fixture
def store(tmp_path, notes):
    return Store(tmp_path / "store", warn=notes.append)


def test_an_entry_is_read_back_with_its_manifest(store):
    table = table_of(0.25, 0.5, condition="trained", layer=[0, np.nan])
    path = store.write(IDENTITY, table, PROVENANCE)
    assert store.has(IDENTITY)
    entry = store.read(IDENTITY)
    pd.testing.assert_frame_equal(entry.table, table, check_dtype=False)
    assert entry.path == path
    assert entry.manifest["identity"] == IDENTITY.as_dict()
    assert entry.manifest["status"] == "finished"
    assert sorted(file.name for file in path.iterdir()) == ["evidence.csv", "manifest.json"]
    assert path.relative_to(store.root).parts[:3] == ("toy", "small", "published")
    assert path.name == f"seed-0003-{IDENTITY.key}"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.floats(allow_nan=True), min_size=1, max_size=8), seed=st.integers(0, 10**6)
)
def test_floats_come_back_bit_for_bit(store, values, seed):
    identity = replace(IDENTITY, seed=seed, config={"values": [repr(v) for v in values]})
    store.write(identity, table_of(*values), PROVENANCE)
    read = store.read(identity).table["value"].to_numpy(dtype=float)
    written = np.array(values, dtype=float)
    missing = np.isnan(written)
    assert np.array_equal(np.isnan(read), missing)
    assert np.array_equal(read[~missing].view(np.int64), written[~missing].view(np.int64))


@pytest.mark.parametrize("name", ["None", "null", "NA", "nan", "n/a"])
def test_a_name_is_not_taken_for_a_missing_cell(store, name):
    store.write(IDENTITY, table_of(0.5, condition=name), PROVENANCE)
    assert store.read(IDENTITY).table["condition"].tolist() == [name]


def test_what_is_not_there_is_none_and_no_warning(store, notes):
    assert store.read(IDENTITY) is None
    assert not store.has(IDENTITY)
    assert list(store.entries()) == []
    assert store.verify() == []
    assert notes == []
    assert not store.root.exists(), "reading makes no folder"


@pytest.mark.parametrize(
    "other",
    [
        {"preset": "large"},
        {"arm": "balanced"},
        {"seed": 4},
        {"group": (3,)},
        {"config": {"mean": 0.8}},
        {"code": "0ther"},
        {"data": "0ther"},
        {"device": "GPU"},
        {"libraries": {"numpy": "2.1"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_decides_the_numbers_makes_another_entry(store, other):
    store.write(IDENTITY, table_of(0.5), PROVENANCE)
    changed = replace(IDENTITY, **other)
    assert store.read(changed) is None
    same_experiment = changed.experiment_key == IDENTITY.experiment_key
    assert same_experiment == (next(iter(other)) in ("group", "code", "device", "libraries"))


def damage_csv(path):
    file = path / "evidence.csv"
    file.write_text(file.read_text().replace("0.5", "0.6"))


def damage_manifest(path, **changes):
    file = path / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def drop_from_manifest(path, name):
    file = path / "manifest.json"
    data = json.loads(file.read_text())
    del data[name]
    file.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_csv, "does not have the recorded sha256"),
        (lambda path: (path / "evidence.csv").write_bytes(b""), "sha256"),
        (lambda path: (path / "evidence.csv").unlink(), "evidence.csv"),
        (lambda path: (path / "manifest.json").unlink(), "manifest.json"),
        (lambda path: (path / "manifest.json").write_text("{"), "seed-0003"),
        (lambda path: (path / "manifest.json").write_text("[]"), "not of format 1"),
        (lambda path: (path / "manifest.json").write_text("null"), "not of format 1"),
        (lambda path: damage_manifest(path, format=2), "not of format 1"),
        (lambda path: damage_manifest(path, sha256=None), "sha256"),
        (lambda path: drop_from_manifest(path, "identity"), "lacks identity or status"),
        (lambda path: drop_from_manifest(path, "status"), "lacks identity or status"),
        (
            lambda path: damage_manifest(path, identity={**IDENTITY.as_dict(), "seed": 4}),
            "the manifest is of another run",
        ),
        (lambda path: damage_manifest(path, identity="mine"), "the manifest is of another run"),
    ],
)
def test_a_damaged_entry_is_set_aside_and_told(tmp_path, store, notes, damage, words):
    path = store.write(IDENTITY, table_of(0.5), PROVENANCE)
    damage(path)
    damaged = {file.name: file.read_bytes() for file in path.iterdir()}

    said = []
    reader = Store(store.root, read_only=True, warn=said.append)
    assert reader.read(IDENTITY) is None
    assert path.exists(), "a read-only store moves nothing"
    assert said[0].startswith("damaged entry ignored: ")

    assert store.read(IDENTITY) is None
    assert not path.exists()
    (note,) = notes
    assert note.startswith("damaged entry set aside in damaged/ and run again: ")
    assert words in note
    (shelved,) = (store.root / "damaged").glob("*/*")
    assert {file.name: file.read_bytes() for file in shelved.iterdir()} == damaged

    store.write(IDENTITY, table_of(0.5), PROVENANCE)
    assert store.read(IDENTITY) is not None
    assert len(notes) == 1


def test_a_table_that_is_no_evidence_is_damaged_even_with_the_right_sha256(store):
    path = store.write(IDENTITY, table_of(0.5), PROVENANCE)
    for text in (
        "step,value\n0,0.5\n",
        "",
        "document,arm,seed,metric,step,value\na,b,3,c,0,half\n",
    ):
        (path / "evidence.csv").write_text(text)
        damage_manifest(path, sha256=hashlib.sha256(text.encode()).hexdigest())
        with pytest.raises(DamagedEntryError, match="seed-0003"):
            read_entry(path)


def test_a_half_written_folder_does_not_stand_in_the_way(store, notes):
    path = store.path_of(IDENTITY)
    path.mkdir(parents=True)
    (path / "evidence.csv").write_text("docu")
    assert not store.has(IDENTITY)
    store.write(IDENTITY, table_of(0.5), PROVENANCE)
    assert store.read(IDENTITY).table["value"].tolist() == [0.5]
    assert "no manifest" in notes[0]


def test_a_run_that_is_there_is_left_as_it_is(store):
    store.write(IDENTITY, table_of(0.5), PROVENANCE)
    store.write(IDENTITY, table_of(0.6), PROVENANCE)
    assert store.read(IDENTITY).table["value"].tolist() == [0.5]
    assert list(store.path_of(IDENTITY).parent.glob(".draft-*")) == []


def test_untidy_evidence_is_not_stored(store):
    with pytest.raises(ValueError, match=r"missing \['step'\]"):
        store.write(IDENTITY, table_of(0.5).drop(columns="step"), PROVENANCE)
    assert not store.has(IDENTITY)


def test_a_read_only_store_writes_and_removes_nothing(store):
    path = store.write(IDENTITY, table_of(0.5), PROVENANCE)
    reader = Store(store.root, read_only=True)
    before = sorted(store.root.rglob("*"))
    with pytest.raises(PermissionError, match="store store is read-only"):
        reader.write(replace(IDENTITY, seed=4), table_of(0.5), PROVENANCE)
    with pytest.raises(PermissionError, match="store store is read-only"):
        reader.remove(path)
    assert reader.read(IDENTITY) is not None
    assert sorted(store.root.rglob("*")) == before


def test_without_a_listener_the_store_warns(tmp_path):
    store = Store(tmp_path)
    damage_csv(store.write(IDENTITY, table_of(0.5), PROVENANCE))
    with pytest.warns(StoreWarning, match="set aside"):
        store.read(IDENTITY)


def test_entries_are_listed_verified_and_removed(store):
    paths = [store.write(replace(IDENTITY, seed=s), table_of(0.5), PROVENANCE) for s in (10, 2)]
    (paths[0].parent / "seed-notes").mkdir()
    assert list(store.entries()) == [paths[1], paths[0]]
    assert store.verify() == []
    damage_csv(paths[0])
    ((path, reason),) = store.verify()
    assert path == paths[0]
    assert "sha256" in reason
    assert paths[0].exists(), "verifying changes nothing"
    store.remove(paths[0])
    assert list(store.entries()) == [paths[1]]
    with pytest.raises(ValueError, match="path must be an entry of the store, got "):
        store.remove(store.root / "toy")


def test_writers_at_the_same_time_leave_one_valid_entry(store, tmp_path):
    script = tmp_path / "writer.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, time
            from pathlib import Path
            import pandas as pd
            from decouple.claim.store import Identity, Store

            store, number = Store(Path(sys.argv[1])), int(sys.argv[2])
            (Path(sys.argv[3]) / f"ready-{number}").touch()
            while not (Path(sys.argv[3]) / "go").exists():
                time.sleep(0.001)
            for seed in range(30):
                identity = Identity(
                    document="toy", preset="small", arm="published", seed=seed, group=(seed,),
                    config={}, code="", data="", device="cpu", libraries={},
                )
                table = pd.DataFrame({
                    "document": "toy", "arm": "published", "seed": seed, "metric": "share",
                    "step": range(50), "value": float(number),
                })
                store.write(identity, table, {"status": "finished"})
            """
        )
    )
    arguments = [sys.executable, str(script), str(store.root)]
    writers = [subprocess.Popen([*arguments, str(i), str(tmp_path)]) for i in range(2)]
    while not all((tmp_path / f"ready-{i}").exists() for i in range(2)):
        assert all(writer.poll() in (None, 0) for writer in writers)
    (tmp_path / "go").touch()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert len(list(store.entries())) == 30
    assert store.verify() == []
    for path in store.entries():
        assert len(set(read_entry(path).table["value"])) == 1, "of one writer, not of both"
    assert list(store.root.glob("*/*/*/.draft-*")) == []
