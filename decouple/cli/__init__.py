"""The command line: for what pytest is not the place for."""

from decouple.cli.main import main

__all__ = ["main"]
