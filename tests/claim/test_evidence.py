import numpy as np
import pandas as pd
import pytest

from decouple.claim.evidence import (
    MissingCellError,
    NotFiniteError,
    Run,
    check_complete,
    check_table,
)


def rows(*cells, **common):
    table = pd.DataFrame(list(cells))
    return table.assign(document="toy", arm="published", seed=3, **common)


@pytest.fixture
def run():
    """Shares of two layers over three steps, a loss without layers, and an intervention."""
    shares = [
        {"metric": "share", "step": step, "layer": layer, "value": step + layer / 10}
        for step in (2, 0, 10)
        for layer in (1, 0)
    ]
    for share in shares:
        share["condition"] = "trained"
    losses = [
        {"metric": "loss", "step": step, "condition": condition, "value": value}
        for step, condition, value in (
            (0, "trained", 9.0),
            (10, "trained", 4.0),
            (10, "without_expert_0", 6.0),
        )
    ]
    return Run(rows(*shares, *losses), label="arm published, seed 3")


def middles(cells):
    return [figure.middle for figure in cells]


def test_cells_come_sorted_by_the_coordinates_left_open(run):
    cells = run.cells("share")
    assert middles(cells) == [0, 0.1, 2, 2.1, 10, 10.1]
    assert cells.coordinates["step"].tolist() == [0, 0, 2, 2, 10, 10]
    assert cells.coordinates["layer"].tolist() == [0, 1, 0, 1, 0, 1]
    assert "condition" not in cells.coordinates
    assert middles(run.cells("share", step=2)) == [2, 2.1]
    assert middles(run.cells("share", layer=1)) == [0.1, 2.1, 10.1]


def test_first_and_last_are_those_of_what_the_named_values_leave(run):
    assert run.cell("share", step="last", layer="first").middle == 10
    assert run.cell("share", layer="last", step="first").middle == 0.1
    assert run.cell("loss", step="last").middle == 4
    # The last step at which this layer was measured, not the last of all.
    uneven = Run(
        rows(
            {"metric": "share", "step": 1, "layer": 0, "value": 0.5},
            {"metric": "share", "step": 2, "layer": 1, "value": 0.6},
        )
    )
    assert uneven.cell("share", layer=0, step="last").middle == 0.5
    assert uneven.cell("share", layer="last", step=1).middle == 0.5


def test_first_can_also_be_a_label():
    run = Run(
        rows(
            {"metric": "share", "step": 1, "half": "first", "value": 0.5},
            {"metric": "share", "step": 1, "half": "second", "value": 0.6},
        )
    )
    assert run.cell("share", half="first").middle == 0.5


def test_a_condition_reads_what_was_measured_under_it_and_else_the_trained_model(run):
    under = run.under("without_expert_0")
    assert under.cell("loss", step="last").middle == 6
    assert under.label == "arm published, seed 3, without_expert_0"
    assert middles(under.cells("share", step=2)) == [2, 2.1]
    assert run.cell("loss", step="last").middle == 4, "the run itself is unchanged"
    assert run.cell("loss", step=10, condition="without_expert_0").middle == 6


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda run: run.cells("usage"), "seed 3: no metric 'usage'; there are loss, share"),
        (lambda run: run.cells("loss", layer=1), "loss has no coordinate 'layer'; it has .*step"),
        (lambda run: run.cells("share", step=7), "share: no cell at .* step has 0, 2, 10"),
        (lambda run: run.cells("share", step="7"), "no cell at"),
        (lambda run: run.cell("share", step=2), "share at {'step': 2} must be one cell, got 2"),
        (lambda run: run.under("frozen"), "no condition 'frozen'; there are trained, without_exp"),
        (
            lambda run: run.under("without_expert_0").cell("loss", step=0),
            "published, seed 3, without_expert_0: loss: no cell at",
        ),
    ],
)
def test_a_missing_cell_is_an_error_that_says_what_there_is(run, ask, words):
    with pytest.raises(MissingCellError, match=words):
        ask(run)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_never_handed_to_a_predicate(value):
    run = Run(
        rows(
            {"metric": "share", "step": 0, "value": value},
            {"metric": "share", "step": 1, "value": 0.5},
        )
    )
    with pytest.raises(NotFiniteError, match=r"share at \{\} is not finite"):
        run.cells("share")
    assert run.cell("share", step=1).middle == 0.5


def test_a_run_that_lost_a_cell_or_has_one_too_many_is_incomplete():
    table = rows(
        {"metric": "share", "step": 0, "value": 0.25},
        {"metric": "share", "step": 1, "value": 0.5},
        {"metric": "loss", "step": 1, "value": 4.0},
    )
    check_complete(table, {"share": 2, "loss": 1})
    with pytest.raises(ValueError, match="got loss: 1 of 2, share: 2 of 3"):
        check_complete(table, {"share": 3, "loss": 2})
    with pytest.raises(ValueError, match="got entropy: 0 of 1"):
        check_complete(table, {"share": 2, "loss": 1, "entropy": 1})
    with pytest.raises(ValueError, match="got loss: 1 of 0"):
        check_complete(table, {"share": 2})


def test_published_rows_are_intervals():
    run = Run(rows({"metric": "share", "step": 0, "value": "0.25", "low": 0.245, "high": 0.255}))
    figure = run.cell("share", step=0)
    assert (figure.low, figure.high) == (0.245, 0.255)


def test_coordinates_that_a_metric_does_not_have_are_not_asked_for():
    table = rows(
        {"metric": "share", "step": 0, "layer": 0, "value": 0.5},
        {"metric": "loss", "step": 0, "value": 4.0},
    )
    assert Run(table).cell("loss").middle == 4
    assert "layer" not in Run(table).cells("loss").coordinates


def test_tidy_evidence_passes_and_untidy_is_refused():
    table = rows(
        {"metric": "share", "step": 0, "value": 0.5}, {"metric": "share", "step": 1, "value": 0.5}
    )
    check_table(table)
    with pytest.raises(ValueError, match=r"must have the columns .*, missing \['step'\]"):
        check_table(table.drop(columns="step"))
    twice = pd.concat([table, table.iloc[[1]].assign(value=0.7)])
    with pytest.raises(ValueError, match=r"each cell once, got two values for .*'step': 1"):
        check_table(twice)
