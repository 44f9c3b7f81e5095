"""From what Matplotlib writes to SVG that lives inside a page.

Matplotlib writes colours as hexadecimal numbers and identifiers that are unique in one file only.
Here sentinel colours become CSS variables, so that a figure follows the page from light to dark,
identifiers get the figure's name in front, and the figure gets a title and a description.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from decouple.report.text import visible

SERIES = tuple(f"#0a0b1{i}" for i in range(8))
INK, MUTED, GRID, HEAT, PAPER = (f"#0a0b0{i}" for i in range(1, 6))

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--rule)",
    HEAT: "var(--heat)",
    PAPER: "var(--paper)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES)},
}
_NAMESPACE = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile(r"#0a0b[0-9a-f]{2}")
_LOCAL = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"font-family:[^;]*;\s*")
_LONG = re.compile(r"(\d+\.\d\d)\d+")


def inline(figure: Figure, *, name: str, title: str, description: str) -> str:
    """The figure as an `<svg>` element for HTML.

    Args:
        figure: What was drawn, in the sentinel colours of this module.
        name: Unique in the page; letters, digits and hyphens.
        title: What is shown, for those who do not see it.
        description: What it shows.
    """
    buffer = io.BytesIO()
    canvas: Any = FigureCanvasSVG(figure)
    # Without a date, and with the salt of identifiers set by the caller, the same figure gives the
    # same bytes. `Figure.savefig` would draw everything twice.
    with warnings.catch_warnings():
        # The text stays text and the reader's browser has the glyphs; Matplotlib's font may not.
        warnings.filterwarnings("ignore", "Glyph .* missing|Matplotlib currently does not support")
        canvas.print_svg(buffer, metadata={"Date": None})
    root = ET.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)  # a style element here would apply to the whole page
    for element in root.iter():
        _localise(element, name)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("class", "plot")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{_NAMESPACE}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = visible(text)
        root.insert(position, element)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
    return ET.tostring(root, encoding="unicode")


def _localise(element: ET.Element, name: str) -> None:
    if not (element.text or "").strip():
        element.text = None
    element.tail = None  # indentation; nothing here stands between elements
    if _LINK in element.attrib:
        element.set("href", element.attrib.pop(_LINK))
    for attribute, value in element.attrib.items():
        if attribute == "id":
            changed = f"{name}-{value}"
        elif attribute == "href":
            changed = f"#{name}-{value[1:]}"
        else:
            changed = _LOCAL.sub(rf"url(#{name}-\1)", value)
            changed = _COLOUR.sub(lambda match: _VARIABLES[match[0]], changed)
            changed = _LONG.sub(r"\1", changed)
            changed = _FONT.sub("", changed)  # the page's own
        element.set(attribute, changed)
