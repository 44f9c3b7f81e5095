"""The Markdown report."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from decouple.claim.record import Record
from decouple.claim.report import count_by_tier
from decouple.claim.spec import TIERS
from decouple.claim.writing import write_atomically
from decouple.report.numbers import interval, number
from decouple.report.reading import read
from decouple.report.text import shown


def render_markdown(report: Path) -> Path:
    """Render `claims.md` beside a `claims.json`; returns its path.

    Raises:
        decouple.claim.report.ReportError: if the JSON is no report.
    """
    content = read(report)
    environment = Environment(
        loader=PackageLoader("decouple.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=shown,
    )
    environment.filters |= {"cell": _cell, "code": _code, "number": number, "interval": interval}
    text = environment.get_template("claims.md.jinja").render(
        header=content.header,
        counts=count_by_tier(content.records),
        notes=content.notes,
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


def _code(text: str) -> str:
    """Text as code, between more backticks than there are in it."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    room = " " if "`" in text else ""
    return f"{fence}{room}{' '.join(text.split())}{room}{fence}"


def _cell(text: object) -> str:
    """Text that cannot break a table or start markup, at the start of a line neither."""
    plain = re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", " ".join(str(text).split()))
    # A list, a rule or an underlined heading begins with one of these; a number does not.
    return re.sub(r"^(\d+(?=[.)](?:\s|$))|(?=([-+=])(?:\s|\2|$)))", r"\1\\", plain)
