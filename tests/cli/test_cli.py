"""The command line: what it prints, what it changes, how it exits."""

import dataclasses
import json
import subprocess
import sys

import pytest

from decouple.claim.ledger import read_ledger
from decouple.claim.record import Provenance, Record, Setting
from decouple.claim.report import write_report
from decouple.cli import main

RECORD = Record(
    claim="routing_collapse/some-claim",
    tier="smoke",
    kind="shape",
    statement="A finding.",
    source={"section": "Summary", "figure": "0.9", "tables": []},
    band={"kind": "at_least", "low": 0.5, "high": None, "words": "≥ 0.5", "because": "a half"},
    arms=["published"],
    note="",
    verdict="SUPPORTED",
    reason="0.9 over 3 seeds",
    estimate=0.9,
    interval=[0.8, 1.0],
    values={"0": 0.9, "1": 0.88, "2": 0.92},
    setting=Setting(preset="smoke", base_model="none", corpus="story", tokenizer="bpe"),
    provenance=Provenance(seeds=(0, 1, 2), device="cpu", code="abc"),
)
REFUTED = dataclasses.replace(
    RECORD, verdict="REFUTED", values={"0": 0.1, "1": 0.12, "2": 0.11}, estimate=0.11
)


@pytest.fixture
def report(tmp_path):
    def write(name, *records):
        folder = tmp_path / name
        return write_report(folder, records, root=tmp_path, wall_seconds=1.0, arguments=[])

    return write


def test_the_ledger_is_changed_only_when_told_to(tmp_path, report, capsys):
    options = ["--report", str(report("now", RECORD)), "--ledger", str(tmp_path / "ledger")]
    assert main(["ledger", *options]) == 1
    assert "1 change(s) proposed, none made" in capsys.readouterr().out
    assert not (tmp_path / "ledger").exists()

    assert main(["ledger", *options, "--write"]) == 0
    (written,) = read_ledger(tmp_path / "ledger")
    assert (written.claim, written.verdict) == (RECORD.claim, "SUPPORTED")
    assert main(["ledger", *options]) == 0


def test_only_the_claims_named_are_accepted(tmp_path, report):
    other = dataclasses.replace(RECORD, claim="routing_collapse/other")
    options = ["--report", str(report("now", RECORD, other)), "--ledger", str(tmp_path / "ledger")]
    assert main(["ledger", *options, "--only", other.claim, "--write"]) == 0
    assert [record.claim for record in read_ledger(tmp_path / "ledger")] == [other.claim]


def test_a_claim_is_withdrawn_with_a_reason_and_when_told_to(tmp_path, report, capsys):
    ledger = ["--ledger", str(tmp_path / "ledger")]
    main(["ledger", "--report", str(report("now", RECORD)), *ledger, "--write"])
    withdraw = ["ledger", *ledger, "--withdraw", RECORD.claim]
    assert main([*withdraw, "--write"]) == 2
    assert "--withdraw needs --why" in capsys.readouterr().err
    assert main([*withdraw, "--why", "a slip"]) == 1
    assert read_ledger(tmp_path / "ledger") != []
    assert main([*withdraw, "--why", "a slip", "--write"]) == 0
    assert read_ledger(tmp_path / "ledger") == []
    assert main([*withdraw, "--why", "a slip", "--write"]) == 2
    assert "--withdraw names no claim on record" in capsys.readouterr().err


def test_a_claim_that_is_not_proposed_cannot_be_accepted(tmp_path, report, capsys):
    options = ["--report", str(report("now", RECORD)), "--ledger", str(tmp_path / "ledger")]
    assert main(["ledger", *options, "--only", "routing_collapse/typo", "--write"]) == 2
    assert "routing_collapse/typo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "fail_on", "status"),
    [
        (RECORD, REFUTED, "broken", 1),
        (RECORD, REFUTED, "weakened", 0),
        (REFUTED, RECORD, "broken", 0),
        (REFUTED, RECORD, "repaired", 1),
        (RECORD, RECORD, "broken,weakened", 0),
    ],
)
def test_compare_fails_on_what_was_chosen(report, before, after, fail_on, status):
    paths = [str(report("before", before)), str(report("after", after))]
    assert main(["compare", *paths, "--fail-on", fail_on]) == status


def test_compare_says_what_broke_and_by_how_much(report, capsys):
    main(["compare", str(report("before", RECORD)), str(report("after", REFUTED))])
    said = capsys.readouterr().out
    assert (
        "broken: routing_collapse/some-claim [smoke] SUPPORTED → REFUTED, difference -0.79" in said
    )


def test_a_missing_baseline_is_an_error_and_no_pass(tmp_path, report, capsys):
    assert main(["compare", str(tmp_path / "none.json"), str(report("after", RECORD))]) == 2
    assert "none.json is no report" in capsys.readouterr().err


def test_an_unknown_outcome_lists_those_there_are(report, capsys):
    path = str(report("now", RECORD))
    assert main(["compare", path, path, "--fail-on", "catastrophe"]) == 2
    assert "broken, weakened, held" in capsys.readouterr().err


def test_the_report_is_rendered_again(report):
    path = report("now", RECORD)
    assert main(["report", str(path)]) == 0
    assert "SUPPORTED" in path.with_suffix(".md").read_text(encoding="utf-8")
    page = path.with_suffix(".html").read_text(encoding="utf-8")
    assert "claim-routing_collapse-some-claim" in page


def test_a_report_that_is_none_is_refused(tmp_path, capsys):
    path = tmp_path / "claims.json"
    path.write_text(json.dumps({"format": 99, "records": []}))
    assert main(["report", str(path)]) == 2
    assert "format must be 1, got 99" in capsys.readouterr().err


def test_the_command_is_installed_and_explains_itself():
    said = subprocess.run(
        [sys.executable, "-c", "from decouple.cli import main; main(['--help'])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for command in ("ledger", "store", "compare", "report", "rehearse", "run"):
        assert command in said
