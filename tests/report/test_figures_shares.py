"""Heat maps and generations: what of the evidence they show."""

import math

import numpy as np
import pandas as pd
import pytest

from decouple.report.figures.data import Data, NothingToDrawError
from decouple.report.figures.panels import Heat, Samples
from decouple.report.figures.shares import heat
from decouple.report.figures.texts import TEXT_LIMIT, samples

ARMS = ("published", "balanced")


def table(*rows, **common):
    """Rows of evidence; a row is step, value and what else it has."""
    base = {"arm": "published", "seed": 0, "metric": "share", "condition": "trained", **common}
    return pd.DataFrame([{**base, **row} for row in rows])


def data(*tables, published=None):
    own = pd.DataFrame() if published is None else published.assign(low=0, high=0)
    return Data(pd.concat(tables, ignore_index=True), own, ARMS)


HEAT = Heat(name="usage", title="Usage", metric="usage", arms=ARMS)


def usage(seed, shares):
    """`shares` is (steps, layers, experts)."""
    return pd.DataFrame(
        [
            {"arm": "published", "seed": seed, "metric": "usage", "condition": "trained",
             "step": s, "layer": x, "expert": e, "value": shares[s][x][e]}
            for s in range(len(shares)) for x in range(len(shares[0])) for e in range(2)
        ]
    )  # fmt: skip


def test_experts_are_ranked_within_each_seed_before_they_are_averaged():
    # The experts change places from seed to seed: averaged by number, nothing would be seen.
    (grid,) = heat(HEAT, data(usage(0, [[[0.5, 0.5]], [[0.9, 0.1]]]),
                                   usage(1, [[[0.4, 0.6]], [[0.3, 0.7]]])))  # fmt: skip
    assert grid.seeds == 2
    assert grid.rows == ("0 · 1st", "0 · 2nd")
    assert grid.x == (0, 1)
    np.testing.assert_allclose(grid.values, [[0.55, 0.8], [0.45, 0.2]])


def test_the_documents_own_shares_stand_beside_with_gaps_where_it_gives_none():
    theirs = usage(0, [[[0.5, 0.5], [0.6, 0.4]], [[0.9, 0.1], [0.8, 0.2]]]).drop(columns="seed")
    theirs = theirs[(theirs["step"] == 1) | (theirs["layer"] == 0)]
    grids = heat(HEAT, data(usage(0, [[[0.5, 0.5]]]), published=theirs))
    assert [grid.title for grid in grids] == ["published", "the document"]
    np.testing.assert_equal(grids[1].values[2], (math.nan, 0.8))  # noqa: PD011 - no data frame


def test_without_shares_there_is_no_heat_map():
    with pytest.raises(NothingToDrawError, match="holds usage"):
        heat(HEAT, data(table({"step": 0, "value": 1.0})))


def test_generations_stand_side_by_side_by_prompt_step_arm_and_seed():
    rows = [
        table({"step": step, "value": 3, "text": f"{arm}{seed}{step}{prompt}"}, arm=arm, seed=seed,
              metric="continuation", prompt=prompt)
        for arm in ARMS for seed in (0, 1, 2) for step in (0, 5) for prompt in ("B", "A")
    ]  # fmt: skip
    first, second = samples(Samples(name="s", title="S", arms=ARMS), data(*rows))
    assert (first.title, second.title) == ("prompt: A", "prompt: B")
    assert first.columns == (
        "published, seed 0", "published, seed 1", "balanced, seed 0", "balanced, seed 1"
    )  # fmt: skip
    assert first.rows[1] == (
        "cycle 5", ("published05A", "published15A", "balanced05A", "balanced15A")
    )  # fmt: skip


def test_without_text_there_are_no_generations():
    with pytest.raises(NothingToDrawError, match=r"^S: not drawn"):
        samples(Samples(name="s", title="S"), data(table({"step": 0, "value": 1.0})))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (r"one\n\ntwo", "one\n\ntwo"),
        (r"a\\n is no break, \x07 stays", r"a\n is no break, \x07 stays"),
        ("turned \u202e around", "turned ⟨202E⟩ around"),
        ("x" * TEXT_LIMIT, "x" * TEXT_LIMIT),
        ("x" * (TEXT_LIMIT + 1), "x" * TEXT_LIMIT + " …"),
    ],
)
def test_generations_get_their_line_breaks_back_and_long_ones_are_cut(text, seen):
    row = {"step": 0, "value": 1, "text": text}
    rows = table(row, arm="published", seed=0, metric="continuation", prompt=r"a\n  b")
    (found,) = samples(Samples(name="s", title="S"), data(rows))
    assert found.rows == (("cycle 0", (seen,)),)
    assert found.title == "prompt: a b"
