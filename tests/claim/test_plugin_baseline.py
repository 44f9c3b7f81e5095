"""A saved report as the baseline: did this change break what held before?"""

import json
import shutil

import pytest

SMOKE = ("-m", "smoke", "-k", "test_holds or test_fails")


@pytest.fixture
def baseline(suite):
    """The report of the suite as it stands, kept aside."""
    suite.run(*SMOKE, "--decouple-no-ledger")
    (suite.path / "reports" / "claims.json").rename(suite.path / "before.json")
    return "--decouple-baseline=before.json"


def weaken(suite, mean):
    source = suite.toy.source.read_text()
    assert source.count("mean: float = 0.9") == 1
    suite.toy.source.write_text(source.replace("mean: float = 0.9", f"mean: float = {mean}"))
    # As long as before and of the same second: what was compiled of it would pass for current.
    shutil.rmtree(suite.toy.source.parent / "__pycache__", ignore_errors=True)


def run_again(suite, *options):
    # In a process of its own: the module of the experiment is imported already in this one.
    return suite.pytester.runpytest_subprocess("claims", *SMOKE, *options)


def test_what_stayed_as_it_was_is_green_a_refutation_too(suite, baseline):
    run_again(suite, baseline).assert_outcomes(passed=1, xfailed=1)


def test_what_broke_is_red(suite, baseline):
    weaken(suite, 0.4)
    result = run_again(suite, baseline)
    result.assert_outcomes(failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["*broken: toy/holds [[]smoke[]] SUPPORTED → REFUTED*"])


def test_a_person_chooses_what_fails(suite, baseline):
    weaken(suite, 0.4)
    result = run_again(suite, baseline, "--decouple-fail-on=weakened")
    result.stdout.fnmatch_lines(["*1 xfailed, 1 weakened*"])
    result.stdout.no_fnmatch_line("*holds* - as recorded*")
    assert result.ret == pytest.ExitCode.OK


def test_what_is_new_can_be_made_to_fail(suite, baseline):
    cut = suite.path / "before.json"
    report = json.loads(cut.read_text())
    report["records"] = [r for r in report["records"] if r["claim"] == "toy/fails"]
    cut.write_text(json.dumps(report))
    run_again(suite, baseline).assert_outcomes(passed=1, xfailed=1)
    run_again(suite, baseline, "--decouple-fail-on=broken,new").assert_outcomes(failed=1, xfailed=1)


def test_a_change_of_corpus_is_not_a_new_claim(suite, baseline):
    source = suite.toy.source.read_text()
    suite.toy.source.write_text(source.replace('corpus: str = "toy text"', 'corpus: str = "other"'))
    shutil.rmtree(suite.toy.source.parent / "__pycache__", ignore_errors=True)
    result = run_again(suite, baseline, "--decouple-fail-on=cannot tell")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*corpus (toy text → other) changed: another claim*"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--decouple-baseline=none.json"], "*baseline: none.json is no report*"),
        (["--decouple-fail-on=doom"], "*--decouple-fail-on must name outcomes of broken, weak*"),
        (["--decouple-fail-on=gone"], "*--decouple-fail-on cannot tell what is gone from what*"),
        (
            ["--decouple-baseline=b.json", "--decouple-no-ledger"],
            "*--decouple-baseline cannot be combined with --decouple-no-ledger*",
        ),
    ],
)
def test_a_missing_baseline_is_an_error_and_no_pass(suite, options, words):
    result = suite.run(*SMOKE, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])
    assert suite.toy.trainings() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"records": []}, "--decouple-baseline must hold a claim of those collected"),
        ({"problems": ["x ended without a verdict"]}, "before.json is not whole: x ended without"),
    ],
)
def test_a_baseline_that_says_nothing_is_no_baseline(suite, baseline, change, words):
    path = suite.path / "before.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    result = run_again(suite, baseline)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{words}*"])
