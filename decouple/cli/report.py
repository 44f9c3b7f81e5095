"""`decouple report`: render the Markdown report and the page from their JSON again."""

from __future__ import annotations

import argparse
from pathlib import Path

from decouple.cli.parsing import Commands, add_command
from decouple.report.markdown import render_markdown
from decouple.report.page import render_page

REPORT = Path("reports/claims.json")


def add_report(commands: Commands) -> None:
    """Add the command `report` to a parser."""
    command = add_command(
        commands,
        "report",
        summary="render the Markdown report and the page from their JSON again",
        description="Render claims.md and claims.html beside a claims.json, from it, the published "
        "tables, the ledger and the stored runs that it names. Nothing is trained or judged. What "
        "is missing or damaged is said on the page.",
        examples=("decouple report", "decouple report elsewhere/claims.json"),
    )
    command.add_argument(
        "report",
        type=Path,
        nargs="?",
        default=REPORT,
        metavar="FILE",
        help=f"the JSON of a session (default: {REPORT})",
    )
    command.set_defaults(run=_report)


def report_file(path: Path) -> Path:
    """The path, if there is a report.

    Raises:
        FileNotFoundError: if there is none; says how one is made.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no report {path}; pytest -m smoke claims/ makes one")
    return path


def _report(parsed: argparse.Namespace) -> int:
    path = report_file(parsed.report)
    print(render_markdown(path))
    print(render_page(path))
    return 0
