import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.metrics.plateau import (
    FAITHFUL_COSINE,
    FAR_FROM_DECODER,
    FEW_SKIPS,
    FIGHT,
    INVALID_RESIDUAL,
    KINDS,
    MANY_SKIPS,
    PINNED,
    TINY_RESIDUAL,
    UNFAITHFUL_COSINE,
    PlateauFeatures,
    classify,
    undone_movement,
)

INVALID = PlateauFeatures(
    residual=3e-2, cosine=0.1, excess_loss=2.0, skipped=0.9, at_ceiling=0.8, undone=0.1
)
OVER_CONTRACTED = PlateauFeatures(
    residual=2e-5, cosine=0.99, excess_loss=0.7, skipped=0.0, at_ceiling=0.0, undone=0.0
)
BLIND = replace(OVER_CONTRACTED, cosine=-0.045)
FIGHTING = PlateauFeatures(
    residual=5e-3, cosine=0.7, excess_loss=0.7, skipped=0.3, at_ceiling=0.2, undone=3.0
)
SOLVED = replace(OVER_CONTRACTED, excess_loss=0.05)


@pytest.mark.parametrize(
    ("features", "label"),
    [
        (INVALID, "invalid"),
        (OVER_CONTRACTED, "over_contracted"),
        (BLIND, "mismatch"),
        (FIGHTING, "mismatch"),
        (SOLVED, "none"),
    ],
)
def test_constructed_cases_are_told_apart(features, label):
    found = classify(features)
    assert found.label == label
    assert [kind for kind in KINDS if found.margins[kind] >= 0] == ([label] * (label != "none"))


EDGE = PlateauFeatures(
    residual=INVALID_RESIDUAL,
    cosine=0.5,
    excess_loss=0.0,
    skipped=MANY_SKIPS,
    at_ceiling=PINNED,
    undone=0.0,
)


def test_a_threshold_just_met_counts_as_met_and_a_hair_less_does_not():
    assert classify(EDGE).label == "invalid"
    assert classify(EDGE).margins["invalid"] == 0.0
    less = {"residual": 0.999 * INVALID_RESIDUAL, "skipped": 0.499, "at_ceiling": 0.499}
    for name, value in less.items():
        assert classify(replace(EDGE, **{name: value})).label == "none", name


def test_each_word_about_over_contraction_is_needed():
    edge = PlateauFeatures(
        residual=TINY_RESIDUAL,
        cosine=FAITHFUL_COSINE,
        excess_loss=FAR_FROM_DECODER,
        skipped=FEW_SKIPS,
        at_ceiling=0.0,
        undone=0.0,
    )
    assert classify(edge).label == "over_contracted"
    worse = {"residual": 1.01 * TINY_RESIDUAL, "cosine": 0.87, "excess_loss": 0.35, "skipped": 0.11}
    for name, value in worse.items():
        assert classify(replace(edge, **{name: value})).label == "none", name


def test_each_way_to_a_mismatch_has_its_edge():
    assert classify(replace(SOLVED, undone=FIGHT)).label == "mismatch"
    assert classify(replace(SOLVED, undone=0.99 * FIGHT)).label == "none"
    assert classify(replace(SOLVED, cosine=UNFAITHFUL_COSINE)).label == "mismatch"
    assert classify(replace(SOLVED, cosine=1.01 * UNFAITHFUL_COSINE)).label == "none"
    assert classify(replace(BLIND, residual=1.01 * TINY_RESIDUAL)).label == "none"


def test_the_margin_is_the_least_distance_with_residuals_in_decades():
    margins = classify(OVER_CONTRACTED).margins
    assert margins["over_contracted"] == pytest.approx(0.1)  # skips: 0.1 below their limit
    near = classify(replace(OVER_CONTRACTED, residual=TINY_RESIDUAL / 10**0.05)).margins
    assert near["over_contracted"] == pytest.approx(0.05)
    assert margins["invalid"] == pytest.approx(math.log10(2e-5) + 2)


def test_of_two_kinds_that_fit_the_clearer_one_is_named():
    both = replace(INVALID, undone=FIGHT + 0.1)
    assert classify(both).label == "invalid"
    assert classify(replace(INVALID, undone=FIGHT + 5)).label == "mismatch"


def test_what_is_not_known_leaves_open_only_what_it_decides():
    published = PlateauFeatures(residual=2.6e-5, cosine=-0.045, excess_loss=0.7084, skipped=0.0)
    assert classify(replace(published, undone=0.0)).label == "mismatch"
    # A controller that fights besides would be the same kind.
    assert classify(published).label == "mismatch"
    assert classify(PlateauFeatures()).label == "unknown"
    assert classify(replace(OVER_CONTRACTED, cosine=None)).label == "unknown"
    assert classify(replace(OVER_CONTRACTED, undone=None)).label == "unknown"
    assert classify(replace(SOLVED, at_ceiling=None)).label == "none"


features = st.builds(
    PlateauFeatures,
    residual=st.floats(1e-9, 1),
    cosine=st.floats(-1, 1),
    excess_loss=st.floats(-1, 5),
    skipped=st.floats(0, 1),
    at_ceiling=st.floats(0, 1),
    undone=st.floats(0, 5),
)


@given(case=features)
@settings(max_examples=100)
def test_the_label_is_that_of_the_largest_margin_or_none(case):
    found = classify(case)
    best = max(KINDS, key=found.margins.__getitem__)
    assert found.label == (best if found.margins[best] >= 0 else "none")


@given(case=features, name=st.sampled_from(["residual", "cosine", "skipped", "undone"]))
@settings(max_examples=100)
def test_not_knowing_never_gives_another_answer_only_none(case, name):
    partial = classify(replace(case, **{name: None}))
    assert partial.label in ("unknown", classify(case).label)


def test_features_refuse_what_is_no_number():
    with pytest.raises(ValueError, match="cosine must be finite or None, got nan"):
        PlateauFeatures(cosine=math.nan)
    with pytest.raises(ValueError, match=r"residual must be positive, got 0\.0"):
        PlateauFeatures(residual=0.0)


def test_undone_movement_is_what_came_back():
    limits = {"floor": 1.0, "ceiling": 100.0}
    assert undone_movement([1.0, 3.0, 10.0, 100.0], **limits) == pytest.approx(0.0)
    assert undone_movement([1.0, 10.0, 1.0], **limits) == pytest.approx(1.0)
    assert undone_movement([1.0, 10.0, 1.0, 100.0], **limits) == pytest.approx(1.0)
    assert undone_movement([5.0], **limits) == 0.0


def test_undone_movement_refuses_no_weights_and_no_range():
    with pytest.raises(ValueError, match="weights must be positive, at least one"):
        undone_movement([], floor=0.1, ceiling=1.0)
    with pytest.raises(ValueError, match=r"weights must be positive.*\[1.0, 0.0\]"):
        undone_movement([1.0, 0.0], floor=0.1, ceiling=1.0)
    with pytest.raises(ValueError, match=r"below ceiling=0\.1, got 0\.1"):
        undone_movement([1.0], floor=0.1, ceiling=0.1)
