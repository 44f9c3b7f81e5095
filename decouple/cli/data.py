"""`decouple data`: what is on this machine, what can be fetched, where a text of one's own goes."""

from __future__ import annotations

import argparse

from decouple.cli.parsing import Commands, add_command, one_of
from decouple.data.downloads import DOWNLOADS, cached, fetch

OWN_TEXT = """\
A text of your own, such as the book of a document, is any UTF-8 file: hand it to the claims with
--decouple-corpus=FILE. In this folder, private/ is kept out of version control."""


def add_data(commands: Commands) -> None:
    """Add the command to a parser."""
    command = add_command(
        commands,
        "data",
        summary="what is on this machine, and what can be fetched",
        description="Without an action: lists what can be downloaded, where it lies if it is here, "
        "and where a text of one's own goes.",
        examples=("decouple data", "decouple data fetch gpt2 gpt2-vocabulary"),
    )
    actions = command.add_subparsers(metavar="ACTION")
    fetching = add_command(
        actions,
        "fetch",
        summary="download, and check by SHA-256",
        description="Downloads into this user's cache and prints where the files lie. What is "
        "here already is not downloaded again.",
        examples=("decouple data fetch tinystories",),
    )
    fetching.add_argument(
        "names",
        type=one_of(DOWNLOADS),
        nargs="+",
        metavar="NAME",
        help=f"of: {', '.join(DOWNLOADS)}",
    )
    fetching.set_defaults(run=_fetch)
    command.set_defaults(run=_show)


def _show(_: argparse.Namespace) -> int:
    for download in DOWNLOADS.values():
        paths = cached(download)
        print(f"{download.name:16} {'here' if paths else 'not here':9} {download.what}")
        for path in paths or ():
            print(f"{'':26} {path}")
    print(OWN_TEXT)
    return 0


def _fetch(parsed: argparse.Namespace) -> int:
    for name in parsed.names:
        for path in fetch(DOWNLOADS[name]):
            print(path)
    return 0
