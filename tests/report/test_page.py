import re

from decouple.report.page import render_page


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
    supported = page.row("long_run/finding-0", "smoke")
    for words in ("supported", "0.93", "[0.88, 0.98]", "≥ 0.8", "Finding 0 <i>ends</i> high"):
        assert words in supported.text
    assert "not measured" in page.row("long_run/finding-5", "smoke").text
    inside, outside = (
        float(page.row(f"long_run/finding-{i}", "smoke")["data-place"]) for i in (0, 1)
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
    arms = ("as published: 0.93", "full model: 0.93", "equilibrium", "balanced: 0.43")
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
    said = page.absent
    assert said == [
        "Probability of the right continuation byte after a lead byte: not drawn, since no run of "
        "published or zero_injection or unmasked or random_mask that was read holds "
        "continuation_probability.",
        "Validation loss after the estimator is swapped at the plateau: not drawn, since no run of "
        "swap_frozen or swap_tracking or swap_adjoint or swap_bptt that was read holds "
        "validation_loss.",
    ]
    assert page.alerts == []


def test_rendering_again_changes_nothing(made, project):
    before = (made / "reports" / "claims.html").read_bytes()
    render_page(project / "reports" / "claims.json", strict=True)
    assert (project / "reports" / "claims.html").read_bytes() == before
