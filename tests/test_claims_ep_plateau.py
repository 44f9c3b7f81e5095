"""The transcribed tables of `ep_plateau` against each other, and predicates on cases by hand."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from decouple.claim import UndecidableError
from decouple.claim.evidence import Run
from decouple.claim.figures import Figure
from decouple.claim.judge import judge_published
from decouple.claim.load import load_claims
from decouple.claim.published import load_tables
from decouple.claim.verdict import Verdict

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "fixtures" / "published" / "ep_plateau"
CLAIMS = {claim.name: claim for claim in load_claims(ROOT / "claims" / "test_ep_plateau.py")}


def published(*tables, arm="published"):
    return load_tables(TABLES, tables, [arm])[0]


def measured(*rows):
    """A run by hand: (metric, step, value) each."""
    table = pd.DataFrame(rows, columns=["metric", "step", "value"])
    return Run(table.assign(document="ep_plateau", arm="by hand", seed=0), label="by hand")


@pytest.mark.parametrize("arm", ["published", "bp"])
def test_normalised_influence_is_the_raw_row_over_its_first_distance(arm):
    table = published("influence", arm=arm)
    raw = table.cells("influence").by("distance")
    printed = table.cells("influence_normalised").by("distance")
    assert list(raw) == list(printed) == [1, 8, 16, 64, 200]
    for distance, cells in printed.items():
        assert cells[0].overlaps(raw[distance][0] / raw[1][0])


def test_a_loss_printed_in_several_places_is_one_number_within_rounding():
    orphan = [
        *published("setup").cells("best_validation_loss"),
        *published("regulariser_grid").cells("best_validation_loss"),
        *published("triangulation").cells("validation_loss_at", point="plateau"),
    ]
    decoder = list(published("setup", arm="bp").cells("best_validation_loss"))
    assert (len(orphan), len(decoder)) == (4, 2)
    for several in (orphan, decoder):
        assert all(a.overlaps(b) for a in several for b in several)


def test_the_plateau_was_measured_twice_and_the_measurements_are_not_one_number():
    both = published("triangulation", "lr_sweep")
    for metric in ("cosine_ep_bptt", "norm_ratio"):
        first, second = both.cells(metric, point="plateau")
        assert not first.overlaps(second)
    ratios = both.cells("norm_ratio", point="plateau")
    assert (ratios.max() / ratios.min()).overlaps(Figure.printed("8.7"))


def test_the_loss_column_stands_in_two_tables_with_the_same_digits():
    column = published("triangulation").cells("validation_loss_at")
    trajectory = published("descent").cells("validation_loss")
    assert [(f.low, f.high) for f in column] == [(f.low, f.high) for f in trajectory]


def test_four_times_as_far_is_what_the_best_steps_give():
    sweep = published("lr_sweep")
    further = sweep.cell("loss_change_bptt") / sweep.cell("loss_change_ep")
    assert further.overlaps(Figure.printed("4"))


def test_of_the_two_comparisons_of_the_grid_only_one_is_the_figure_of_the_prose():
    base, ceiling_8, orphan = (
        published("regulariser_grid", arm=arm).cell("best_validation_loss")
        for arm in ("grid_base", "grid_jr_max_8", "published")
    )
    prose = Figure.printed("0.04")
    assert not (base - ceiling_8).overlaps(prose)
    assert (orphan - ceiling_8).overlaps(prose)


def test_the_gap_of_the_best_losses_lies_within_the_gaps_by_position():
    ep, bp = published("setup"), published("setup", arm="bp")
    gap = ep.cells("best_validation_loss").min() - bp.cells("best_validation_loss").max()
    by_position = published("influence")
    least, most = (by_position.cell(f"position_loss_gap_{end}") for end in ("least", "most"))
    assert gap.overlaps(Figure(least.low, most.high))


def test_attention_starts_as_even_attention_to_all_that_went_before():
    even = sum(math.log(visible) for visible in range(1, 257)) / 256
    start = published("branches").cells("attention_entropy", point="descent")[0]
    assert start.overlaps(Figure.exactly(even))


def test_the_documents_untrained_model_is_worse_than_a_uniform_guess():
    untrained = published("triangulation").cell("validation_loss_at", step=0)
    assert untrained.low > published("setup").cell("uniform_loss").high


def test_the_tables_contradict_these_findings_and_no_others():
    contradicted = set()
    for name, claim in CLAIMS.items():
        if "published" in claim.tiers:
            judgement = judge_published(
                claim, load_tables(TABLES, claim.source.tables, list(claim.arms))
            )
            assert judgement.verdict in (Verdict.CONSISTENT, Verdict.CONTRADICTED), name
            if judgement.verdict is Verdict.CONTRADICTED:
                contradicted.add(name)
    assert contradicted == {
        "plateau-cosine-below-a-tenth",
        "horizon-agrees-all-the-time",
        "bptt-worse-at-a-matched-step",
        "jr-max-8-beats-32",
        "ep-couples-twenty-times-weaker",
        "ep-at-least-bptt-at-a-matched-residual",
        "plateau-type",
    }


def test_a_loss_between_two_known_steps_is_anything_between_them():
    bptt = published("bptt_controller", arm="bptt")
    claim = CLAIMS["bptt-worse-at-a-matched-step"]
    loss, matched = claim.predicate(bptt, published("descent"))
    assert (loss.low, loss.high) == pytest.approx((3.845, 3.855))
    assert (matched.low, matched.high) == pytest.approx((3.555, 4.115))


def test_a_ceiling_that_was_never_reached_is_not_judged():
    predicate = CLAIMS["jr-max-8-beats-32"].predicate
    loss = ("best_validation_loss", 30, 2.4)
    low = measured(loss, ("regulariser_weight", 10, 0.1), ("regulariser_weight", 20, 8.0))
    with pytest.raises(UndecidableError, match="never rose above 8"):
        predicate(low, low)
    high = measured(loss, ("regulariser_weight", 10, 0.1), ("regulariser_weight", 20, 8.1))
    assert predicate(high, low) == (Figure.exactly(2.4), Figure.exactly(2.4))


@pytest.mark.parametrize(
    "name", ["relaxing-floor-and-target-does-not-help", "dips-below-the-orphan"]
)
def test_a_knob_that_stood_still_is_not_judged(name):
    claim = CLAIMS[name]
    loss = ("best_validation_loss", 30, 2.4)
    moved = measured(loss, ("knob_moved", 30, 0.2))
    pinned = measured(loss, ("knob_moved", 30, 0.0))
    claim.predicate(*[moved] * len(claim.arms))
    with pytest.raises(UndecidableError, match="never moved"):
        claim.predicate(*[moved] * (len(claim.arms) - 1), pinned)


def averaged(one, all_of_eight):
    """A run by hand whose gradients have these cosines, of one batch and of eight as one."""
    table = pd.DataFrame(
        {
            "metric": "cosine_averaged",
            "step": 60,
            "point": "plateau",
            "batches": [1, 8],
            "value": [one, all_of_eight],
        }
    )
    return Run(table.assign(document="ep_plateau", arm="by hand", seed=0), label="by hand")


def test_noise_alone_fails_where_bias_is_claimed():
    claim = CLAIMS["bias-not-noise"]
    band = claim.bands["gpu"]
    # Gradients of cosine c with a unit vector, the rest independent noise, averaged over eight.
    generator, c, size = np.random.default_rng(0), 0.3, 4000
    noise = generator.normal(size=(8, size)) * np.sqrt((1 - c**2) / size)
    noise[:, 0] = c
    mean = noise.mean(axis=0)
    of_noise = claim.predicate(averaged(c, mean[0] / np.linalg.norm(mean)))
    assert of_noise.middle == pytest.approx(1, abs=0.05)
    assert band.margin(of_noise.middle) < 0
    of_bias = claim.predicate(averaged(c, c))
    assert band.margin(of_bias.middle) > 0
    with pytest.raises(UndecidableError, match="too few batches"):
        claim.predicate(averaged(0.05, 0.05))


def test_a_knob_that_lay_at_its_floor_is_not_judged():
    claim = CLAIMS["relaxing-floor-and-target-does-not-help"]
    rows = (("best_validation_loss", 30, 2.4), ("knob_moved", 30, 0.2))
    floored = measured(*rows, ("knob_at_floor", 30, 0.95))
    with pytest.raises(UndecidableError, match="lay at its floor"):
        claim.predicate(*[floored] * len(claim.arms))


def test_another_estimator_is_no_cure_where_the_true_gradient_gains_nothing():
    predicate = CLAIMS["estimator-is-the-cause"].predicate
    frozen, tracking, bptt = (
        measured(("validation_loss", 0, 3.0), ("validation_loss", 20, end))
        for end in (3.1, 3.4, 3.2)
    )
    with pytest.raises(UndecidableError, match="gains nothing"):
        predicate(frozen, tracking, bptt)


def test_horizon_and_rates_are_judged_by_the_worst_cell():
    rates = pd.DataFrame(
        {
            "metric": "loss_change_ep",
            "step": 60,
            "point": "plateau",
            "learning_rate": [1e-4, 3e-4, 1e-3],
            "value": [-0.5, 0.2, -0.1],
        }
    )
    claim = CLAIMS["ep-diverges-above-3e-4"]
    assert claim.predicate(Run(rates)) == Figure.exactly(-0.1)
