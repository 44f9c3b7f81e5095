import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from decouple.claim.experiment import UnknownExperimentError, locate
from decouple.claim.fingerprint import code_fingerprint
from decouple.claim.runner import Group, RunFailedError, UnrunError, as_run
from decouple.claim.store import DamagedEntryError, Identity, Store


def final(entry):
    return as_run(entry).cell("share", step="last").middle


def test_a_group_is_trained_once_however_many_ask(toy):
    runner = toy.runner()
    first = runner.fetch("toy", "small", "published", [0, 3])
    assert sorted(first) == [0, 3]
    runner.fetch("toy", "small", "published", [1, 2, 4])
    assert toy.trainings() == ["published 0-4"]
    again = toy.runner().fetch("toy", "small", "published", range(5))
    assert toy.trainings() == ["published 0-4"], "another session finds them stored"
    assert final(again[3]) == final(first[3])
    runner.fetch("toy", "small", "published", [3, 5])
    assert toy.trainings() == ["published 0-4", "published 5-9"]


def test_what_another_process_finished_in_between_is_not_trained_again(toy):
    runner = toy.runner()
    group = runner.group("toy", "small", "published", 0)
    toy.runner().fetch("toy", "small", "published", [0])
    assert runner._train(group), "the lock was free, and the work done"
    assert toy.trainings() == ["published 0-4"]


def test_a_stored_run_knows_what_it_is(toy):
    entry = toy.runner().fetch("toy", "small", "doubtful", [0, 1])[0]
    identity = entry.manifest["identity"]
    assert identity["arm"] == "doubtful"
    assert identity["group"] == [0, 1, 2, 3, 4]
    assert identity["config"]["spread"] == 0.1
    assert identity["device"] == "cpu"
    assert identity["code"] == code_fingerprint(f"{toy.package}.toy")
    assert identity["data"] == "toy text"
    assert list(identity["libraries"]) == ["numpy"]
    assert entry.manifest["described"]["tokenizer"] == "letters"
    assert entry.manifest["wall_seconds"] >= 0
    assert entry.manifest["machine"]["python"]
    assert list((toy.store_folder / "scratch").iterdir()) == [], "nothing is left of a finished run"


def test_a_run_that_did_not_finish_is_kept_but_never_read_as_one_that_did(toy):
    entries = toy.runner().fetch("toy", "small", "diverging", [0, 1])
    assert len(entries[0].table) == 3
    with pytest.raises(RunFailedError, match="arm diverging, seed 0 diverged at step 3: share is"):
        as_run(entries[0])


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ("crashing", "toy small crashing seeds 0-4: ArithmeticError: the toy broke"),
        ("untidy", "toy small untidy seeds 0-4: ValueError: evidence must have the columns"),
    ],
)
def test_a_failure_is_recorded_and_not_tried_again_in_the_session(toy, arm, words):
    # Two processes of one session: two runners that share its name.
    for runner in (toy.runner(session="one"), toy.runner(session="one")):
        for seeds in ([0], [1, 2]):
            with pytest.raises(RunFailedError, match=words):
                runner.fetch("toy", "small", arm, seeds)
    assert len(toy.trainings()) == 1
    with pytest.raises(RunFailedError):
        toy.runner(session="two").fetch("toy", "small", arm, [0])
    assert len(toy.trainings()) == 2
    assert list(toy.runner().store.entries()) == [], "nothing of it is stored"


def test_what_failed_before_is_tried_again_in_a_session_of_its_own(toy, monkeypatch):
    module = toy.runner().experiment("toy").module
    with monkeypatch.context() as patch:
        patch.setattr(module, "describe", lambda config: 1 / 0)
        with pytest.raises(RunFailedError, match="ZeroDivisionError"):
            toy.runner().fetch("toy", "small", "published", [0])
    assert toy.runner().fetch("toy", "small", "published", [0])


CHANGED = "the code of .*toy changed while this process ran, .* nothing is stored, run it again"


@pytest.mark.parametrize("added", ["\nNEW = 1\n", "\ndef half("], ids=["whole", "half"])
def test_a_run_whose_code_is_edited_meanwhile_is_not_stored(toy, monkeypatch, added):
    runner = toy.runner()
    module = runner.experiment("toy").module
    train = module.run

    def edited(*arguments, **options):
        with toy.source.open("a") as stream:
            stream.write(added)
        return train(*arguments, **options)

    monkeypatch.setattr(module, "run", edited)
    with pytest.raises(RunFailedError, match=CHANGED):
        runner.fetch("toy", "small", "published", [0])
    assert toy.trainings() == ["published 0-4"]
    assert not list(runner.store.entries())


def test_code_that_was_edited_since_it_was_loaded_is_not_run(toy):
    runner = toy.runner()
    runner.experiment("toy")
    with toy.source.open("a") as stream:
        stream.write("\nNEW = 1\n")
    with pytest.raises(RunFailedError, match=CHANGED):
        runner.fetch("toy", "small", "published", [0])
    assert toy.trainings() == []


def test_the_code_is_read_before_it_is_loaded(toy):
    edit = "Path(__file__).write_text(Path(__file__).read_text() + 'NEW = 1\\n')"
    with toy.source.open("a") as stream:
        stream.write(f"\n{edit}\n")
    with pytest.raises(RunFailedError, match=CHANGED):
        toy.runner().fetch("toy", "small", "published", [0])


def test_a_remark_that_is_added_meanwhile_changes_nothing(toy):
    runner = toy.runner()
    runner.experiment("toy")
    with toy.source.open("a") as stream:
        stream.write("\n# A remark.\n")
    assert runner.fetch("toy", "small", "published", [0])


@pytest.mark.parametrize(("arm", "words"), [("forgetful", "0 of 4"), ("gappy", "3 of 4")])
def test_cells_that_the_experiment_forgot_make_the_run_a_failure(toy, arm, words):
    with pytest.raises(RunFailedError, match=f"every cell of the run, got share: {words}"):
        toy.runner().fetch("toy", "small", arm, range(5))
    assert not list(toy.runner().store.entries())


def test_a_stored_run_that_lacks_cells_is_not_judged(toy):
    entries = toy.runner().fetch("toy", "small", "published", range(5))
    store, path = toy.runner().store, entries[2].path
    identity = Identity(**json.loads((path / "manifest.json").read_text())["identity"])
    shutil.rmtree(path)
    identity = replace(identity, group=tuple(identity.group))
    store.write(identity, entries[2].table.iloc[:3], {"status": "finished"})
    with pytest.raises(ValueError, match="got share: 3 of 4"):
        toy.runner().fetch("toy", "small", "published", range(5))


def test_without_the_device_a_run_is_not_made(toy):
    with pytest.raises(UnrunError, match="preset 'large' needs a CUDA GPU, and there is none here"):
        toy.runner().fetch("toy", "large", "published", [0])
    assert toy.trainings() == []


def test_a_read_only_session_judges_what_is_there(toy):
    with pytest.raises(UnrunError, match="not in the store, which is read-only: toy small pub"):
        toy.runner(read_only=True).fetch("toy", "small", "published", [0])
    assert not toy.store_folder.exists()
    toy.runner().fetch("toy", "small", "published", [0])
    assert toy.runner(read_only=True).fetch("toy", "small", "published", range(5)).keys() == set(
        range(5)
    )


def test_a_damaged_entry_is_run_again_bitwise_the_same(toy):
    notes = []
    before = toy.runner().fetch("toy", "small", "published", range(5))
    (before[2].path / "manifest.json").unlink()
    after = toy.runner(warn=notes.append).fetch("toy", "small", "published", range(5))
    assert toy.trainings() == ["published 0-4"] * 2
    assert final(after[2]) == final(before[2])
    assert len(notes) == 1


@pytest.fixture
def elsewhere(toy):
    """A store of evidence that was made on a GPU, with other libraries."""
    made = toy.runner().fetch("toy", "small", "published", range(5))
    store = Store(toy.folder / "elsewhere")
    runner = toy.runner()
    group = runner.group("toy", "small", "published", 0)
    for seed, entry in made.items():
        identity = replace(
            runner.identity(group, seed), device="Some GPU", libraries={"numpy": "0.1"}
        )
        store.write(identity, entry.table, {"status": "finished"})
    toy.store_folder.rename(toy.folder / "set-aside")
    toy.log.unlink()
    return store.root


def test_reference_evidence_is_found_and_labelled(toy, elsewhere):
    runner = toy.runner(references=[elsewhere], read_only=True)
    entries = runner.fetch("toy", "small", "published", range(5))
    assert all(entry.manifest["reference"] for entry in entries.values())
    assert not any(entry.manifest["stale"] for entry in entries.values())
    assert toy.trainings() == []
    with pytest.raises(UnrunError):
        runner.fetch("toy", "small", "balanced", [0])


def test_reference_evidence_of_other_code_is_stale(toy, elsewhere):
    toy.source.write_text(toy.source.read_text() + "\nNEW = 1\n")
    code_fingerprint.cache_clear()
    runner = toy.runner(references=[elsewhere], read_only=True)
    assert runner.fetch("toy", "small", "published", [0])[0].manifest["stale"]


def test_reference_evidence_never_stands_in_for_a_run_that_can_be_made_here(toy, elsewhere):
    entries = toy.runner(references=[elsewhere]).fetch("toy", "small", "published", [0])
    assert "reference" not in entries[0].manifest
    assert toy.trainings() == ["published 0-4"]


def test_a_run_from_here_comes_before_reference_evidence(toy, elsewhere):
    (toy.folder / "set-aside").rename(toy.store_folder)
    entries = toy.runner(references=[elsewhere]).fetch("toy", "small", "published", [0])
    assert "reference" not in entries[0].manifest


def test_reference_evidence_stands_in_for_a_device_that_is_not_here(toy, monkeypatch):
    module = toy.runner().experiment("toy").module
    with monkeypatch.context() as patch:
        patch.setattr(module, "device", lambda config: "cpu")
        toy.runner().fetch("toy", "large", "published", [0])
    with pytest.raises(UnrunError, match="needs a CUDA GPU"):
        toy.runner().fetch("toy", "large", "published", [0])
    runner = toy.runner(references=[toy.store_folder])
    assert runner.fetch("toy", "large", "published", [0])[0].manifest["reference"]


MISSING = "the base model is not on this machine: fetch it"


def test_a_run_whose_weights_are_not_here_says_how_to_get_them(toy, monkeypatch):
    monkeypatch.setenv("TOY_MISSING", MISSING)
    with pytest.raises(UnrunError, match=MISSING):
        toy.runner().fetch("toy", "small", "published", [0])
    assert toy.trainings() == []


def test_reference_evidence_stands_in_for_weights_that_are_not_here(toy, elsewhere, monkeypatch):
    monkeypatch.setenv("TOY_MISSING", MISSING)
    runner = toy.runner(references=[elsewhere])
    assert runner.fetch("toy", "small", "published", [0])[0].manifest["reference"]
    with pytest.raises(UnrunError, match=MISSING):
        toy.runner(references=[elsewhere], base="other").fetch("toy", "small", "published", [0])


def test_a_base_model_is_handed_to_the_experiment(toy):
    entry = toy.runner(base="stand-in:small").fetch("toy", "small", "published", [0])[0]
    assert entry.manifest["identity"]["config"]["base"] == "stand-in:small"
    assert entry.manifest["described"]["base_model"] == "stand-in:small"


def test_runs_of_a_document_share_a_folder_that_outlives_them(toy):
    toy.runner().fetch("toy", "small", "published", [0])
    assert (toy.store_folder / "shared" / "toy").is_dir()


def test_damaged_reference_evidence_is_an_error(toy, elsewhere):
    victim = next(elsewhere.glob("toy/small/published/seed-0000-*"))
    (victim / "manifest.json").write_text("{}")
    runner = toy.runner(references=[elsewhere], read_only=True)
    with pytest.raises(DamagedEntryError, match="reference seed-0000"):
        runner.fetch("toy", "small", "published", [0])


def test_groups_of_seeds(toy):
    runner = toy.runner()
    assert runner.group("toy", "small", "published", 7) == Group(
        "toy", "small", "published", (5, 6, 7, 8, 9)
    )
    assert str(runner.group("toy", "small", "published", 7)) == "toy small published seeds 5-9"
    assert str(runner.group("toy", "single", "published", 7)) == "toy single published seeds 7"


def test_unknown_names_list_the_alternatives(toy):
    runner = toy.runner()
    with pytest.raises(
        LookupError, match=r"arm must be one of published, balanced, .*got 'melted'"
    ):
        runner.fetch("toy", "small", "melted", [0])
    with pytest.raises(LookupError, match="tier must be one of smoke, gpu, got 'tiny'"):
        runner.preset("toy", "tiny")
    with pytest.raises(UnknownExperimentError, match=f"no experiment 'other' in {toy.package}"):
        runner.preset("other", "smoke")
    assert runner.preset("toy", "smoke") == "small"
    assert toy.runner(presets={"smoke": "single"}).preset("toy", "smoke") == "single"


def test_a_broken_import_is_not_taken_for_a_missing_experiment(toy):
    broken = toy.folder / toy.package / "broken.py"
    broken.write_text("import no_such_module_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        locate("broken", ["no_such_package_anywhere", toy.package])


def test_two_processes_share_the_backlog_and_train_nothing_twice(toy, monkeypatch):
    monkeypatch.setenv("TOY_SECONDS", "0.1")
    script = toy.folder / "worker.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, sys, time
            from pathlib import Path
            from decouple.claim.runner import Runner, Settings
            from decouple.claim.store import Store

            package, folder, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
            trained = []
            runner = Runner(
                Store(folder / "store"), Settings(packages=(package,)), session="one",
                progress=lambda group: trained.append(str(group)),
            )
            arms = ["published", "balanced", "high", "doubtful", "constant", "nan"]
            runner.backlog = [runner.group("toy", "small", arm, 0) for arm in arms]
            (folder / f"ready-{name}").touch()
            while not (folder / "go").exists():
                time.sleep(0.001)
            # Both ask in the same order: without the backlog one would only wait.
            for arm in arms:
                assert len(runner.fetch("toy", "small", arm, range(5))) == 5
            print(json.dumps(trained))
            """
        )
    )
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), toy.package, str(toy.folder), name],
            stdout=subprocess.PIPE,
            cwd=toy.folder,
        )
        for name in ("a", "b")
    ]
    while not all((toy.folder / f"ready-{name}").exists() for name in ("a", "b")):
        assert all(worker.poll() in (None, 0) for worker in workers)
    (toy.folder / "go").touch()
    shares = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(toy.trainings()) == len(set(toy.trainings())) == 6
    assert sorted(shares[0] + shares[1]) == sorted(
        f"toy small {t.replace(' ', ' seeds ')}" for t in toy.trainings()
    )
    assert min(map(len, shares)) >= 2, "each does its part"


def test_what_is_wrong_with_the_backlog_is_not_this_claims_fault(toy, monkeypatch):
    runner = toy.runner(session="one")
    runner.backlog = [
        runner.group("toy", "small", arm, 0) for arm in ("crashing", "untidy", "balanced")
    ]
    locked, train = ["published"], runner._train

    def train_unless_locked(group):
        if group.arm in locked:
            return False  # another process is at it
        trained = train(group)
        locked.clear()
        return trained

    monkeypatch.setattr(runner, "_train", train_unless_locked)
    assert runner.fetch("toy", "small", "published", [0]).keys() == {0}
    assert toy.trainings() == ["crashing 0-4", "untidy 0-4", "balanced 0-4", "published 0-4"]
