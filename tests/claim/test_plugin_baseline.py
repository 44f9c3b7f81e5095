"""A saved report as the baseline: did this change break what held before?"""

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
    run_again(suite, baseline, "--decouple-fail-on=gone").assert_outcomes(xfailed=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--decouple-baseline=none.json"], "*baseline: none.json is no report*"),
        (["--decouple-fail-on=doom"], "*--decouple-fail-on must name outcomes of broken, weak*"),
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
