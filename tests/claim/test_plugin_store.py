"""What the plugin does with runs on disk: reuse, damage, interruption, failure."""

import pytest

from decouple.claim.store import Store

HOLDS = ("-m", "smoke", "-k", "holds")


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_warm_store_trains_nothing_and_judges_the_same(suite):
    suite.run("-m", "smoke")
    trained = suite.toy.trainings()
    assert sorted(set(trained)) == sorted(trained), "no group is trained twice"
    cold = suite.as_json()
    suite.run("-m", "smoke")
    assert suite.toy.trainings() == [*trained, "crashing 0-4"], "only the crash is tried again"
    assert suite.as_json() == cold


def test_a_change_to_the_experiment_trains_again_and_a_comment_does_not(suite):
    suite.run(*HOLDS)
    source = suite.toy.source.read_text()
    suite.toy.source.write_text(f"# A remark.\n{source}")
    suite.run(*HOLDS)
    assert len(suite.toy.trainings()) == 2
    suite.toy.source.write_text(source.replace("spread: float = 0.02", "spread: float = 0.020"))
    suite.run(*HOLDS)
    assert len(suite.toy.trainings()) == 4


def test_a_read_only_store_judges_what_is_there_and_writes_nothing(suite):
    result = suite.run(*HOLDS, "--decouple-read-only", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*not in the store, which is read-only: toy small*"])
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert suite.toy.trainings() == []
    assert not suite.toy.store_folder.exists()

    suite.run(*HOLDS)
    before = contents(suite.toy.store_folder)
    result = suite.run(*HOLDS, "--decouple-read-only")
    result.assert_outcomes(passed=1)
    assert contents(suite.toy.store_folder) == before


def test_a_damaged_entry_is_set_aside_and_run_again_with_a_note(suite):
    suite.run(*HOLDS)
    record = suite.records()["toy/holds", "smoke"]
    victim = next(suite.toy.store_folder.glob("toy/small/published/seed-0002-*"))
    with (victim / "evidence.csv").open("a") as file:
        file.write("toy,published,2,9,share,0.1\n")

    result = suite.run(*HOLDS, "--decouple-read-only")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*note: damaged entry ignored: seed-0002-*"])
    assert victim.exists()

    result = suite.run(*HOLDS)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*note: damaged entry set aside in damaged/ and run again: seed-0002-*sha256*"]
    )
    assert suite.toy.trainings() == ["published 0-4", "balanced 0-4", "published 0-4"]
    assert [path.name for path in (suite.toy.store_folder / "damaged").glob("*/*")] == [victim.name]
    again = suite.records()["toy/holds", "smoke"]
    assert again.values == record.values
    assert len(again.provenance.labels) == 1
    assert "note:" not in str(suite.run(*HOLDS).stdout), "said once"


def test_every_damaged_entry_is_noted_at_the_claim_that_met_it(suite):
    suite.run("-m", "smoke")
    for arm in ("published", "doubtful"):
        victim = next(suite.toy.store_folder.glob(f"toy/small/{arm}/seed-0001-*"))
        (victim / "manifest.json").write_text("{}")
    suite.run("-m", "smoke")
    labels = {claim: r.provenance.labels for (claim, _), r in suite.records().items()}
    assert len(labels["toy/holds"]) == 1
    assert len(labels["toy/wavers"]) == 1
    assert labels["toy/empty"] == ()


def test_an_interrupted_session_resumes_without_training_the_first_again(suite, monkeypatch):
    monkeypatch.setenv("TOY_INTERRUPTED", "balanced")
    result = suite.run("-m", "smoke", no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert suite.toy.trainings() == ["published 0-4", "balanced 0-4"]

    monkeypatch.delenv("TOY_INTERRUPTED")
    result = suite.run(*HOLDS)
    result.assert_outcomes(passed=1)
    assert suite.toy.trainings() == ["published 0-4", "balanced 0-4", "balanced 0-4"]


def test_a_crashed_run_is_an_error_and_not_tried_again_in_the_session(suite):
    claims = suite.path / "claims" / "test_toy.py"
    text = claims.read_text()
    claims.write_text(text + text[text.index("test_crash =") :].replace("crash", "relapse", 2))
    assert 'test_relapse = claim(\n    "toy/relapse"' in claims.read_text()
    result = suite.run("-m", "smoke", "-k", "crash or relapse")
    assert suite.toy.trainings().count("crashing 0-4") == 1
    reasons = {record.reason for record in suite.records().values()}
    assert reasons == {"toy small crashing seeds 0-4: ArithmeticError: the toy broke"}
    result.assert_outcomes(failed=2)
    # The next session may try once more.
    suite.run("-m", "smoke", "-k", "crash")
    assert suite.toy.trainings().count("crashing 0-4") == 2


def test_reference_evidence_is_judged_and_labelled(suite):
    suite.run(*HOLDS)
    elsewhere = suite.path / "elsewhere"
    suite.toy.store_folder.rename(elsewhere)
    source = suite.toy.source.read_text()

    options = (*HOLDS, "--decouple-read-only", "--decouple-reference=elsewhere")
    suite.run(*options).assert_outcomes(passed=1)
    labels = suite.records()["toy/holds", "smoke"].provenance.labels
    assert labels == ("reference evidence, not run here",)

    suite.toy.source.write_text(source + "\nNEW = 1\n")
    suite.run(*options).assert_outcomes(passed=1)
    labels = suite.records()["toy/holds", "smoke"].provenance.labels
    assert labels == ("reference evidence, not run here", "stale: made by other code than this")
    assert suite.toy.trainings() == ["published 0-4", "balanced 0-4"]


def test_the_store_goes_where_the_option_says(suite):
    suite.run(*HOLDS, "--decouple-store=here/runs")
    assert len(list(Store(suite.path / "here" / "runs").entries())) == 10
    assert not suite.toy.store_folder.exists()
