"""Fingerprints: of the code an experiment depends on, found from source files without importing.

The import statements of a module are read with `ast` and followed through the project's own
packages, so that a change to a report does not retrain a model and a change to the model does.
Comments and blank lines do not count; everything else does, docstrings included, and what looks
like either inside a string.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import json
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any


def digest(value: Any, length: int = 16) -> str:
    """The first `length` hex digits of the sha256 of a JSON-serialisable value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


# An f-string is one token up to Python 3.11 and several from 3.12 on; a t-string is new in 3.14.
_OPENING = ("FSTRING_START", "TSTRING_START")
_CLOSING = ("FSTRING_END", "TSTRING_END")


@cache
def code_fingerprint(module: str) -> str:
    """The fingerprint of a module as this process first found it; see `read_fingerprint`."""
    return read_fingerprint(module)


def read_fingerprint(module: str) -> str:
    """Fingerprint of the source of `module` and of all it imports from the same top package.

    Raises:
        ModuleNotFoundError: if there is no such module.
    """
    sources = {
        name: hashlib.sha256(code_text(path).encode()).hexdigest()
        for name, path in dependencies(module).items()
    }
    return digest(sources)


def dependencies(module: str) -> dict[str, Path]:
    """The module and every module of its top package that it imports, directly or not.

    The packages that contain them count too, since importing a module runs their `__init__`; the
    top package's own does not, it only holds the version. Of a package named itself, all its
    modules count: it may import them when it is called.
    """
    top = module.partition(".")[0]
    root = _file_of(top)
    if root is None:
        raise ModuleNotFoundError(f"no module named {top!r}")
    root = root.parent if root.name == "__init__.py" else root.parent / top
    found: dict[str, Path] = {}
    pending = [module]
    start = _source(root, top, module)
    if start is None:
        raise ModuleNotFoundError(f"no module named {module!r}")
    if start.name == "__init__.py":
        pending += [f"{module}.{p.stem}" for p in start.parent.glob("*.py") if p != start]
    while pending:
        name = pending.pop()
        path = _source(root, top, name)
        if name in found or path is None:
            continue
        found[name] = path
        pending.extend(_imported(path, name, top))
        pending.extend(_parents(name))
    return dict(sorted(found.items()))


def code_text(path: Path) -> str:
    """The source without comments, blank lines and trailing space, the same on every Python.

    Inside strings all of it stays.
    """
    source = path.read_text(encoding="utf-8")
    lines = source.split("\n")  # the lines of the tokenizer; splitlines() knows more separators
    within: set[int] = set()  # the lines that end inside a string
    opened: list[int] = []  # where f-strings begin that have not ended
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        first, last = token.start[0] - 1, token.end[0] - 1
        name = tokenize.tok_name[token.type]
        if name == "COMMENT":
            lines[first] = lines[first][: token.start[1]]
        elif name == "STRING":
            within.update(range(first, last))
        elif name in _OPENING:
            opened.append(first)
        elif name in _CLOSING:
            within.update(range(opened.pop(), last))
    kept = (line if row in within else line.rstrip() for row, line in enumerate(lines))
    return "\n".join(line for row, line in enumerate(kept) if line or row in within)


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of the libraries that shape a run, read without importing them."""
    return {name: _version(name) for name in sorted(names)}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


@cache
def _file_of(top: str) -> Path | None:
    spec = importlib.util.find_spec(top)
    return Path(spec.origin) if spec is not None and spec.origin else None


def _source(root: Path, top: str, name: str) -> Path | None:
    parts = name.split(".")[1:]
    package = root.joinpath(*parts, "__init__.py")
    if package.is_file():
        return package
    module = root.joinpath(*parts).with_suffix(".py") if parts else root / "__init__.py"
    return module if module.is_file() else None


def _parents(name: str) -> Iterator[str]:
    while name.count(".") > 1:
        name = name.rpartition(".")[0]
        yield name


def _imported(path: Path, name: str, top: str) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == top)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative: strip one package for each dot beyond the first
                parts = package.split(".")
                kept = parts[: len(parts) - (node.level - 1)]
                base = ".".join([*kept, base] if base else kept)
            if base.split(".")[0] == top:
                yield base
                # `from package import module` names a module, or a name inside the package.
                yield from (f"{base}.{alias.name}" for alias in node.names)
