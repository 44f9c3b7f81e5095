"""Loading claims without pytest, for the command line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from decouple.claim.spec import Claim


def load_claims(path: Path) -> list[Claim]:
    """All claims of a file, in the order they are written.

    Raises:
        FileNotFoundError: if there is no such file; names the claim files there are.
    """
    if not path.is_file():
        known = ", ".join(sorted(p.name for p in path.parent.glob("test_*.py"))) or "none"
        raise FileNotFoundError(f"claims file must be one of {known}, got {path.name}")
    spec = importlib.util.spec_from_file_location(f"_claims_of_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"claims file must be a Python file, got {path.name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [value for value in vars(module).values() if isinstance(value, Claim)]
