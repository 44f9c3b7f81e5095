from datetime import date

import pytest

from decouple.claim.history import HistoryError, read_history
from decouple.claim.ledger import propose, read_ledger, write_ledger
from decouple.claim.record import Provenance

FIRST, SECOND = date(2026, 1, 2), date(2026, 3, 4)
WIDER = {"kind": "at_least", "low": 0.3, "high": None, "words": "≥ 0.3", "because": "h"}


def accept(folder, *records, on=FIRST, why=""):
    ledger = read_ledger(folder)
    write_ledger(folder, ledger, propose(ledger, records), on=on, why=why)


def past(folder, record):
    return [(row.accepted, row.verdict) for row in read_history(folder).get(record.key, [])]


def test_what_stood_on_record_before_stays_to_be_seen(tmp_path, record_of):
    accept(tmp_path, record_of(), record_of(claim="toy/other"))
    accept(tmp_path, record_of("REFUTED", estimate=0.1), on=SECOND, why="it was\nthe leak")
    rows = read_history(tmp_path)[record_of().key]
    assert past(tmp_path, record_of()) == [("2026-01-02", "SUPPORTED"), ("2026-03-04", "REFUTED")]
    assert str(rows[0]) == "2026-01-02 SUPPORTED 0.9 [0.85, 0.95] over 5 seeds, band ≥ 0.8"
    assert str(rows[1]).endswith("band ≥ 0.8 (it was the leak)")
    assert past(tmp_path, record_of(claim="toy/other")) == [("2026-01-02", "SUPPORTED")]


def test_other_code_with_the_same_reading_is_no_news_and_another_band_is(tmp_path, record_of):
    def coded(code, **parts):
        return record_of(provenance=Provenance(seeds=(0, 1, 2, 3, 4), code=code), **parts)

    accept(tmp_path, coded("aa"))
    accept(tmp_path, coded("bb"), on=SECOND)
    assert [record.provenance.code for record in read_ledger(tmp_path)] == ["bb"]
    assert past(tmp_path, record_of()) == [("2026-01-02", "SUPPORTED")]
    accept(tmp_path, coded("bb", band=WIDER), on=SECOND)
    assert [row.band for row in read_history(tmp_path)[record_of().key]] == ["≥ 0.8", "≥ 0.3"]


def test_another_control_is_news(tmp_path, record_of):
    def controlled(**parts):
        return record_of(controls=[{"arms": "balanced", "verdict": "REFUTED", **parts}])

    accept(tmp_path, controlled())
    accept(tmp_path, controlled(separates_by=0.1), on=SECOND, why="the old one was vacuous")
    accept(tmp_path, controlled(separates_by=0.1, margin=3.0), on=SECOND)
    rows = read_history(tmp_path)[record_of().key]
    assert [row.controls for row in rows] == ["balanced", "balanced (by 0.1)"]
    assert rows[-1].why == "the old one was vacuous"


def test_what_is_withdrawn_stays_in_the_history(tmp_path, record_of):
    accept(tmp_path, record_of(), record_of(claim="toy/other"))
    write_ledger(
        tmp_path, read_ledger(tmp_path), [], withdrawn=["toy/holds"], on=SECOND, why="no such thing"
    )
    assert [record.claim for record in read_ledger(tmp_path)] == ["toy/other"]
    rows = read_history(tmp_path)[record_of().key]
    assert [str(row) for row in rows[1:]] == ["2026-03-04 WITHDRAWN (no such thing)"]
    write_ledger(tmp_path, read_ledger(tmp_path), [], withdrawn=["toy/other"], on=SECOND, why="w")
    assert read_ledger(tmp_path) == [], "the last one too"


def test_a_reading_that_comes_back_is_an_entry_again(tmp_path, record_of):
    for verdict in ("SUPPORTED", "INCONCLUSIVE", "SUPPORTED"):
        accept(tmp_path, record_of(verdict))
    verdicts = [verdict for _, verdict in past(tmp_path, record_of())]
    assert verdicts == ["SUPPORTED", "INCONCLUSIVE", "SUPPORTED"]


def test_a_write_that_was_cut_short_can_be_done_again(tmp_path, record_of):
    accept(tmp_path, record_of())
    (tmp_path / "toy.json").unlink()  # as if the machine had stopped after the history was written
    accept(tmp_path, record_of(), on=SECOND)
    assert past(tmp_path, record_of()) == [("2026-01-02", "SUPPORTED")]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.replace("accepted,", "when,", 1), "columns must be accepted, claim"),
        (lambda text: text + "2026-01-02,toy/holds\n", "a row does not fit its columns"),
        (lambda text: text.replace("2026-01-02", "yesterday"), "yesterday"),
        (lambda text: text + '"', "unexpected end of data"),
    ],
)
def test_a_damaged_history_is_an_error_and_nothing_is_written_over_it(
    tmp_path, record_of, damage, words
):
    accept(tmp_path, record_of())
    file = tmp_path / "history" / "toy.csv"
    file.write_text(damage(file.read_text()))
    before = file.read_bytes(), (tmp_path / "toy.json").read_bytes()
    with pytest.raises(HistoryError, match=f"history/toy.csv: .*{words}"):
        accept(tmp_path, record_of("REFUTED"))
    assert (file.read_bytes(), (tmp_path / "toy.json").read_bytes()) == before


def test_no_history_is_an_empty_one(tmp_path):
    assert read_history(tmp_path / "none") == {}
