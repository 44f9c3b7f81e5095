"""A page of what is left: stores, tables, ledgers and reports that are damaged or gone."""

import json
import re
import shutil
from hashlib import sha256

import pytest

from decouple.report.page import render_failure


def test_a_store_that_is_gone_is_said_and_the_claims_are_there_all_the_same(project, rendered):
    shutil.rmtree(project / "reports" / "store")
    page = rendered()
    assert any("seed-0000" in text for text in page.alerts)
    assert any("so there are no trajectories" in text for text in page.alerts)
    assert page.all("svg", **{"class": "plot"}) == []
    assert page.row("long_run/finding-0", "smoke")


def test_a_damaged_run_is_left_out_and_named(project, rendered, without_figures):
    store = project / "reports" / "store"
    (entry,) = store.glob("routing_collapse/smoke/published/seed-0001-*")
    (entry / "evidence.csv").write_text("nonsense")
    page = rendered()
    (said,) = page.alerts
    assert said.startswith("smoke, published: seed-0001-")
    assert "does not have the recorded sha256" in said
    assert "24 stored runs were judged; 23 of them are drawn below" in page.by_id("run").text


def test_a_run_that_was_made_again_is_not_the_one_that_was_judged(
    project, rendered, without_figures
):
    path = project / "reports" / "claims.json"
    text = re.sub(r'(seed-0002-[0-9a-f]+": ")[0-9a-f]{64}', rf"\g<1>{'0' * 64}", path.read_text())
    path.write_text(text)
    assert sum("not the run that was judged" in said for said in rendered().alerts) == 8


def test_a_report_of_an_older_session_gives_a_page_that_says_what_is_missing(project, rendered):
    path = project / "reports" / "claims.json"
    data = json.loads(path.read_text())
    for gone in ("fixtures", "evidence", "predicates"):
        del data[gone]
    path.write_text(json.dumps(data))
    page = rendered()
    said = " ".join(page.alerts + page.absent)
    assert "the report does not say where they lie" in said
    assert "No stored run of this document was read" in said
    assert "The report does not hold the predicate" in said
    assert "The ledger is not where the report says" in said
    assert "The report names no stored runs." in page.by_id("run").text


def test_a_ledger_or_a_table_that_cannot_be_read_is_said(project, rendered, without_figures):
    (project / "fixtures" / "ledger" / "long_run.json").write_text("{}")
    (project / "fixtures" / "published" / "long_run" / "dark_matter.csv").write_text("metric\n")
    said = " ".join(rendered().alerts)
    assert "The ledger could not be read: long_run.json" in said
    assert "The document's own figures could not be read" in said


def test_a_figure_that_fails_is_a_sentence_and_in_a_test_an_error(project, rendered, monkeypatch):
    def fail(*_):
        raise RuntimeError("no <ink>")

    monkeypatch.setattr("decouple.report.illustrate.lines", fail)
    with pytest.raises(RuntimeError, match="no <ink>"):
        rendered()
    said = rendered(strict=False).absent
    assert "Router entropy by layer and cycle: could not be drawn (RuntimeError: no <ink>)." in said


def test_a_document_without_declared_figures_has_its_claims(project, rendered, without_figures):
    path = project / "reports" / "claims.json"
    path.write_text(path.read_text().replace("long_run", "another"))
    page = rendered()
    assert "No figures are declared for this document." in page.alerts
    assert page.by_id("claim-another-finding-0")


def test_a_report_without_records_is_a_page(project, rendered):
    path = project / "reports" / "claims.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "records": [], "counts": {}}))
    assert (
        "0 verdicts on 0 documents" in rendered().by_id("claims").text + rendered().all("p")[0].text
    )


def test_where_no_page_could_be_made_there_is_one_that_says_so(project, parse):
    path = render_failure(project / "reports" / "claims.json", ValueError("<script>"))
    assert path.name == "claims.html"
    page = parse(path.read_text())
    assert "ValueError: <script>" in page.all("body")[0].text
    assert page.all("script") == []


@pytest.fixture
def change(project):
    """Changes the JSON of the copy: `change(lambda data: ...)`."""

    def changed(how):
        path = project / "reports" / "claims.json"
        data = json.loads(path.read_text())
        how(data)
        path.write_text(json.dumps(data))

    return changed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("made", "yesterday"), ("machine", 3), ("wall_seconds", "long"), ("arguments", None),
        ("evidence", 3), ("evidence", [{"store": "s", "runs": {"a/b": 3}}]), ("fixtures", []),
        ("predicates", {"long_run/finding-0": "x"}),
    ],
)  # fmt: skip
def test_a_part_of_the_header_that_makes_no_sense_is_left_out_and_said(
    change, rendered, without_figures, name, value
):
    change(lambda data: data.update({name: value}))
    page = rendered()
    assert f"The report's {name} cannot be read and is left out." in page.alerts
    assert len([row for row in page.all("tr", role="row") if row["data-claim"]]) == 28


def test_a_header_with_nothing_in_it_is_enough(change, rendered):
    def strip(data):
        for name in data.keys() - {"format", "records"}:
            del data[name]

    change(strip)
    page = rendered()
    assert "28 verdicts on 4 documents, at revision –" in page.all("p")[0].text
    assert "14" not in page.by_id("run").text.split("all")[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("band", {"words": "all"}, "KeyError: 'because'"),
        ("source", {"section": "S", "tables": [], "figure": "much"}, "ValueError: text must be a"),
        ("interval", [1.0], "ValueError: interval must have two ends, got [1.0]"),
        ("estimate", "high", "ValueError"),
        ("controls", [{"arms": "a"}], "KeyError: 'why'"),
        ("tier", "dream", "ValueError: tier must be one of"),
        ("claim", "long_run", "ValueError: claim must be document/name, got 'long_run'"),
        ("statement", None, "TypeError: expected a text, got None"),
    ],
)
def test_a_record_that_is_damaged_is_named_and_the_others_are_shown(
    change, rendered, without_figures, name, value, said
):
    change(lambda data: data["records"][3].update({name: value}))
    page = rendered()
    (alert,) = page.alerts
    assert alert.startswith("Record 4, ")
    assert said in alert
    assert "27 verdicts" in page.all("p")[0].text


def test_what_json_cannot_hold_is_no_damage(change, rendered, without_figures):
    change(lambda data: data["records"][1].update(estimate="nan", interval=["-inf", "inf"]))
    page = rendered()
    assert page.alerts == []
    assert "[-inf, inf]" in page.by_id("claims").text


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ("", "No columns to parse"),
        ("arm,seed\npublished,0\n", "step"),
        ("document,arm,seed,step,metric,value\nlong_run,published,0,0,loss,many\n", "many"),
    ],
)
def test_a_table_that_is_none_is_named(project, rendered, without_figures, evidence, said):
    (entry,) = (project / "reports" / "store").glob("long_run/smoke/published/seed-0001-*")
    forge(project, entry, evidence)
    (alert,) = rendered().alerts
    assert alert.startswith("smoke, published: seed-0001-")
    assert said in alert


@pytest.mark.parametrize("name", ["manifest.json", "evidence.csv"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\x00", b"[1, 2"])
def test_files_that_are_gone_or_torn_are_named(project, rendered, without_figures, name, content):
    (entry,) = (project / "reports" / "store").glob("long_run/smoke/published/seed-0001-*")
    (entry / name).unlink()
    if content is not None:
        (entry / name).write_bytes(content)
    (alert,) = rendered().alerts
    assert alert.startswith("smoke, published: seed-0001-")


def forge(project, entry, evidence):
    """Another table in the place of a run's, with all sums right."""
    (entry / "evidence.csv").write_text(evidence)
    manifest = json.loads((entry / "manifest.json").read_text())
    before, manifest["sha256"] = manifest["sha256"], sha256(evidence.encode()).hexdigest()
    (entry / "manifest.json").write_text(json.dumps(manifest))
    report = project / "reports" / "claims.json"
    report.write_text(report.read_text().replace(before, manifest["sha256"]))
