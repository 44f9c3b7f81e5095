"""The report page: one HTML file that needs nothing else.

Styles, script and figures are inside it. Text of any origin is escaped by the template engine; what
goes in as markup is written here: the style sheet, the script and Matplotlib's SVG. A content
security policy lets that one script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from decouple.claim.record import counts
from decouple.claim.spec import TIERS
from decouple.claim.verdict import Verdict
from decouple.claim.writing import write_atomically
from decouple.report.numbers import interval, number, span
from decouple.report.reading import read
from decouple.report.text import in_words, shown
from decouple.report.view import page_view


def render_page(report: Path, *, strict: bool = False) -> Path:
    """Render `claims.html` beside a `claims.json`; returns its path.

    Args:
        report: the JSON file.
        strict: raise what goes wrong in drawing a figure, in place of saying it on the page.

    Raises:
        decouple.claim.report.ReportError: if the JSON is no report.
    """
    view = page_view(read(report), report.parent, strict=strict)
    verdicts = [record.verdict for record in view.records]
    tiers = {record.tier for record in view.records}
    script = _asset("page.js")
    template = _environment().get_template("page.html.jinja")
    text = template.render(
        view=view,
        verdicts=[str(verdict) for verdict in Verdict],
        present=counts(verdicts),
        tiers=[tier for tier in TIERS if tier in tiers],
        command=shlex.join(["pytest", *view.header.arguments]),
        style=Markup(_asset("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    path = report.with_suffix(".html")
    write_atomically(path, text)
    return path


def render_failure(report: Path, error: Exception) -> Path:
    """In the place of a page that could not be made: one that says so."""
    path = report.with_suffix(".html")
    template = _environment().get_template("failure.html.jinja")
    write_atomically(path, template.render(error=f"{type(error).__name__}: {error}"))
    return path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("decouple.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
        finalize=shown,
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "span": span,
        "percent": lambda value: f"{value:.2f}%",
        "words": in_words,
        "markup": Markup,
    }
    return environment


@cache
def _asset(name: str) -> str:
    return files("decouple.report").joinpath("templates", name).read_text(encoding="utf-8")
