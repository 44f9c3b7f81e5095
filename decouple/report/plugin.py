"""Renders the Markdown report when a session has written its JSON."""

from __future__ import annotations

from pathlib import Path

from decouple.report.markdown import render_markdown


def pytest_decouple_report(path: Path) -> None:
    """Hook of `decouple.claim.plugin`."""
    render_markdown(path)
