import math
import re
import xml.etree.ElementTree as ET

import pytest

from decouple.report.figures.data import Axes, Curve, Drawing
from decouple.report.figures.draw import draw_lines
from decouple.report.figures.draw_shares import draw_heat
from decouple.report.figures.panels import Heat, Lines
from decouple.report.figures.shares import Grid
from decouple.report.text import LABEL

HOSTILE = "</svg><script>alert(1)</script> & $\\frac$"


def panel(**parts):
    return Lines(**{"name": "p", "title": "Share", "metrics": ("m",), "y_label": "share", **parts})


def drawing(**parts):
    curve = {"x": (0, 1, 2), "seeds": ((1.0, 2.0, 3.0), (3.0, math.nan, 4.0)), **parts}
    return Drawing((Axes("layer 0", (Curve("as published", 0, **curve),)),))


def svg(drawn, name="f"):
    (text,) = draw_lines(panel(), drawn, name=name)
    return text


def texts(svg_text):
    return [each.text for each in ET.fromstring(svg_text).iter("text")]


def test_the_axes_say_in_words_what_they_show():
    root = ET.fromstring(svg(drawing(points=((0, 1.5),))))
    assert root.find("title").text == "Share: layer 0"
    assert root.find("desc").text == (
        "share by cycle. Means over seeds. as published: 2 at 0, 3.5 at 2; document: 1.5 at 0, "
        "1.5 at 0."
    )


def test_colours_are_variables_and_text_is_text():
    text = svg(drawing(points=((0, 1.5),)))
    assert "var(--series-0)" in text
    assert not re.search(r"#[0-9a-f]{6}\b", text)
    assert "cycle" in texts(text)
    assert "<style" not in text, "it would apply to the whole page"
    assert "<metadata" not in text


def test_two_figures_share_no_identifier_and_each_finds_its_own():
    one, other = svg(drawing(), "f-1"), svg(drawing(), "f-2")
    for text, name in ((one, "f-1"), (other, "f-2")):
        identifiers = re.findall(r'\bid="([^"]+)"', text)
        assert len(identifiers) == len(set(identifiers))
        assert all(identifier.startswith(f"{name}-") for identifier in identifiers)
        wanted = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
        assert wanted
        assert set(wanted) <= set(identifiers)
    assert one.replace("f-1", "f-2") == other


def test_the_same_figure_gives_the_same_bytes():
    assert svg(drawing()) == svg(drawing())


def test_labels_from_evidence_are_neither_markup_nor_mathematics():
    grid = Grid(HOSTILE, 1, (HOSTILE,), (0, 1), ((0.1, math.nan),))
    heat = draw_heat(Heat(name="h", title="H", metric="m"), grid, name="h")
    assert "<script" not in heat
    assert HOSTILE in texts(heat)
    named = panel(x=("condition",), x_scale="category")
    (text,) = draw_lines(named, drawing(x=(HOSTILE, "b", "c")), name="n")
    assert HOSTILE in texts(text)


def test_strength_of_colour_is_the_share():
    grid = Grid("g", 1, ("0 · 1st",), (0, 1, 2), ((0.25, 0.75, math.nan),))
    text = draw_heat(Heat(name="h", title="H", metric="m"), grid, name="h")
    styles = [each.get("style") or "" for each in ET.fromstring(text).iter("path")]
    filled = [style for style in styles if "fill: var(--heat)" in style]
    assert [style.rpartition(" ")[2] for style in filled] == ["0.25", "0.75"]


@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
def test_logarithmic_axes_have_plain_numbers(scale):
    drawn = drawing(seeds=((1.0, 100.0, 10000.0),))
    (text,) = draw_lines(panel(y_scale=scale), drawn, name="f")
    assert ("100" in texts(text)) == (scale != "linear")
    assert not any("$" in each for each in texts(text))


def test_a_logarithmic_axis_of_one_decade_has_more_than_one_number():
    (text,) = draw_lines(panel(y_scale="log"), drawing(seeds=((1.1, 3.0, 7.0),)), name="f")
    assert {"2", "5"} <= set(texts(text))
    (text,) = draw_lines(panel(y_scale="log"), drawing(seeds=((7e-5, 9e-5, 1.2e-4),)), name="f")
    assert {"0.0001", "7.5e-05"} <= set(texts(text))


def test_the_unit_stands_above_the_axis_and_snapshots_keep_the_name_of_theirs():
    assert "share" in texts(svg(drawing()))
    ranked = panel(x=("step", "point"), x_scale="rank", x_label="snapshot")
    (text,) = draw_lines(ranked, drawing(x=("0 descent", "20 descent", "60 end")), name="f")
    root = ET.fromstring(text)
    *_, height = map(float, root.get("viewBox").split())
    (name,) = [each for each in root.iter("text") if each.text == "snapshot"]
    place = re.search(r"translate\(([\d.]+) ([\d.]+)\)", name.get("transform") or "")
    y = float(place[2]) if place else float(name.get("y"))
    assert y < height - 1, "cut off below"


def test_published_points_at_the_rim_are_whole():
    assert "clip-path" not in re.findall(r"<use [^>]*>", svg(drawing(points=((0, 1.0),))))[-1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name", ["🦜 " * 30, "שלום", "a\x00b\x1bc", "\ud800", "$x^$", "x" * 999, ""]
)
def test_names_of_any_script_can_be_drawn(name):
    named = panel(x=("condition",), x_scale="category")
    (text,) = draw_lines(named, drawing(x=(name, "b", "c")), name="n")
    grid = Grid(name, 1, (name,), (name, 1), ((0.1, math.nan),))
    for each in (text, draw_heat(Heat(name="h", title=name, metric="m"), grid, name="h")):
        assert ET.fromstring(each).tag == "svg"
        assert max(len(word or "") for word in texts(each)) <= LABEL


def test_names_go_down_the_side_in_the_order_of_the_panel():
    named = panel(x=("condition",), x_scale="category", names={"b": "Second", "a": "First"})
    (text,) = draw_lines(named, drawing(x=("a", "b", "z")), name="n")
    shown = [each for each in texts(text) if each in ("First", "Second", "z")]
    assert shown == ["Second", "First", "z"]


def test_a_lone_point_and_values_that_are_all_equal_are_drawn():
    (text,) = draw_lines(panel(), drawing(x=(0,), seeds=((2.0,),)), name="f")
    assert "var(--series-0)" in text
    assert draw_lines(panel(), drawing(seeds=((math.nan,) * 3,)), name="f")
