"""The report page in a real browser, opened from disk."""

import re

import pytest
from playwright.sync_api import expect

ROWS = "#forest tbody tr:visible"


def claims(page):
    return page.locator(ROWS).evaluate_all("rows => rows.map(row => row.dataset.claim)")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_complaint_and_asks_for_nothing_else(opened, address, width, scheme):
    found = opened(width=width, scheme=scheme)
    found.page.wait_for_load_state("networkidle")
    assert found.complaints == []
    assert found.requests == [address]
    expect(found.page.locator("h1")).to_be_visible()


def test_markup_in_evidence_does_not_run(opened):
    found = opened()
    page = found.page
    assert page.evaluate("document.body.dataset.hacked") is None
    assert page.locator("img").count() == 0
    text = page.locator(".texts tbody td").first
    expect(text).to_contain_text("<script>document.body.dataset.hacked = 1</script>")
    # Were it to get into the page all the same, the policy would keep it from running.
    page.evaluate(
        "() => { const s = document.createElement('script');"
        " s.textContent = 'document.body.dataset.hacked = 1'; document.body.append(s); }"
    )
    assert page.evaluate("document.body.dataset.hacked") is None
    assert any("Content Security Policy" in each for each in found.complaints)


def test_filters_leave_the_rows_that_fit(opened):
    page = opened().page
    everything = claims(page)
    assert len(everything) == 28
    shown = page.locator("#shown")
    page.get_by_label("Document", exact=True).select_option("Long run")
    assert set(claims(page)) == {f"long_run/finding-{i}" for i in range(6)}
    page.get_by_label("Verdict", exact=True).select_option("refuted")
    assert claims(page) == ["long_run/finding-1"]
    expect(shown).to_have_text("1 of 28")
    page.get_by_label("Tier", exact=True).select_option("published")
    assert claims(page) == []
    expect(page.get_by_text("No claim fits these filters.")).to_be_visible()
    for label in ("Document", "Verdict", "Tier"):
        page.get_by_label(label, exact=True).select_option("all")
    page.get_by_label("Text", exact=True).fill("FINDING 3 ends")
    assert {claim.partition("/")[2] for claim in claims(page)} == {"finding-3"}
    expect(shown).to_have_text("4 of 28")
    page.get_by_label("Text", exact=True).press("Enter")
    assert len(claims(page)) == 4, "enter does not leave the page"
    page.get_by_label("Text", exact=True).fill("")
    assert claims(page) == everything


def test_columns_sort_up_down_and_back(opened):
    page = opened().page
    before = claims(page)
    head = page.locator("th[data-key=claim]")
    button = head.get_by_role("button")
    button.click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert claims(page) == sorted(before)
    button.click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert claims(page) == sorted(before, reverse=True)
    button.click()
    expect(head).to_have_attribute("aria-sort", "none")
    assert claims(page) == before


def test_sorting_works_by_keyboard_and_one_column_at_a_time(opened):
    page = opened().page
    place = page.locator("th[data-key=place]")
    page.locator("th[data-key=verdict]").get_by_role("button").click()
    place.get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    expect(place).to_have_attribute("aria-sort", "descending")
    expect(page.locator("th[data-key=verdict]")).to_have_attribute("aria-sort", "none")
    depths = page.locator(ROWS).evaluate_all("rows => rows.map(row => Number(row.dataset.place))")
    assert depths == sorted(depths, reverse=True)
    assert len(set(depths)) > 2


def test_rows_that_are_sorted_stay_filtered(opened):
    page = opened().page
    page.get_by_label("Verdict", exact=True).select_option("vacuous")
    page.locator("th[data-key=claim]").get_by_role("button").click()
    assert {claim.partition("/")[2] for claim in claims(page)} == {"finding-3"}


def test_the_keyboard_finds_its_way_and_shows_where_it_is(opened):
    page = opened().page
    page.keyboard.press("Tab")
    skip = page.get_by_text("Skip to the claims")
    expect(skip).to_be_focused()
    assert skip.bounding_box()["x"] >= 0, "it is seen when it has the focus"
    expect(skip).to_have_css("outline-style", "solid")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Document", exact=True)).to_be_focused()


def test_screen_readers_get_tables_with_names_and_headings(opened):
    for width in (1280, 360):
        page = opened(width=width).page
        table = page.get_by_role("table", name="All claims by tier")
        assert table.get_by_role("row").count() == 29
        assert table.get_by_role("rowheader").count() == 28
        head = table.get_by_role("columnheader", name="against the band")
        expect(head).to_have_count(1)
    figure = page.get_by_role("img", name=re.compile("^Router entropy by layer and cycle: layer 1"))
    expect(figure).to_be_visible()


def test_figures_are_there_and_drawn(opened):
    page = opened().page
    plots = page.locator("svg.plot")
    assert plots.count() > 20
    for plot in plots.all():
        box = plot.bounding_box()
        assert box["width"] > 180
        assert box["height"] > 30
        paths = plot.locator("path")
        assert paths.count() > 2
    lines = page.locator(
        "#fig-routing_collapse-smoke-router-entropy svg.plot path[style*=series-0]"
    )
    expect(lines.first).not_to_have_css("stroke", re.compile(r"none|rgb\(0, 0, 0\)"))
    marks = page.locator("#forest .strip .estimate")
    assert marks.count() == 20


def test_a_narrow_screen_is_never_wider_than_itself(opened):
    page = opened(width=360, height=780).page
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == 360
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate(width) == 360
    first = page.locator(ROWS).first
    for cell in first.locator("th, td").all():
        box = cell.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    page.locator("th[data-key=claim]").get_by_role("button").click()
    assert claims(page) == sorted(claims(page))


def test_a_link_to_a_claim_opens_it(opened):
    page = opened(at="#claim-ep_plateau-finding-1").page
    claim = page.locator("#claim-ep_plateau-finding-1")
    expect(claim).to_have_attribute("open", "")
    expect(claim.get_by_text("control balanced")).to_be_visible()
    expect(claim.locator("summary").first).to_be_in_viewport()
    page.goto("about:blank")
    page = opened().page
    page.locator("#forest").get_by_role("link", name="finding-2").first.click()
    other = page.locator("#claim-sequential_cycles-finding-2")
    expect(other).to_have_attribute("open", "")
    expect(other.locator("summary").first).to_be_in_viewport()


@pytest.mark.parametrize("name", ["#%", "#nothing", "#%F0%9F"])
def test_a_link_to_nothing_does_no_harm(opened, name):
    found = opened(at=name)
    assert found.complaints == []
    expect(found.page.locator("#filters")).to_be_visible()


def test_the_heading_of_the_table_stays_in_sight(opened):
    page = opened().page
    page.locator(ROWS).last.scroll_into_view_if_needed()
    expect(page.locator("th[data-key=verdict]")).to_be_in_viewport()


def test_without_scripts_everything_is_there(opened):
    page = opened(scripts=False).page
    assert page.locator("#forest tbody tr").count() == 28
    expect(page.locator("#filters")).to_be_hidden()
    claim = page.locator("#claim-long_run-finding-0")
    claim.locator("summary").first.click()
    expect(claim.get_by_text("Smallest effect told").first).to_be_visible()
