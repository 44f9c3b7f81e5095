import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from decouple.claim.statistics import summarise
from decouple.report.figures.data import Curve, Data, NothingToDrawError
from decouple.report.figures.panels import Document, Lines
from decouple.report.figures.selection import lines

PANEL = Lines(name="share", title="Share", metrics=("share",), y_label="share")
ARMS = ("published", "balanced")


def table(*rows, **common):
    """Rows of evidence; a row is step, value and what else it has."""
    base = {"arm": "published", "seed": 0, "metric": "share", "condition": "trained", **common}
    return pd.DataFrame([{**base, **row} for row in rows])


def cells(values, **common):
    return table(*({"step": step, "value": value} for step, value in enumerate(values)), **common)


def data(*tables, published=None):
    own = pd.DataFrame() if published is None else published.assign(low=0, high=0)
    return Data(pd.concat(tables, ignore_index=True), own, ARMS)


def only(drawing):
    (axes,) = drawing.axes
    (curve,) = axes.curves
    return curve


def test_seeds_become_lines_and_their_mean():
    drawing = lines(PANEL, data(cells([1.0, 2.0]), cells([3.0, 6.0], seed=1)))
    curve = only(drawing)
    assert curve.x == (0, 1)
    assert curve.seeds == ((1.0, 2.0), (3.0, 6.0))
    assert curve.mean == (2.0, 4.0)
    assert drawing.notes == ()


def test_a_seed_without_a_point_leaves_a_gap_and_the_mean_is_of_the_others():
    drawing = lines(PANEL, data(cells([1.0, math.nan, 5.0]), cells([3.0], seed=1)))
    curve = only(drawing)
    np.testing.assert_equal(curve.seeds, ((1.0, math.nan, 5.0), (3.0, math.nan, math.nan)))
    np.testing.assert_equal(curve.mean, (2.0, math.nan, 5.0))
    assert drawing.notes == ("1 values are not finite and are left out.",)


def test_the_interval_is_that_of_the_claims_and_needs_two_seeds():
    curve = only(lines(PANEL, data(cells([1.0, 2.0]), cells([3.0], seed=1))))
    summary = summarise([1.0, 3.0])
    assert curve.intervals == ((summary.low, summary.high), None)


def test_on_a_logarithmic_axis_the_mean_is_geometric():
    panel = replace(PANEL, y_scale="log")
    drawing = lines(panel, data(cells([1.0, 2.0]), cells([100.0, -1.0], seed=1)))
    assert only(drawing).mean == pytest.approx((10.0, 2.0))
    low, high = only(drawing).intervals[0]
    assert 0 < low < 10 < high
    assert drawing.notes == ("1 values are not positive and have no place on this axis.",)


def test_a_run_that_left_all_bounds_has_no_interval_and_no_warning():
    curve = only(lines(PANEL, data(cells([1e308]), cells([1.5e308], seed=1))))
    assert curve.mean == (math.inf,)
    assert curve.intervals == (None,)


def test_the_mean_of_nothing_is_nothing():
    assert Curve("", 0, ()).mean == ()


def test_arms_keep_the_colours_of_their_document():
    panel = Lines(name="a", title="A", metrics=("share",), y_label="", arms=("balanced",))
    curve = only(lines(panel, data(cells([1.0]), cells([1.0], arm="balanced"))))
    assert (curve.label, curve.order) == ("balanced", 1)


def test_a_facet_is_a_set_of_axes_and_a_series_a_colour():
    both = [cells([1.0], layer=layer, vectors=v) for layer in (9.0, 8.0) for v in ("with", "none")]
    panel = Lines(
        name="a", title="A", metrics=("share",), y_label="", facet="layer", series=("vectors",),
        names={"with": "in place"},
    )  # fmt: skip
    drawing = lines(panel, data(*both))
    assert [axes.title for axes in drawing.axes] == ["layer 8", "layer 9"]
    for axes in drawing.axes:
        assert [(c.label, c.order) for c in axes.curves] == [("vectors none", 0), ("in place", 1)]


def test_two_values_of_one_point_are_refused():
    with pytest.raises(ValueError, match=r"share: more than one value at .*x \(0,\), seed 0"):
        lines(PANEL, data(cells([1.0], layer=0), cells([2.0], layer=1)))


def test_other_conditions_are_left_out_unless_asked_for():
    both = data(cells([1.0]), cells([9.0], condition="noise"))
    assert only(lines(PANEL, both)).seeds == ((1.0,),)
    noisy = Lines(name="a", title="A", metrics=("share",), y_label="", where={"condition": "noise"})
    assert only(lines(noisy, both)).seeds == ((9.0,),)


def test_a_fixed_coordinate_that_a_metric_lacks_does_not_bind_it():
    panel = Lines(name="a", title="A", metrics=("share",), y_label="", where={"layer": 3})
    assert only(lines(panel, data(cells([1.0])))).seeds == ((1.0,),)
    assert only(lines(panel, data(cells([1.0]), cells([2.0], layer=3)))).seeds == ((2.0,),)


@pytest.mark.parametrize("evidence", [pd.DataFrame(), cells([1.0], metric="other")])
def test_what_is_not_there_is_said(evidence):
    with pytest.raises(NothingToDrawError, match=r"^Share: (no run|not drawn, since no run) of"):
        lines(PANEL, data(evidence))


def test_a_metric_that_is_missing_beside_another_is_said():
    panel = Lines(name="a", title="A", metrics=("share", "loss"), y_label="", facet="metric")
    drawing = lines(panel, data(cells([1.0])))
    assert drawing.notes == ("Not measured in these runs: loss.",)
    assert [axes.title for axes in drawing.axes] == ["share"]


def test_published_points_lie_over_the_seeds_of_their_arm():
    curve = only(lines(PANEL, data(cells([1.0, 2.0]), published=cells([1.5, 2.5]))))
    assert curve.points == ((0, 1.5), (1, 2.5))


def test_layers_of_another_number_are_matched_by_order_and_it_is_said():
    panel = Lines(name="a", title="A", metrics=("share",), y_label="", facet="layer")
    own = pd.concat([cells([1.0], layer=0), cells([2.0], layer=1)])
    theirs = pd.concat([cells([1.5], layer=8), cells([2.5], layer=9)])
    drawing = lines(panel, data(own, published=theirs))
    assert [axes.curves[0].points for axes in drawing.axes] == [((0, 1.5),), ((0, 2.5),)]
    assert drawing.notes == ("The document's layer is matched by its order: 8 as 0, 9 as 1.",)


def test_points_far_beyond_the_run_are_not_drawn_and_it_is_said():
    theirs = table({"step": 1, "value": 1.0}, {"step": 20000, "value": 2.0})
    drawing = lines(PANEL, data(cells([1.0, 2.0]), published=theirs))
    assert only(drawing).points == ((1, 1.0),)
    (said,) = drawing.notes
    assert said == (
        "1 of the document's points, as far as cycle 20000, lie further along than these runs go "
        "and are not drawn."
    )


def test_points_of_a_run_of_another_length_stand_at_their_share_of_it():
    panel = Lines(name="a", title="A", metrics=("share",), y_label="", document_length=70)
    theirs = table({"step": 35, "value": 1.0}, {"step": 70, "value": 2.0})
    drawing = lines(panel, data(cells([1.0, 2.0, 3.0]), published=theirs))
    assert only(drawing).points == ((1.0, 1.0), (2.0, 2.0))
    assert drawing.notes == (
        "The document's points stand at their share of the run: cycle 70 of its run at 2 of these.",
    )


def test_values_beyond_the_range_shown_are_counted():
    panel = Lines(name="a", title="A", metrics=("share",), y_label="", y_limits=(0.0, 2.0))
    drawing = lines(panel, data(cells([1.0, 2.0, 45.0, -3.0])))
    assert drawing.notes == ("2 values lie beyond the range shown.",)


def test_snapshots_are_matched_by_rank():
    panel = Lines(
        name="a", title="A", metrics=("share",), y_label="", x=("step", "point"), x_scale="rank"
    )
    own = pd.concat([cells([1.0], point="descent"), table({"step": 60, "value": 2.0}, point="end")])
    theirs = pd.concat(
        [cells([3.0], point="descent"), table({"step": 20000, "value": 4.0}, point="end")]
    )
    drawing = lines(panel, data(own, published=theirs))
    assert only(drawing).x == ("0 descent", "60 end")
    assert only(drawing).points == (("0 descent", 3.0), ("60 end", 4.0))
    assert "its step 20000 (end) at step 60 (end)" in drawing.notes[0]
    more = pd.concat([theirs, table({"step": 800, "value": 9.0}, point="descent")])
    unequal = lines(panel, data(own, published=more))
    assert only(unequal).points == (("0 descent", 3.0), ("60 end", 4.0))
    assert "measured at 3 places and these runs at 2" in unequal.notes[0]


def test_only_the_last_step_of_each_arm():
    panel = Lines(
        name="a", title="A", metrics=("share",), y_label="", x=("condition",), x_scale="category",
        at_last=True,
    )  # fmt: skip
    own = data(cells([1.0, 2.0, 3.0]), table({"step": 2, "value": 9.0}, condition="removed"))
    curve = only(lines(panel, own))
    assert (curve.x, curve.seeds) == (("removed", "trained"), ((9.0, 3.0),))


def test_a_document_lists_its_arms_and_names_its_panels_once():
    with pytest.raises(ValueError, match=r"arms must list every arm that is drawn, lacks \['pub"):
        Document(stem="d", title="D", about="", arms={"other": "Other"}, panels=(PANEL,))
    with pytest.raises(ValueError, match="names of panels must differ"):
        Document(
            stem="d", title="D", about="", arms=dict.fromkeys(ARMS, "A"), panels=(PANEL, PANEL)
        )
