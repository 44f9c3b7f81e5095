import json
from dataclasses import replace

from decouple.claim.record import Provenance
from decouple.claim.report import count_by_tier, read_report, summary_lines, write_report


def test_a_report_is_read_back_sorted_by_document_and_tier(tmp_path, record_of):
    records = [
        record_of(claim="toy/second"),
        record_of(claim="toy/first", tier="gpu"),
        record_of("CONSISTENT", claim="toy/second", tier="published"),
        record_of(claim="other/third"),
    ]
    path = write_report(
        tmp_path / "out", records, root=tmp_path, wall_seconds=2.0, arguments=["-m", "smoke"]
    )
    assert path == tmp_path / "out" / "claims.json"
    report = read_report(path)
    assert report.records == [records[3], records[2], records[0], records[1]]
    assert report.header["arguments"] == ["-m", "smoke"]
    assert "records" not in report.header
    assert report.header["counts"] == count_by_tier(records)


def test_a_report_holds_plain_json_even_of_numbers_that_are_none(tmp_path, record_of):
    record = record_of("ERROR", values={"0": float("nan")})
    path = write_report(tmp_path, [record], root=tmp_path, wall_seconds=0, arguments=[])

    def refuse(name):
        raise AssertionError(name)

    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read_report(path).records[0].values["0"] != 0


def test_counts_are_by_document_and_tier(record_of):
    records = [
        record_of(),
        record_of("REFUTED", claim="toy/fails"),
        record_of("CONSISTENT", tier="published"),
        record_of(claim="toy_two/holds"),
    ]
    assert count_by_tier(records) == {
        "toy": {"published": {"CONSISTENT": 1}, "smoke": {"SUPPORTED": 1, "REFUTED": 1}},
        "toy_two": {"smoke": {"SUPPORTED": 1}},
    }


def test_the_summary_has_a_line_for_each_claim_that_does_not_hold(record_of):
    fails = record_of("REFUTED", claim="toy/fails", reason="0.2, must be ≥ 0.8")
    noted = replace(record_of(), provenance=Provenance(labels=("stale: made by other code",)))
    lines = summary_lines([(noted, "pass"), (fails, "expected failure")])
    assert lines[:4] == [
        "             note: stale: made by other code",
        "REFUTED      toy/fails [smoke] (expected failure)",
        "             0.2, must be ≥ 0.8",
        "             note: a note",
    ]
    assert lines[4] == "toy [smoke]: 1 SUPPORTED, 1 REFUTED"
    assert "toy/holds" not in "\n".join(lines)
    assert "at most 5%" in lines[5]
