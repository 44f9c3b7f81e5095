"""What a report says of its own making, so that a page can be drawn from it long after.

Which stored runs were read, what each claim's predicate computes, and where the documents' own
tables and the ledger lie. None of it takes part in a verdict.
"""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from types import FunctionType
from typing import Any

from decouple.claim.fingerprint import digest
from decouple.claim.spec import Claim

_LEVELS = 4
"""Folders from an entry up to its store: document, preset, arm, seed."""


@dataclass(slots=True)
class Trace:
    """What a session remembers of how its verdicts came about."""

    fixtures: Path | None = None
    "folder with the published tables and the ledger"
    runs: dict[str, str] = field(default_factory=dict)
    "folder of each run that was read to the sha256 of its table"
    predicates: dict[str, dict[str, Any]] = field(default_factory=dict)
    "claim to what `describe_predicate` says"
    problems: list[str] = field(default_factory=list)
    "why claims that were selected are not in the report"

    def header(self, folder: Path) -> dict[str, Any]:
        """The part of a report's header, with paths relative to the report's folder."""
        stores: dict[str, dict[str, str]] = {}
        for path, sha256 in sorted(self.runs.items()):
            run = Path(path)
            store = _relative(run.parents[_LEVELS - 1], folder)
            name = PurePath(*run.parts[-_LEVELS:]).as_posix()
            stores.setdefault(store, {})[name] = sha256
        return {
            "fixtures": None if self.fixtures is None else _relative(self.fixtures, folder),
            "evidence": [{"store": store, "runs": runs} for store, runs in stores.items()],
            "predicates": dict(sorted(self.predicates.items())),
            "problems": self.problems,
        }


def describe_predicate(claim: Claim, file: str) -> dict[str, Any]:
    """Where the predicate stands, and its source with the functions of its module that it calls.

    Args:
        claim: the claim.
        file: its file, as a reader of the report knows it.
    """
    function = inspect.unwrap(claim.predicate)
    if not isinstance(function, FunctionType):
        return {"file": file, "line": None, "text": ""}
    found: dict[FunctionType, None] = {}
    _with_helpers(function, found)
    return {
        "file": file,
        "line": function.__code__.co_firstlineno,
        "text": "\n\n".join(filter(None, map(_source, reversed(found)))),
    }


def predicate_digest(claim: Claim) -> str:
    """Digest of the predicate's source and of its helpers'; nothing if it is not to be had."""
    text = describe_predicate(claim, "")["text"]
    return digest(text) if text else ""


def _with_helpers(function: FunctionType, found: dict[FunctionType, None]) -> None:
    found[function] = None
    for name in function.__code__.co_names:
        helper = function.__globals__.get(name)
        if not isinstance(helper, FunctionType) or helper in found:
            continue
        if helper.__module__ == function.__module__:
            _with_helpers(helper, found)


@cache
def _source(function: Callable[..., Any]) -> str:
    """Source of a function without its decorators; nothing if it is not to be had."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
        (definition,) = ast.parse(text).body
    except (OSError, SyntaxError, ValueError):
        return ""
    return "\n".join(text.splitlines()[definition.lineno - 1 :])


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
