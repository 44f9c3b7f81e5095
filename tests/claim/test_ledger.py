import json
import re
from dataclasses import replace

import pytest

from decouple.claim.compare import Outcome
from decouple.claim.ledger import LedgerError, propose, read_ledger, write_ledger


def accept(folder, ledger, measured):
    write_ledger(folder, ledger, propose(ledger, measured))
    return read_ledger(folder)


def test_a_ledger_survives_the_disk(tmp_path, record_of):
    records = [
        record_of(claim="other/first"),
        record_of("REFUTED", claim="toy/fails"),
        record_of(tier="gpu"),
        record_of(),
    ]
    kept = accept(tmp_path / "ledger", [], records)
    assert sorted(path.name for path in (tmp_path / "ledger").glob("*.json")) == [
        "other.json",
        "toy.json",
    ]
    # The command is the reader's to make; all else is kept.
    key = lambda record: record.key  # noqa: E731
    assert sorted(kept, key=key) == sorted((replace(r, command="") for r in records), key=key)
    assert propose(kept, records) == [], "nothing has changed"


def test_writing_again_changes_no_byte(tmp_path, record_of):
    accept(tmp_path, [], [record_of(), record_of(claim="toy/another")])
    before = (tmp_path / "toy.json").read_bytes()
    write_ledger(tmp_path, read_ledger(tmp_path), [])
    assert (tmp_path / "toy.json").read_bytes() == before


def test_no_folder_is_an_empty_ledger(tmp_path):
    assert read_ledger(tmp_path / "none") == []


def test_a_proposal_names_what_would_change_and_changes_nothing(tmp_path, record_of):
    ledger = accept(
        tmp_path, [], [record_of(), record_of(claim="toy/same"), record_of(claim="toy/unseen")]
    )
    before = (tmp_path / "toy.json").read_bytes()
    measured = [
        record_of("REFUTED", estimate=0.2),
        record_of(claim="toy/same"),
        record_of(claim="toy/fresh"),
        record_of("ERROR", claim="toy/broke"),
        record_of("UNRUN", claim="toy/waits"),
    ]
    proposals = propose(ledger, measured)
    assert [(p.key[0], p.outcome) for p in proposals] == [
        ("toy/fresh", Outcome.NEW),
        ("toy/holds", Outcome.BROKEN),
    ]
    assert (tmp_path / "toy.json").read_bytes() == before
    assert read_ledger(tmp_path) == ledger


def test_accepting_one_proposal_leaves_the_others(tmp_path, record_of):
    ledger = accept(tmp_path, [], [record_of(), record_of(claim="toy/other")])
    proposals = propose(ledger, [record_of("REFUTED"), record_of("REFUTED", claim="toy/other")])
    write_ledger(tmp_path, ledger, proposals[:1])
    verdicts = {record.claim: record.verdict for record in read_ledger(tmp_path)}
    assert verdicts == {"toy/holds": "REFUTED", "toy/other": "SUPPORTED"}


def test_an_error_on_a_recorded_claim_is_never_proposed(record_of):
    assert propose([record_of()], [record_of("ERROR"), record_of("UNRUN", tier="gpu")]) == []


def test_the_last_bits_of_a_cpu_are_no_news_and_a_digit_is(record_of):
    record = record_of(estimate=0.9, interval=[0.85, 0.95], values={"0": 0.9})
    nearly = replace(record, estimate=0.9 + 1e-12, values={"0": 0.9 + 1e-12})
    assert propose([record], [nearly]) == []
    assert len(propose([record], [replace(record, estimate=0.9001)])) == 1
    assert len(propose([record], [replace(record, reason="another")])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"format": 1}',
        '{"format": 2, "records": []}',
        '{"format": 1, "records": [3]}',
        '{"format": 1, "records": ["toy"]}',
        '{"format": 1, "records": [{"claim": "toy/holds"}]}',
        '{"format": 1, "records": null}',
    ],
)
def test_a_damaged_ledger_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "toy.json").write_text(text)
    with pytest.raises(LedgerError, match=r"^toy\.json: "):
        read_ledger(tmp_path)


def test_a_verdict_that_is_none_is_refused(tmp_path, record_of):
    accept(tmp_path, [], [record_of()])
    data = json.loads((tmp_path / "toy.json").read_text())
    data["records"][0]["verdict"] = "FINE"
    (tmp_path / "toy.json").write_text(json.dumps(data))
    with pytest.raises(LedgerError, match=r"toy.json: record of 'toy/holds': 'FINE'"):
        read_ledger(tmp_path)


def test_the_ledger_is_read_by_people(tmp_path, record_of):
    accept(tmp_path, [], [record_of(reason="≥ 0.8 – held")])
    text = (tmp_path / "toy.json").read_text(encoding="utf-8")
    assert "≥ 0.8 – held" in text
    assert text.endswith("\n")
    assert re.search(r'^ +"verdict": "SUPPORTED",$', text, re.MULTILINE)
