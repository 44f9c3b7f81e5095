"""`decouple`: the commands for what pytest is not the place for, and how they exit.

0: done, and nothing to object to. 1: something to object to (changes proposed, damaged entries, a
comparison that fails, a claim without power). 2: the call was wrong, or what it names is not there;
one line on stderr says which. 130: interrupted. 141: whoever read the output went away. 143: told
to end.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from decouple.claim.runner import RunFailedError, UnrunError
from decouple.cli.claims import add_list, add_show
from decouple.cli.compare import add_compare
from decouple.cli.data import add_data
from decouple.cli.ledger import add_ledger
from decouple.cli.parsing import Commands, Parser
from decouple.cli.pretrain import add_pretrain
from decouple.cli.rehearse import add_rehearse
from decouple.cli.report import add_report
from decouple.cli.run import add_run
from decouple.cli.store import add_store

INTERRUPTED, READER_GONE = 130, 141
"""128 and the number of the signal, as shells have it."""

EPILOG = """\
examples:
  decouple list --tier smoke --verdict REFUTED
  decouple show routing_collapse/deepest-top-share
  decouple compare main .
Claims are judged with pytest: pytest -m smoke claims/

exit status:
  0    done, and nothing to object to
  1    something to object to: changes proposed, damaged entries, a comparison
       that fails, a claim without power
  2    the call was wrong, or what it names is not there
  130  interrupted
  141  whoever read the output went away
  143  told to end
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        parsed = _parser().parse_args(arguments)
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except SystemExit as done:  # of the parser: help was asked for, or the call was wrong
        return int(done.code or 0)
    except BrokenPipeError:
        # Python flushes once more when it ends; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt:
        print("decouple: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (OSError, ValueError, LookupError, UnrunError, RunFailedError) as error:
        print(f"decouple: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> Parser:
    parser = Parser(
        prog="decouple",
        description="Published findings about neural-network training, kept honest.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands: Commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        add_list,
        add_show,
        add_ledger,
        add_store,
        add_compare,
        add_report,
        add_rehearse,
        add_pretrain,
        add_data,
        add_run,
    ):
        add(commands)
    return parser
