"""A headless Chromium, and the made-up project of tests/report rendered for it to open."""

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from decouple.report.page import render_page

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
try:
    import synthetic
finally:
    sys.path.pop(0)

HERE = Path(__file__).parent
QUIET = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
"""What keeps a browser from talking to anybody on its own account."""


@pytest.fixture(scope="session")
def made_up():
    """The module that makes the project up."""
    return synthetic


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """Where the page lies on disk."""
    report = synthetic.write_project(tmp_path_factory.mktemp("made"))
    return render_page(report, strict=True).as_uri()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where it is installed

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)  # else the one playwright installed
    arguments = QUIET + (["--no-sandbox"] if os.geteuid() == 0 else [])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page, and what it did that it should not do."""

    page: object
    complaints: list = field(default_factory=list)
    requests: list = field(default_factory=list)


@pytest.fixture
def opened(browser, address):
    """Opens the page: `opened(width=360, scheme="dark", at="#claims")`; closes it in the end."""
    contexts = []

    def open_page(*, width=1280, height=900, scheme="light", at="", scripts=True):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=scripts,
        )
        contexts.append(context)
        found = Opened(context.new_page())
        page = found.page
        page.on("console", lambda message: found.complaints.append(message.text))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on("dialog", lambda dialog: found.complaints.append(dialog.message))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(address + at)
        return found

    yield open_page
    for context in contexts:
        context.close()
