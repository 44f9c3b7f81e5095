"""Renders the Markdown report and the page when a session has written its JSON."""

from __future__ import annotations

from pathlib import Path

from decouple.report.markdown import render_markdown
from decouple.report.page import render_failure, render_page


def pytest_decouple_report(path: Path) -> None:
    """Hook of `decouple.claim.plugin`. No fault of the page takes the verdicts down with it."""
    render_markdown(path)
    try:
        render_page(path)
    except Exception as error:
        render_failure(path, error)
