"""`decouple report`: render the Markdown report and the page from their JSON again."""

from __future__ import annotations

import argparse
from pathlib import Path

from decouple.report.markdown import render_markdown
from decouple.report.page import render_page


def add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `report`."""
    command = commands.add_parser(
        "report",
        help="render the Markdown report and the page from their JSON again",
        description="Render claims.md and claims.html beside a claims.json, from it, the published "
        "tables, the ledger and the stored runs that it names. Nothing is trained or judged.",
        epilog="example: decouple report reports/claims.json",
    )
    command.add_argument("report", type=Path, nargs="?", default=Path("reports/claims.json"))
    command.set_defaults(run=_report)


def _report(parsed: argparse.Namespace) -> int:
    print(render_markdown(parsed.report))
    print(render_page(parsed.report))
    return 0
