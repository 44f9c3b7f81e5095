"""Text of any origin made fit to be seen: nothing in it is lost, turned around or unwritable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

SHAPED = "\n\t\u00ad\u200b\u200c\u200d"
"""Characters without a shape of their own that do their work and no harm: breaks and joiners."""

LABEL = 48
"""Characters of a label in a figure."""

_ARM = re.compile(r"([\w.-]+)(?::([\w.-]+))?")
_ESCAPED = re.compile(r"\\([\\n])")


def visible(text: str) -> str:
    """The text with characters that have no shape shown as codes, ⟨202E⟩.

    Control characters would be lost on a page, marks of writing direction turn it around, and half
    a surrogate pair cannot be written to a file at all.
    """
    return "".join(
        f"⟨{ord(c):04X}⟩"
        if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in SHAPED
        else c
        for c in text
    )


def shown(value: Any) -> Any:
    """What a template writes in the place of a value: its text made visible, markup as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def label(value: Any) -> str:
    """A name from evidence on one line, short enough to stand beside an axis."""
    text = visible(" ".join(str(value).split()))
    return text if len(text) <= LABEL else f"{text[: LABEL - 2]} …"


def in_words(name: str, names: Mapping[str, str]) -> str:
    """An arm as claims write it, `arm:condition | arm`, in the words of its document."""
    return _ARM.sub(
        lambda match: names.get(match[1], match[1]) + (f", {match[2]}" if match[2] else ""), name
    )


def identifier(text: str) -> str:
    """The text as an identifier in a page: letters, digits, hyphens and underscores."""
    return re.sub(r"[^\w-]+", "-", text)


def unfolded(text: str) -> str:
    r"""Text that evidence keeps on one line, with its line breaks: `\n` and `\\` are undone."""
    return _ESCAPED.sub(lambda match: "\n" if match[1] == "n" else "\\", text)
