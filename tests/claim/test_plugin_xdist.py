"""Two workers: the judging is shared, no group of runs is trained twice, one report is written."""

from decouple.claim.report import read_report


def run_two(suite, *arguments):
    # The workers are processes of their own; only the session that distributes is in this one.
    return suite.run("-p", "xdist.plugin", "-n", "2", *arguments)


def told_by(suite):
    header = read_report(suite.path / "reports" / "claims.json").header
    return {name: header[name] for name in ("fixtures", "evidence", "predicates")}


def test_two_workers_train_each_group_once_and_report_together(suite, monkeypatch):
    monkeypatch.setenv("TOY_SECONDS", "0.2")
    result = run_two(suite, "-m", "smoke or published or gpu")
    result.assert_outcomes(passed=2, failed=6, skipped=9)
    trained = suite.toy.trainings()
    assert sorted(trained) == sorted(
        f"{arm} 0-4" for arm in ("published", "balanced", "doubtful", "high", "nan", "crashing")
    )
    assert len(suite.records()) == 17
    assert suite.records()["toy/holds", "smoke"].verdict == "SUPPORTED"
    result.stdout.fnmatch_lines(["toy [[]smoke[]]: 1 SUPPORTED, 1 REFUTED, 1 INCONCLUSIVE*"])
    assert (suite.path / "reports" / "claims.md").exists()

    shared, told = suite.as_json(), told_by(suite)
    suite.run("-m", "smoke or published or gpu")
    assert suite.as_json() == shared, "however many workers, one judgement"
    assert told_by(suite) == told, "and one account of how it was reached"
    assert len(told["evidence"][0]["runs"]) >= 20


def test_a_session_of_two_workers_that_judged_nothing_is_not_green(suite):
    result = run_two(suite, "-m", "gpu", "-k", "holds or fails")
    result.assert_outcomes(skipped=2)
    assert result.ret != 0
