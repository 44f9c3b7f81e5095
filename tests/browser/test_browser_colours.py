"""Light, dark and paper: colours that can be told from what they stand on."""

import re

import pytest
from playwright.sync_api import expect

VERDICTS = ["supported", "refuted", "inconclusive", "vacuous", "error", "unrun", "consistent"]
TEXTS = ["h1", "p.note", "th a", ".says", ".counts .zero", "thead button", "summary", "figcaption"]
TEXTS += [f".chip.v-{name}" for name in VERDICTS]
EDGES = [("#f-text", "borderTopColor"), ("#f-tier", "borderTopColor"), (".ramp", "borderTopColor")]


def luminance(colour):
    parts = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def colour(locator, name="color"):
    return locator.evaluate("(node, name) => getComputedStyle(node)[name]", name)


def behind(locator):
    """The colour of what is painted under the text."""
    return locator.evaluate(
        "node => { for (; node; node = node.parentElement) {"
        " const c = getComputedStyle(node).backgroundColor;"
        " if (c !== 'rgba(0, 0, 0, 0)') return c; } }"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out_from_the_paper(opened, scheme):
    page = opened(scheme=scheme).page
    paper = colour(page.locator("body"), "backgroundColor")
    for selector in TEXTS:
        text = page.locator(selector).first
        assert contrast(colour(text), behind(text)) >= 4.5, selector
    for selector, edge in EDGES:
        assert contrast(colour(page.locator(selector).first, edge), paper) >= 3, selector
    assert contrast(colour(page.locator("svg.plot text").first, "fill"), paper) >= 4.5
    for series in range(8):
        drawn = page.evaluate(
            "n => { const p = document.createElement('p'); p.style.color = `var(--series-${n})`;"
            " document.body.append(p); return getComputedStyle(p).color; }",
            series,
        )
        assert contrast(drawn, paper) >= 3, f"series {series}"


def test_the_page_follows_the_system_into_the_dark_and_its_figures_with_it(opened):
    seen = {}
    for scheme in ("light", "dark"):
        page = opened(scheme=scheme).page
        line = page.locator("svg.plot path[style*=series-0]").first
        seen[scheme] = colour(page.locator("body"), "backgroundColor"), colour(line, "stroke")
    assert luminance(seen["light"][0]) > 0.9
    assert luminance(seen["dark"][0]) < 0.05
    assert seen["light"][1] != seen["dark"][1]


def test_the_switch_overrules_the_system_and_is_remembered(opened):
    page = opened(scheme="light").page
    page.get_by_label("Theme", exact=True).select_option("dark")
    assert luminance(colour(page.locator("body"), "backgroundColor")) < 0.05
    page.reload()
    assert luminance(colour(page.locator("body"), "backgroundColor")) < 0.05
    page.get_by_label("Theme", exact=True).select_option("as the system")
    assert luminance(colour(page.locator("body"), "backgroundColor")) > 0.9


def test_on_paper_everything_is_unfolded_but_source_and_numbers_and_light(opened):
    page = opened(scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    assert luminance(colour(page.locator("body"), "backgroundColor")) > 0.9
    for selector in ("#filters", "nav", ".theme", ".numbers >> nth=0", ".link >> nth=0"):
        expect(page.locator(selector)).to_be_hidden()
    folded = page.locator("details:not([open])")
    before = folded.count()
    assert before > 20
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("details:not([open], .numbers, .predicate)")).to_have_count(0)
    expect(page.locator(".predicate[open], .numbers[open]")).to_have_count(0)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(folded).to_have_count(before)


def test_nothing_is_cut_off_on_a4(opened):
    page = opened(width=703).page  # 210 mm less margins of 12 mm, at 96 dots to the inch
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    beyond = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(node => !node.closest('svg, pre, .quiet')"
        " && node.getBoundingClientRect().right > innerWidth + 1).map(node => node.outerHTML)"
    )
    assert beyond == []
    assert page.pdf(format="A4").startswith(b"%PDF")
