import json
import xml.etree.ElementTree as ET

import pytest

from decouple.claim.compare import compare
from decouple.claim.ledger import read_ledger, write_ledger
from decouple.claim.record import Record
from decouple.claim.report import read_report
from decouple.claim.store import Store, read_entry

SMOKE = ["holds", "fails", "wavers", "empty", "nameless", "crash", "figure"]


def record_as(suite, name, verdict):
    """Put into the ledger what a run measures for a claim, under the verdict given."""
    suite.run("-m", "smoke", "-k", name)
    measured = suite.records()[f"toy/{name}", "smoke"].as_dict()
    record = Record.from_dict({**measured, "verdict": verdict})
    write_ledger(suite.ledger, [], compare([], [record]))


def test_a_claim_is_one_item_for_each_tier_named_and_marked_by_it(suite):
    result = suite.run("--co", "-q", "-k", "holds or disputed")
    assert [line for line in result.outlines if "::" in line] == [
        "claims/test_toy.py::test_holds[published]",
        "claims/test_toy.py::test_holds[smoke]",
        "claims/test_toy.py::test_holds[gpu]",
        "claims/test_toy.py::test_disputed[published]",
        "claims/test_toy.py::test_disputed[gpu]",
    ]
    result = suite.run("--co", "-q", "-m", "smoke")
    assert [line for line in result.outlines if "::" in line] == [
        f"claims/test_toy.py::test_{name}[smoke]" for name in SMOKE
    ]
    assert suite.toy.trainings() == []
    assert not (suite.path / "reports").exists()
    result = suite.run("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.published: *", "@pytest.mark.smoke: *"])


def test_a_claim_is_selected_by_its_id(suite):
    result = suite.run("-m", "smoke", "-k", "toy/holds", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_holds[[]smoke[]] PASSED*"])


@pytest.mark.parametrize(
    ("name", "verdict", "outcome"),
    [
        ("holds", "SUPPORTED", {"passed": 1}),
        ("fails", "REFUTED", {"failed": 1}),
        ("wavers", "INCONCLUSIVE", {"failed": 1}),
        ("empty", "VACUOUS", {"failed": 1}),
        ("nameless", "ERROR", {"failed": 1}),
        ("crash", "ERROR", {"failed": 1}),
        ("figure", "UNRUN", {"skipped": 1}),
    ],
)
def test_without_a_ledger_the_plain_verdict_decides(suite, name, verdict, outcome):
    result = suite.run("-m", "smoke", "-k", name, "-ra")
    assert result.parseoutcomes().items() >= outcome.items()
    record = suite.records()[f"toy/{name}", "smoke"]
    assert record.verdict == verdict
    result.stdout.fnmatch_lines(["*= claims =*", f"toy [[]smoke[]]: 1 {verdict}"])
    assert result.ret == {"SUPPORTED": 0, "UNRUN": 5}.get(verdict, 1)
    if verdict != "SUPPORTED":
        result.stdout.fnmatch_lines([f"{verdict} *toy/{name} [[]smoke[]]*"])
    # A verdict is told in words, never as a traceback of the plugin.
    result.stdout.no_fnmatch_line("*ClaimFailedError*raise*")
    result.stdout.no_fnmatch_line("*in runtest*")


def test_a_failure_says_what_a_person_needs(suite):
    result = suite.run("-m", "smoke", "-k", "empty")
    result.stdout.fnmatch_lines(
        [
            "The share ends high, as it does anyway.",
            "VACUOUS: holds on control high too: 0.9* [[]*[]] over 5 seeds, must be ≥ 0.8*",
            "band:     ≥ 0.8 (half of the published change)",
            "seeds:    0: *, 1: *, 2: *, 3: *, 4: *",
            "control:  high: SUPPORTED, *",
            "again:    pytest 'claims/test_toy.py::test_empty[[]smoke[]]'",
        ]
    )


@pytest.mark.parametrize(
    ("name", "tier", "verdict", "passed"),
    [("holds", "published", "CONSISTENT", 1), ("disputed", "published", "CONTRADICTED", 0)],
)
def test_published_tables_are_judged_without_training(suite, name, tier, verdict, passed):
    result = suite.run("-m", tier, "-k", name)
    result.assert_outcomes(passed=passed, failed=1 - passed)
    assert suite.records()[f"toy/{name}", tier].verdict == verdict
    assert suite.toy.trainings() == []


@pytest.mark.parametrize(
    ("name", "recorded", "outcome", "strict_outcome"),
    [
        # agrees: green, a recorded failure as an expected one
        ("holds", "SUPPORTED", "passed", "passed"),
        ("fails", "REFUTED", "xfailed", "xfailed"),
        ("wavers", "INCONCLUSIVE", "xfailed", "xfailed"),
        ("empty", "VACUOUS", "xfailed", "xfailed"),
        # flips: red, both ways, and from one kind of failure to another
        ("fails", "SUPPORTED", "failed", "failed"),
        ("holds", "REFUTED", "failed", "failed"),
        ("holds", "VACUOUS", "failed", "failed"),
        ("empty", "REFUTED", "failed", "failed"),
        ("empty", "SUPPORTED", "failed", "failed"),
        # doubts: their own category, red only under strict
        ("wavers", "SUPPORTED", "weakened", "failed"),
        ("wavers", "REFUTED", "weakened", "failed"),
        ("holds", "INCONCLUSIVE", "passed", "passed"),
        # an error is never expected, not even one of record
        ("nameless", "SUPPORTED", "failed", "failed"),
        ("nameless", "ERROR", "failed", "failed"),
        ("crash", "ERROR", "failed", "failed"),
        # not judged says nothing against the record
        ("figure", "SUPPORTED", "skipped", "failed"),
    ],
)
def test_the_ledger_decides_what_a_verdict_means(suite, name, recorded, outcome, strict_outcome):
    record_as(suite, name, recorded)
    for options, expected in (((), outcome), (("--decouple-strict",), strict_outcome)):
        result = suite.run("-m", "smoke", "-k", name, *options)
        counted = {k: n for k, n in result.parseoutcomes().items() if k != "deselected"}
        assert counted == {expected: 1}
        assert (result.ret == 0) == (expected in ("passed", "xfailed", "weakened"))
    result = suite.run("-m", "smoke", "-k", name, "--decouple-no-ledger")
    assert "weakened" not in result.parseoutcomes()
    assert result.ret == {"holds": 0, "figure": 5}.get(name, 1)


def test_runxfail_does_not_turn_a_recorded_failure_green(suite):
    record_as(suite, "fails", "REFUTED")
    result = suite.run("-m", "smoke", "-k", "fails", "--runxfail")
    result.assert_outcomes(failed=1)
    record_as(suite, "wavers", "SUPPORTED")
    result = suite.run("-m", "smoke", "-k", "wavers", "--runxfail")
    result.assert_outcomes(failed=1)


def test_a_broken_ledger_is_a_usage_error_that_names_the_file(suite):
    suite.ledger.mkdir()
    (suite.ledger / "toy.json").write_text('{"format": 1}')
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ledger or baseline: toy.json: *records*"])


def test_gpu_claims_skip_with_a_reason_where_there_is_no_gpu(suite):
    result = suite.run("-m", "gpu", "-k", "holds or fails", "-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*preset 'large' needs a CUDA GPU, and there is none here"])
    assert suite.toy.trainings() == []
    assert result.ret != 0, "nothing was judged"
    result = suite.run("-m", "gpu or smoke", "-k", "holds")
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == 0
    result = suite.run("-m", "gpu or smoke", "-k", "holds", "--decouple-strict")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["not judged: preset 'large' needs a CUDA GPU*"])


def test_a_figure_of_the_document_is_judged_on_its_own_text_only(suite):
    result = suite.run("-m", "smoke", "-k", "figure", "-rs")
    result.stdout.fnmatch_lines(["SKIPPED*a figure of the document's own data*"])
    result = suite.run("-m", "smoke", "-k", "figure", "--decouple-preset", "smoke=own")
    result.assert_outcomes(passed=1)
    assert suite.records()["toy/figure", "smoke"].setting.preset == "own"


def test_stop_at_first_failure_and_last_failed(suite):
    result = suite.run("-m", "smoke", "-x")
    result.assert_outcomes(passed=1, failed=1)
    assert suite.records().keys() == {("toy/holds", "smoke"), ("toy/fails", "smoke")}
    result = suite.run("-m", "smoke", "--lf")
    result.assert_outcomes(failed=1)


def test_junit_carries_claim_tier_and_verdict(suite):
    suite.run("-m", "smoke", "-k", "holds or fails", "--junitxml=junit.xml")
    cases = ET.parse(suite.path / "junit.xml").iter("testcase")
    properties = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in cases
    }
    assert properties["test_holds[smoke]"]["verdict"] == "SUPPORTED"
    assert properties["test_fails[smoke]"]["verdict"] == "REFUTED"
    assert properties["test_fails[smoke]"]["claim"] == "toy/fails"
    assert properties["test_fails[smoke]"]["tier"] == "smoke"
    assert "over 5 seeds" in properties["test_fails[smoke]"]["reason"]


@pytest.mark.parametrize(
    ("text", "seeds"), [("4", (0, 1, 2, 3)), ("0,3,7", (0, 3, 7)), ("12,", (12,))]
)
def test_seeds_are_a_number_or_a_list(suite, text, seeds):
    suite.run("-m", "smoke", "-k", "holds", f"--decouple-seeds={text}")
    record = suite.records()["toy/holds", "smoke"]
    assert record.provenance.seeds == seeds
    assert record.provenance.calibration == (1000, 1001)
    assert tuple(map(int, record.values)) == seeds
    assert record.command.endswith(f"--decouple-seeds={text}")
    assert record.verdict == ("SUPPORTED" if len(seeds) >= 3 else "INCONCLUSIVE")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--decouple-seeds=many", "--decouple-seeds must be a number of seeds *got 'many'"),
        ("--decouple-seeds=0", "--decouple-seeds must be *got '0'"),
        ("--decouple-seeds=-3", "--decouple-seeds must be *got '-3'"),
        ("--decouple-seeds=1,1", "--decouple-seeds must be *different seeds *got '1,1'"),
        ("--decouple-seeds=", "--decouple-seeds must be *got ''"),
        ("--decouple-preset=large", "--decouple-preset must read TIER=NAME *smoke, gpu, got *"),
        ("--decouple-preset=published=x", "--decouple-preset must read TIER=NAME*got *"),
        (
            "--decouple-corpus=none.txt",
            "--decouple-corpus must name an existing file or folder, got 'none.txt'",
        ),
        (
            "--decouple-tokenizer=none",
            "--decouple-tokenizer must name an existing file or folder, got 'none'",
        ),
        (
            "--decouple-reference=none",
            "--decouple-reference must name an existing file or folder, got 'none'",
        ),
    ],
)
def test_a_bad_option_is_a_usage_error_that_names_it(suite, option, words):
    result = suite.run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{words}*"])


def test_an_unknown_preset_is_an_error_that_lists_those_there_are(suite):
    result = suite.run("-m", "smoke", "-k", "holds", "--decouple-preset=smoke=tiny")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*preset must be one of small, large, *, got 'tiny'*"])


def test_a_corpus_of_the_users_own_is_named_in_the_record(suite):
    (suite.path / "novel.txt").write_text("Once.")
    suite.run("-m", "smoke", "-k", "holds", "--decouple-corpus=novel.txt")
    record = suite.records()["toy/holds", "smoke"]
    assert record.setting.corpus == "novel.txt"
    assert "--decouple-corpus=novel.txt" in record.command


def test_calibration_seeds_cannot_judge(suite):
    result = suite.run("-m", "smoke", "-k", "holds", "--decouple-preset=smoke=overlapping")
    result.assert_outcomes(failed=1)
    record = suite.records()["toy/holds", "smoke"]
    assert record.verdict == "ERROR"
    assert "seeds [3] calibrated this preset and cannot judge it" in record.reason


def test_the_report_is_json_with_markdown_beside_it(suite):
    suite.run("-m", "smoke or published", "--decouple-report=out")
    data = json.loads((suite.path / "out" / "claims.json").read_text())
    assert data["counts"]["toy"]["published"] == {"CONSISTENT": 1, "CONTRADICTED": 1}
    assert data["counts"]["toy"]["smoke"] == {
        "SUPPORTED": 1,
        "REFUTED": 1,
        "INCONCLUSIVE": 1,
        "VACUOUS": 1,
        "ERROR": 2,
        "UNRUN": 1,
    }
    text = (suite.path / "out" / "claims.md").read_text()
    assert r"The share ends \<b\>high\</b\> \| \*always\*." in text
    assert "again: `pytest 'claims/test_toy.py::test_holds[smoke]'" in text
    # The command that stands there does reproduce the claim.
    result = suite.pytester.runpytest_inprocess("claims/test_toy.py::test_holds[smoke]")
    result.assert_outcomes(passed=1)


def test_the_report_names_the_runs_it_was_judged_on_and_the_predicates(suite):
    suite.run("-m", "smoke or published", "-k", "holds or fails")
    header = read_report(suite.path / "reports" / "claims.json").header
    (store,) = header["evidence"]
    stored = Store(suite.toy.store_folder).entries()
    entries = {path.relative_to(suite.toy.store_folder) for path in stored}
    assert store["store"] == "store"
    assert set(store["runs"]) == {path.as_posix() for path in entries}
    for name, sha256 in store["runs"].items():
        assert read_entry(suite.toy.store_folder / name).manifest["sha256"] == sha256
    assert (suite.path / "reports" / header["fixtures"]).resolve() == suite.path / "fixtures"
    predicate = header["predicates"]["toy/holds"]
    assert predicate["file"] == "claims/test_toy.py"
    assert 'return run.cell("share", step="last")' in predicate["text"]
    page = (suite.path / "reports" / "claims.html").read_text(encoding="utf-8")
    assert 'id="claim-toy-holds"' in page
    assert "The share ends &lt;b&gt;high&lt;/b&gt;" in page


def test_a_report_can_be_left_out(suite):
    suite.run("-m", "smoke", "-k", "holds", "--decouple-report=")
    assert not list(suite.path.rglob("claims.json"))


def test_a_run_never_changes_the_ledger(suite):
    record_as(suite, "fails", "SUPPORTED")
    files = [path for path in suite.ledger.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    suite.run("-m", "smoke")
    assert {path: path.read_bytes() for path in suite.ledger.rglob("*") if path.is_file()} == before
    assert [record.verdict for record in read_ledger(suite.ledger)] == ["SUPPORTED"]


def test_an_experiment_that_cannot_be_imported_fails_its_own_claims_only(suite):
    (suite.path / suite.toy.package / "broken.py").write_text("import no_such_module_anywhere\n")
    text = (suite.path / "claims" / "test_toy.py").read_text()
    other = text.replace('"toy/', '"broken/')
    (suite.path / "claims" / "test_broken.py").write_text(other)
    result = suite.run("-m", "smoke", "-k", "holds")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*No module named 'no_such_module_anywhere'*"])


def test_two_claims_of_one_id_are_refused(suite):
    claims = suite.path / "claims" / "test_toy.py"
    text = claims.read_text()
    claims.write_text(text + "\ntest_again = test_holds\n")
    result = suite.run("-m", "smoke")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*claim id must be unique, got 'toy/holds' at *test_holds*again*"])


DIVERGED = """
from decouple.claim import at_least

test_diverged = claim(
    "toy/diverged",
    "A run that diverged ends high.",
    source=OURS,
    band=at_least(0.1, because="its rows so far would satisfy this"),
    smoke=True,
    arms=("diverging",),
    controls=[BALANCED],
)(share)

test_control_diverged = claim(
    "toy/control-diverged",
    "The share ends high; the control got nowhere.",
    source=OURS,
    band=BAND,
    smoke=True,
    controls=[control("diverging", why="its rows so far would refute")],
)(share)
"""


@pytest.mark.parametrize("name", ["diverged", "control-diverged"])
def test_a_diverged_run_is_an_error_whichever_side_it_is_on(suite, name):
    claims = suite.path / "claims" / "test_toy.py"
    claims.write_text(claims.read_text() + DIVERGED)
    suite.run("-m", "smoke", "-k", f"toy/{name}").assert_outcomes(failed=1)
    record = suite.records()[f"toy/{name}", "smoke"]
    assert record.verdict == "ERROR"
    assert "diverged at step 3" in record.reason


@pytest.mark.parametrize("mark", ["skip", "xfail(strict=False)"])
def test_a_mark_cannot_hide_a_verdict(suite, mark):
    claims = suite.path / "claims" / "test_toy.py"
    text = claims.read_text()
    claims.write_text(f"import pytest\npytestmark = pytest.mark.{mark}\n{text}")
    result = suite.run("-m", "smoke")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*a claim takes no mark '{mark.partition('(')[0]}'*"])


def test_a_session_that_only_set_up_is_not_green(suite):
    assert suite.run("-m", "smoke", "-k", "toy/holds", "--setup-only").ret == 5


def test_seeds_of_calibration_are_refused_for_judging(suite):
    suite.run("-m", "smoke", "-k", "toy/holds", "--decouple-seeds=1005,1006,1007")
    record = suite.records()["toy/holds", "smoke"]
    assert record.verdict == "ERROR"
    assert "judging seeds must be below 1000" in record.reason


def test_a_claim_that_was_redefined_no_longer_answers_to_its_record(suite):
    record_as(suite, "holds", "SUPPORTED")
    suite.run("-m", "smoke", "-k", "toy/holds").assert_outcomes(passed=1)
    claims = suite.path / "claims" / "test_toy.py"
    claims.write_text(claims.read_text().replace("at_least(0.8", "at_least(0.3"))
    result = suite.run("-m", "smoke", "-k", "toy/holds")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*band changed since it was recorded*"])
