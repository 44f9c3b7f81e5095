"""The Markdown report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from decouple.claim.ledger import write_atomically
from decouple.claim.record import Record
from decouple.claim.report import read_report
from decouple.claim.spec import TIERS


def render_markdown(report: Path) -> Path:
    """Render `claims.md` beside a `claims.json`; returns its path.

    Raises:
        decouple.claim.report.ReportError: if the JSON is no report.
    """
    content = read_report(report)
    environment = Environment(
        loader=PackageLoader("decouple.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {"cell": _cell, "number": _number, "interval": _interval}
    text = environment.get_template("claims.md.jinja").render(
        header=content.header,
        documents=_by_claim(content.records),
        tiers=TIERS,
    )
    path = report.with_suffix(".md")
    write_atomically(path, text)
    return path


def _by_claim(records: list[Record]) -> dict[str, dict[str, dict[str, Record]]]:
    """Document to claim to tier to record."""
    documents: dict[str, dict[str, dict[str, Record]]] = {}
    for record in records:
        stem = record.claim.partition("/")[0]
        documents.setdefault(stem, {}).setdefault(record.claim, {})[record.tier] = record
    return documents


def _cell(text: object) -> str:
    """Text that cannot break a table or start markup, at the start of a line neither."""
    plain = re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", " ".join(str(text).split()))
    # A list, a rule or an underlined heading begins with one of these; a number does not.
    return re.sub(r"^(\d+(?=[.)](?:\s|$))|(?=([-+=])(?:\s|\2|$)))", r"\1\\", plain)


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _interval(ends: Any) -> str:
    return "" if ends is None else f"[{_number(ends[0])}, {_number(ends[1])}]"
