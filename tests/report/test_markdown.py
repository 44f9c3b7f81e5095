import json
from dataclasses import replace

import pytest

from decouple.claim.record import Provenance, Record, Setting
from decouple.claim.report import ReportError, write_report
from decouple.report.markdown import render_markdown


def record_of(claim="toy/holds", tier="smoke", verdict="SUPPORTED", **parts):
    parts = {
        "kind": "shape",
        "statement": "The share ends high.",
        "source": {"section": "Results", "figure": "0.93", "tables": []},
        "band": {"kind": "at_least", "low": 0.8, "high": None, "words": "≥ 0.8", "because": "half"},
        "arms": ["published"],
        "note": "",
        "reason": "0.9 [0.85, 0.95] over 5 seeds",
        "estimate": 0.912345,
        "interval": [0.85, 0.95],
        "margin": 0.1,
        "detectable": 0.03,
        "setting": Setting(preset="small", base_model="none", corpus="text", tokenizer="letters"),
        "provenance": Provenance(seeds=(0, 1, 2), calibration=(1000,), device="cpu", code="c0de"),
        "command": "pytest 'claims/test_toy.py::test_holds[smoke]'",
        **parts,
    }
    return Record(claim=claim, tier=tier, verdict=verdict, **parts)


CONTROL = {
    "arms": "balanced",
    "why": "nothing pulls",
    "verdict": "REFUTED",
    "sentence": "0.2 over 5 seeds",
    "separation": {"margin": 0.3, "verdict": "SUPPORTED", "sentence": "0.7 apart"},
}


@pytest.fixture
def render(tmp_path):
    def rendered(*records):
        path = write_report(tmp_path, records, root=tmp_path, wall_seconds=1.25, arguments=["x"])
        return render_markdown(path).read_text(encoding="utf-8")

    return rendered


def rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_all_that_belongs_to_a_claim_stands_in_the_report(render):
    text = render(record_of(controls=[CONTROL], note="true by construction"))
    for words in (
        "## toy",
        "### toy/holds",
        "The share ends high.",
        "- where: Results; published figure 0.93",
        "- kind: shape; true by construction",
        "- **smoke: SUPPORTED**: 0.9 \\[0.85, 0.95\\] over 5 seeds",
        "band: ≥ 0.8 (half); margin 0.1; smallest effect told 0.03",
        "control balanced: REFUTED, 0.2 over 5 seeds; separation: SUPPORTED, 0.7 apart",
        "preset small; none; text; letters; seeds 0, 1, 2 (calibrated on 1000); cpu; code c0de",
        "again: `pytest 'claims/test_toy.py::test_holds[smoke]'`",
        "SUPPORTED is wrong in at most 5%",
    ):
        assert words in text


def test_one_row_for_a_claim_with_a_column_for_each_tier(render):
    text = render(
        record_of(tier="published", verdict="CONSISTENT", setting=Setting(preset="document")),
        record_of(),
        record_of(claim="toy/fails", verdict="REFUTED", estimate=0.2, interval=[0.1, 0.3]),
        record_of(tier="gpu", verdict="UNRUN", estimate=None, interval=None, margin=None),
        record_of(claim="other/first"),
    )
    assert "| toy | smoke | 1 SUPPORTED, 1 REFUTED |" in rows(text)
    assert "| other | smoke | 1 SUPPORTED |" in rows(text)
    (holds,) = [row for row in rows(text) if row.startswith("| holds |")]
    cells = [cell.strip() for cell in holds.strip("|").split("|")]
    assert cells == [
        "holds",
        "0.93",
        "CONSISTENT 0.9123 [0.85, 0.95]",
        "SUPPORTED 0.9123 [0.85, 0.95]",
        "UNRUN –",
    ]
    (fails,) = [row for row in rows(text) if row.startswith("| fails |")]
    assert fails.count("–") == 2


def test_tables_are_whole(render):
    text = render(record_of(), record_of(claim="toy/fails"), record_of(claim="other/first"))
    table = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
        elif table:
            assert len({row.count("|") for row in table}) == 1
            assert set(table[1]) <= set("|- "), "the second row makes it a table"
            assert len(table) > 2
            table = []


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("a <b>bold</b> | *claim*", r"a \<b\>bold\</b\> \| \*claim\*"),
        ("# no heading", r"\# no heading"),
        ("- no list", r"\- no list"),
        ("1. no list", r"1\. no list"),
        ("~~~ no fence", r"\~\~\~ no fence"),
        ("two\n\nlines", "two lines"),
        ("[no](link) `code` a_b_c $x$ &amp;", r"\[no\](link) \`code\` a\_b\_c \$x\$ \&amp;"),
        ("---", r"\---"),
        ("0.935 of all", "0.935 of all"),
        ("-0.1228 at first", "-0.1228 at first"),
        ("back\\slash", r"back\\slash"),
    ],
)
def test_markup_in_a_statement_is_text(render, statement, shown):
    text = render(record_of(statement=statement, controls=[{**CONTROL, "why": statement}]))
    assert shown in text.splitlines()
    assert text.count("\n## ") == 1
    assert "<b>" not in text


def test_rendering_again_changes_nothing(render, tmp_path):
    before = render(record_of())
    render_markdown(tmp_path / "claims.json")
    assert (tmp_path / "claims.md").read_text(encoding="utf-8") == before


def test_a_failed_claim_with_numbers_that_are_none_is_rendered(render):
    record = record_of(verdict="ERROR", estimate=None, interval=None, margin=None, detectable=None)
    text = render(replace(record, values={"0": float("nan")}))
    assert "**smoke: ERROR**" in text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 9, "records": []}', "null"])
def test_what_is_no_report_is_refused(tmp_path, text):
    path = tmp_path / "claims.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=r"claims\.json is no report: "):
        render_markdown(path)
    assert not (tmp_path / "claims.md").exists()


def test_the_report_is_plain_json(tmp_path):
    path = write_report(tmp_path, [record_of()], root=tmp_path, wall_seconds=1.239, arguments=["x"])
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["wall_seconds"] == 1.24
    assert data["arguments"] == ["x"]
    assert data["counts"] == {"toy": {"smoke": {"SUPPORTED": 1}}}
    assert data["machine"]["cores"]
    assert data["revision"] == "unknown"
