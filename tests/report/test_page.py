import json
import re
import shutil

import pytest

from decouple.report.page import render_failure, render_page


def alerts(page):
    return [each.text for each in page.all("p", **{"class": "alert"})]


def absent(page):
    return [each.text for each in page.all("p", **{"class": "absent"})]


def row_of(page, claim, tier):
    (row,) = [
        row for row in page.all("tr", role="row")
        if row["data-claim"] == claim and row["data-tier-name"] == tier
    ]  # fmt: skip
    return row


def test_nothing_on_the_page_comes_from_elsewhere(page, made):
    text = (made / "reports" / "claims.html").read_text(encoding="utf-8")
    for element in page.elements:
        assert element.tag not in ("link", "img", "iframe", "object", "image")
        assert element["src"] is None
        assert (element["href"] or "#").startswith("#")
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")


def test_every_identifier_is_unique_and_every_reference_leads_somewhere(page):
    identifiers = [element["id"] for element in page.elements if element["id"]]
    assert len(identifiers) == len(set(identifiers))
    for element in page.elements:
        for name in ("href", "aria-labelledby", "aria-describedby", "clip-path"):
            for target in re.findall(r"[\w.-]+", (element[name] or "").removeprefix("url")):
                assert target in identifiers, f"{element.tag} {name}={element[name]}"


def test_what_was_run_stands_in_front(page):
    run = page.by_id("run").text
    for words in (
        "smoke",
        "0–2",
        "cpu",
        "letters",
        "pytest -m 'smoke or published'",
        "24 stored runs",
    ):
        assert words in run
    counts = page.all("table", **{"class": "counts"})[0].text
    assert "supported" in counts
    assert "Equilibrium-propagation plateau" in counts


def test_the_table_has_a_row_for_each_claim_and_tier(page, made_up):
    rows = [row for row in page.all("tr", role="row") if row["data-claim"]]
    records = made_up.records()
    assert sorted((row["data-claim"], row["data-tier-name"]) for row in rows) == sorted(
        (record.claim, record.tier) for record in records
    )
    supported = row_of(page, "long_run/finding-0", "smoke")
    for words in ("supported", "0.93", "[0.88, 0.98]", "≥ 0.8", "Finding 0 <i>ends</i> high"):
        assert words in supported.text
    assert "not measured" in row_of(page, "long_run/finding-5", "smoke").text
    inside, outside = (
        float(row_of(page, f"long_run/finding-{i}", "smoke")["data-place"]) for i in (0, 1)
    )
    assert inside > 0 > outside


def test_all_that_belongs_to_a_claim_stands_under_its_link(page):
    claim = page.by_id("claim-routing_collapse-finding-0")
    assert claim.tag == "details"
    for words in (
        "Results", "shape", "claims/test_it.py", "def test_it(run):", "≥ 0.8", "(half)",
        "0.93 over 3 seeds", "Smallest effect told", "0.03", "control balanced",
        "nothing pulls <b>here</b>", "difference from it: 0.5 apart", "scaled on 1000, 1001",
        "code c0de", "np 2", "pytest 'claims/test_routing_collapse.py::test_0[smoke]'",
        "held; on record: SUPPORTED 0.93 [0.88, 0.98]",
    ):  # fmt: skip
        assert words in claim.text, words
    broken = page.by_id("claim-routing_collapse-finding-1").text
    assert "broken; on record: SUPPORTED" in broken
    assert "no <weights> here" in page.by_id("claim-routing_collapse-finding-5").text
    assert "not on record" in page.by_id("claim-routing_collapse-finding-3").text


def test_seeds_interval_and_band_of_a_claim_are_drawn_with_those_of_its_controls(page):
    arms = ("published: 0.93", "full_model: 0.93", "balanced: 0.43")
    strips = [
        element for element in page.all("svg", role="img")
        if (element["aria-label"] or "").startswith(arms)
    ]  # fmt: skip
    assert len(strips) >= 8  # an arm and its control, in each of four documents
    position = page.elements.index(strips[0])
    drawn = [element["class"] for element in page.elements[position + 1 : position + 9]]
    assert drawn.count("seed") == 3
    assert {"band", "edge", "interval", "estimate", "published"} <= set(drawn)


def test_every_figure_has_a_title_and_says_in_words_what_it_shows(page):
    plots = page.all("svg", **{"class": "plot"})
    assert len(plots) > 20
    for plot in plots:
        assert plot["role"] == "img"
        title, description = (page.by_id(name) for name in plot["aria-labelledby"].split())
        assert (title.tag, description.tag) == ("title", "desc")
        assert title.text
        assert re.search(r"\d", description.text)


def test_tables_have_captions_and_headings_with_a_scope(page):
    for position, table in enumerate(page.elements):
        if table.tag == "table":
            assert page.elements[position + 1].tag == "caption"
    for heading in page.all("th"):
        assert heading["scope"] in ("col", "row", "rowgroup")


def test_figures_follow_the_theme(page):
    styles = " ".join(element["style"] or "" for element in page.elements)
    assert "var(--series-0)" in styles
    assert not re.search(r"#[0-9a-f]{6}", styles), "a colour that is fixed"


def test_text_from_evidence_is_text(page, made_up):
    assert made_up.HOSTILE in page.by_id("sequential_cycles").text
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.all("i") == []
    shown = page.by_id("sequential_cycles").text
    assert "⟨202E⟩" in shown
    assert "\u202e" not in shown


def test_the_whole_page_is_drawn(page):
    said = absent(page)
    assert said == [
        "Probability of the right continuation byte after a lead byte: not drawn, since no run of "
        "published or zero_injection or unmasked or random_mask that was read holds "
        "continuation_probability.",
        "Validation loss after the estimator is swapped at the plateau: not drawn, since no run of "
        "swap_frozen or swap_tracking or swap_adjoint or swap_bptt that was read holds "
        "validation_loss.",
    ]
    assert alerts(page) == []


def test_rendering_again_changes_nothing(made, project):
    before = (made / "reports" / "claims.html").read_bytes()
    render_page(project / "reports" / "claims.json", strict=True)
    assert (project / "reports" / "claims.html").read_bytes() == before


def test_a_store_that_is_gone_is_said_and_the_claims_are_there_all_the_same(project, rendered):
    shutil.rmtree(project / "reports" / "store")
    page = rendered()
    assert any("seed-0000" in text for text in alerts(page))
    assert any("so there are no trajectories" in text for text in alerts(page))
    assert page.all("svg", **{"class": "plot"}) == []
    assert row_of(page, "long_run/finding-0", "smoke")


def test_a_damaged_run_is_left_out_and_named(project, rendered, without_figures):
    store = project / "reports" / "store"
    (entry,) = store.glob("routing_collapse/smoke/published/seed-0001-*")
    (entry / "evidence.csv").write_text("nonsense")
    page = rendered()
    (said,) = alerts(page)
    assert said.startswith("smoke, published: seed-0001-")
    assert "does not have the recorded sha256" in said
    assert "24 stored runs were judged; 23 of them are drawn below" in page.by_id("run").text


def test_a_run_that_was_made_again_is_not_the_one_that_was_judged(
    project, rendered, without_figures
):
    path = project / "reports" / "claims.json"
    text = re.sub(r'(seed-0002-[0-9a-f]+": ")[0-9a-f]{64}', rf"\g<1>{'0' * 64}", path.read_text())
    path.write_text(text)
    assert sum("not the run that was judged" in said for said in alerts(rendered())) == 8


def test_a_report_of_an_older_session_gives_a_page_that_says_what_is_missing(project, rendered):
    path = project / "reports" / "claims.json"
    data = json.loads(path.read_text())
    for gone in ("fixtures", "evidence", "predicates"):
        del data[gone]
    path.write_text(json.dumps(data))
    page = rendered()
    said = " ".join(alerts(page) + absent(page))
    assert "the report does not say where they lie" in said
    assert "No stored run of this document was read" in said
    assert "The report does not hold the predicate" in said
    assert "The ledger is not where the report says" in said
    assert "The report names no stored runs." in page.by_id("run").text


def test_a_ledger_or_a_table_that_cannot_be_read_is_said(project, rendered, without_figures):
    (project / "fixtures" / "ledger" / "long_run.json").write_text("{}")
    (project / "fixtures" / "published" / "long_run" / "dark_matter.csv").write_text("metric\n")
    said = " ".join(alerts(rendered()))
    assert "The ledger could not be read: long_run.json" in said
    assert "The document's own figures could not be read" in said


def test_a_figure_that_fails_is_a_sentence_and_in_a_test_an_error(project, rendered, monkeypatch):
    def fail(*_):
        raise RuntimeError("no <ink>")

    monkeypatch.setattr("decouple.report.illustrate.lines", fail)
    with pytest.raises(RuntimeError, match="no <ink>"):
        rendered()
    said = absent(rendered(strict=False))
    assert "Router entropy by layer and cycle: could not be drawn (RuntimeError: no <ink>)." in said


def test_a_document_without_declared_figures_has_its_claims(project, rendered, without_figures):
    path = project / "reports" / "claims.json"
    path.write_text(path.read_text().replace("long_run", "another"))
    page = rendered()
    assert "No figures are declared for this document." in alerts(page)
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
