"""What commands share: help of one shape, values checked as they are read, errors of one line."""

from __future__ import annotations

import argparse
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import decouple.experiments
from decouple.claim.load import load_claims
from decouple.claim.spec import Claim

Commands = Any
"""What `add_subparsers` gives; its class is private to argparse."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; how it would be right, `--help` says."""

    def error(self, message: str) -> NoReturn:
        """Print one line on stderr and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_command(
    commands: Commands,
    name: str,
    *,
    summary: str,
    description: str,
    examples: Sequence[str],
    statuses: Mapping[int, str] | None = None,
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: What it is added to.
        name: What is typed.
        summary: Its line in the list of commands.
        description: Sentences for its own help.
        examples: Whole command lines.
        statuses: Exit statuses with a meaning of their own; 0 and 2 have theirs everywhere.
    """
    said = {0: "done", **(statuses or {}), 2: "the call was wrong, or what it names is not there"}
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog="\n".join(
            [
                "examples:",
                *(f"  {example}" for example in examples),
                "",
                "exit status:",
                *(f"  {status}  {said[status]}" for status in sorted(said)),
            ]
        ),
        formatter_class=_Help,
    )
    return command


def add_store_option(command: argparse.ArgumentParser) -> None:
    """Add `--store`."""
    command.add_argument(
        "--store",
        type=folder_to_be,
        default=Path("reports/store"),
        metavar="DIR",
        help="where runs are kept (default: reports/store)",
    )


def positive(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """A reader of one of these names."""
    known = [str(name) for name in names]

    def read(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(known)}, got {text!r}")
        return text

    return read


def stem(text: str) -> str:
    """The stem of a document that has an experiment."""
    found = pkgutil.iter_modules(decouple.experiments.__path__)
    return one_of(each.name for each in found if each.ispkg)(text)


def file(text: str) -> str:
    """The path of a file that is there."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"must be a file, got {text!r}: {_what_it_is(text)}")
    return text


def folder(text: str) -> Path:
    """The path of a folder that is there."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, got {text!r}: {_what_it_is(text)}")
    return Path(text)


def folder_to_be(text: str) -> Path:
    """The path of a folder that is there or can be made."""
    for path in (Path(text), *Path(text).parents):
        if path.exists():
            if not path.is_dir():
                raise argparse.ArgumentTypeError(f"must be a folder, got {text!r}: {path} is none")
            break
    return Path(text)


def claims_in(directory: Path) -> list[Claim]:
    """The claims of a folder's files, in the order of the files.

    Raises:
        FileNotFoundError: if there is no claims file in it.
    """
    files = sorted(directory.glob("test_*.py"))
    if not files:
        raise FileNotFoundError(
            f"--claims must be a folder with claims files, got {directory}; "
            "run in the repository, or name it"
        )
    return [claim for path in files for claim in load_claims(path)]


def _what_it_is(text: str) -> str:
    path = Path(text)
    if not path.exists():
        return "there is none"
    return "it is a folder" if path.is_dir() else "it is a file"


class _Help(argparse.RawDescriptionHelpFormatter):
    """Examples as they are typed, descriptions wrapped."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)
