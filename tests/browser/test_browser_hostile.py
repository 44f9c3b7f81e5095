"""A report that holds harm wherever it holds text, in a real browser."""

import json
import re

import pytest
from playwright.sync_api import expect

from decouple.report.page import render_page


@pytest.fixture(scope="module")
def address(tmp_path_factory, made_up):
    """Where the poisoned page lies."""
    report = made_up.write_project(tmp_path_factory.mktemp("poisoned"))
    data = json.loads(report.read_text())
    made_up.poison(data)
    report.write_text(json.dumps(data))
    return render_page(report).as_uri()


@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_runs_and_everything_stays_in_its_place(opened, address, width):
    found = opened(width=width)
    page = found.page
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.body.dataset.hacked") is None
    assert found.complaints == []
    assert found.requests == [address]
    page.get_by_label("Text", exact=True).fill("שלום")
    expect(page.locator("#shown")).to_have_text("28 of 28")
    shown = page.locator(".statement").first
    expect(shown).to_contain_text("<script>document.body.dataset.hacked = 1</script>")
    expect(shown).to_contain_text(re.compile("⟨202E⟩ backwards ⟨2066⟩ שלום 🦜"))
