"""The transcribed tables of `ep_plateau` against each other, and predicates on cases by hand."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from decouple.claim import UndecidableError
from decouple.claim.evidence import Run
from decouple.claim.figures import Figure
from decouple.claim.judge import judge_published, judge_runs
from decouple.claim.load import load_claims
from decouple.claim.published import load_tables
from decouple.claim.verdict import Verdict
from decouple.experiments.ep_plateau import ARMS
from decouple.experiments.ep_plateau.presets import published as published_preset

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
    # What a sparse record shows of the weight does not count, but the largest of all steps.
    record = [("regulariser_weight", 10, 0.1), ("regulariser_weight", 20, 9.0)]
    low = measured(loss, *record, ("largest_regulariser_weight", 30, 8.0))
    with pytest.raises(UndecidableError, match="never rose above 8"):
        predicate(low, low)
    high = measured(loss, record[0], ("largest_regulariser_weight", 30, 8.1))
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


NOISY = ("best_validation_loss", "validation_loss", "early_validation_loss", "peak_residual")


def judged(name, arms, noise=1e-3):
    """A claim judged on runs by hand: metrics by arm, what is judged differs a little by seed.

    A metric is a value at the last step, or values by step.
    """

    def fetch(arm, seeds):
        return {seed: run_of(arm, seed) for seed in seeds}

    def run_of(arm, seed):
        generator = np.random.default_rng([seed, list(arms).index(arm)])
        rows = []
        for metric, cells in arms[arm].items():
            by_step = cells if isinstance(cells, dict) else {20_000: cells}
            drift = 1 + noise * generator.normal() if metric in NOISY else 1.0
            rows += [(metric, step, value * drift) for step, value in by_step.items()]
        table = pd.DataFrame(rows, columns=["metric", "step", "value"])
        return Run(table.assign(document="ep_plateau", arm=arm, seed=seed), label=f"arm {arm}")

    return judge_runs(CLAIMS[name], "gpu", fetch, seeds=range(5), next_seeds=range(5, 15))


MOVED = {"knob_moved": 25.0, "knob_at_floor": 0.2, "largest_regulariser_weight": 25.0}


def loss(value, **more):
    return {"best_validation_loss": value, **more}


def grid(base, ceiling_4, ceiling_8, ceiling_16, **changes):
    losses = {
        "grid_base": base,
        "grid_jr_max_4": ceiling_4,
        "grid_jr_max_8": ceiling_8,
        "grid_jr_max_16": ceiling_16,
        "grid_floor_0.05": 2.477,
        "grid_floor_0.03_target_5e-3": 2.482,
    }
    arms = {arm: loss(value, **MOVED | changes) for arm, value in losses.items()}
    return {**arms, "bp": loss(1.695)}


GRID_CLAIMS = (
    "jr-max-8-beats-32",
    "jr-max-4-beats-32",
    "higher-ceilings-cost-more",
    "no-setting-comes-near-the-band",
)


@pytest.mark.parametrize("name", GRID_CLAIMS)
def test_the_documents_own_grid_supports_what_is_said_of_it(name):
    assert judged(name, grid(2.463, 2.376, 2.3648, 2.416)).verdict is Verdict.SUPPORTED


@pytest.mark.parametrize("name", GRID_CLAIMS)
def test_a_grid_without_effect_supports_none_of_it(name):
    level = 1.7 if name == "no-setting-comes-near-the-band" else 2.4
    assert judged(name, grid(level, level, level, level)).verdict is Verdict.REFUTED


def test_one_setting_near_the_band_is_enough_to_refute_that_none_comes_near():
    found = judged("no-setting-comes-near-the-band", grid(2.463, 1.7, 2.3648, 2.416))
    assert found.verdict is Verdict.REFUTED


def test_a_loss_that_rises_and_falls_again_with_the_ceiling_does_not_rise():
    found = judged("higher-ceilings-cost-more", grid(2.40, 2.376, 2.3648, 2.45))
    assert found.verdict is Verdict.REFUTED


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("jr-max-8-beats-32", {"largest_regulariser_weight": 8.0}, "never rose above 8"),
        ("jr-max-4-beats-32", {"largest_regulariser_weight": 4.0}, "never rose above 4"),
        ("higher-ceilings-cost-more", {"largest_regulariser_weight": 8.0}, "never rose above 8"),
        ("higher-ceilings-cost-more", {"largest_regulariser_weight": 16.0}, "never rose above 16"),
        ("no-setting-comes-near-the-band", {"knob_moved": 0.0}, "never moved"),
        ("no-setting-comes-near-the-band", {"knob_at_floor": 0.95}, "lay at its floor"),
    ],
)
def test_a_grid_whose_knob_was_not_turned_decides_nothing(name, change, words):
    found = judged(name, grid(2.463, 2.376, 2.3648, 2.416, **change))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert words in found.reason


@pytest.mark.parametrize(
    ("tracking", "verdict"),
    [(2.0, Verdict.SUPPORTED), (2.40, Verdict.REFUTED), (2.6, Verdict.REFUTED)],
)
def test_tracking_has_to_get_lower(tracking, verdict):
    arms = {"published": loss(2.4037), "tracking": loss(tracking)}
    assert judged("tracking-lowers-the-plateau", arms).verdict is verdict


BROKEN = [
    ({"fuse_blown": 1.0}, "blew its fuse"),
    ({"diverged": 1.0}, "diverged"),
    ({"broken_basin": 0.8}, "ended off its fixed point"),
]
HELD = {"fuse_blown": 0.0, "diverged": 0.0, "broken_basin": 0.3}


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_tracking_that_dips_and_then_breaks_has_not_lowered_the_plateau(change, words):
    def found(**changes):
        arms = {"published": loss(2.4037, **HELD), "tracking": loss(2.0, **HELD | changes)}
        return judged("tracking-lowers-the-plateau", arms)

    assert found().verdict is Verdict.SUPPORTED
    broken = found(**change)
    assert broken.verdict is Verdict.INCONCLUSIVE
    assert words in broken.reason
    assert "arm tracking" in broken.reason


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ((0.2, 0.45, 0.708), Verdict.SUPPORTED),
        ((0.7, 0.7, 0.708), Verdict.REFUTED),
        ((0.2, 0.708, 0.708), Verdict.REFUTED),  # from 128 on it no longer grows
    ],
)
def test_the_gap_has_to_grow_at_every_doubling_of_the_context(gaps, verdict):
    assert judged("gap-grows-with-context", contexts(gaps)).verdict is verdict


def contexts(gaps):
    """Decoders at contexts of 64, 128 and 256, and blocks that are so far from them."""
    decoders = {"bp_context_64": 1.9, "bp_context_128": 1.8, "bp": 1.695}
    arms = {name: loss(value) for name, value in decoders.items()}
    for arm, decoder, gap in zip(
        ("context_64", "context_128", "published"), decoders.values(), gaps, strict=True
    ):
        arms[arm] = loss(decoder + gap, **HELD)
    return arms


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_a_gap_to_a_run_that_breaks_is_none(change, words):
    arms = contexts((0.2, 0.45, 0.708))
    arms["context_64"] |= change
    found = judged("gap-grows-with-context", arms)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert words in found.reason
    assert "arm context_64" in found.reason


@pytest.mark.parametrize(
    ("name", "arms"),
    [
        ("gap-grows-with-context", contexts((0.2, 0.45, 0.708))),
        ("higher-ceilings-cost-more", grid(2.463, 2.376, 2.3648, 2.416)),
        ("fastest-early-but-excursion-prone", None),
    ],
)
def test_what_differs_by_seed_alone_is_not_one_number_by_construction(name, arms):
    arms = arms or starts({"gate_small_init": 4.03, "gate_warmup": 5.2, "gate_prewarm": 4.8})
    found = judged(name, arms)
    assert found.verdict is Verdict.SUPPORTED
    (control,) = found.controls
    assert any(control.control.blocks)
    assert control.standing.summary.sd > 0
    assert control.separation is not None


@pytest.mark.parametrize(("change", "words"), BROKEN)
@pytest.mark.parametrize("arm", ["swap_tracking", "swap_bptt"])
def test_an_estimator_that_breaks_is_no_cure(arm, change, words):
    ends = {"swap_frozen": 2.6, "swap_tracking": 2.0, "swap_adjoint": 2.0, "swap_bptt": 2.0}
    arms = {name: {"validation_loss": {0: 2.4, 1000: end}, **HELD} for name, end in ends.items()}
    assert judged("estimator-is-the-cause", arms).verdict is Verdict.SUPPORTED
    arms[arm] |= change
    found = judged("estimator-is-the-cause", arms)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert words in found.reason


def tight(ep, bptt, ep_loss=1.60, ep_early=2.0, **ep_more):
    """Runs at these residuals and losses in their second half, far off before it."""
    arms = {}
    for arm, residual, early, late in (
        ("ep_tight", ep, ep_early, ep_loss),
        ("bptt_tight", bptt, 2.0, 1.66),
    ):
        arms[arm] = {
            "residual": {5000: 0.05, 10_000: 0.05, 15_000: residual, 20_000: residual},
            "validation_loss": {0: 8.3, 10_000: early, 15_000: late, 20_000: late + 0.03},
            "best_validation_loss": min(early, late),
            **MOVED,
            **HELD,
        }
    arms["ep_tight"] |= ep_more
    return arms


def test_at_matched_residuals_the_order_of_the_losses_decides():
    name = "ep-at-least-bptt-at-a-matched-residual"
    assert judged(name, tight(1.5e-4, 2e-4)).verdict is Verdict.SUPPORTED
    assert judged(name, tight(1.5e-4, 2e-4, ep_loss=1.70)).verdict is Verdict.REFUTED
    # What lies below the tolerance of the free phase is as far as EP can tell.
    assert judged(name, tight(9e-6, 1e-8)).verdict is Verdict.SUPPORTED


def test_a_loss_from_before_the_residuals_matched_is_not_compared():
    name = "ep-at-least-bptt-at-a-matched-residual"
    dipped = tight(1.5e-4, 2e-4, ep_loss=1.70, ep_early=1.50)
    assert judged(name, dipped).verdict is Verdict.REFUTED


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_a_run_that_breaks_at_a_matched_residual_decides_nothing(change, words):
    found = judged("ep-at-least-bptt-at-a-matched-residual", tight(1.5e-4, 2e-4, **change))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert words in found.reason
    assert "arm ep_tight" in found.reason


@pytest.mark.parametrize(
    ("ep", "bptt", "words"),
    [
        (3e-5, 3e-4, "differ by more than a factor of 3.2 and are not matched"),
        (3e-4, 3e-5, "differ by more than a factor of 3.2 and are not matched"),
        (1.5e-4, 0.068, "a residual of 0.068 is not tight"),
        (2e-3, 2e-3, "a residual of 0.002 is not tight"),
    ],
)
def test_residuals_that_do_not_match_decide_nothing(ep, bptt, words):
    found = judged("ep-at-least-bptt-at-a-matched-residual", tight(ep, bptt))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert words in found.reason


def test_the_numbers_of_a_matched_residual_are_those_of_the_arms():
    predicate = CLAIMS["ep-at-least-bptt-at-a-matched-residual"].predicate
    names = predicate.__globals__
    own = published_preset()
    for arm in ("ep_tight", "bptt_tight"):
        target = ARMS[arm](own).training.contraction.target_residual
        assert target == pytest.approx(names["TIGHT"])
    ratio = own.training.contraction.target_residual / names["TIGHT"]
    assert names["MATCHED"] == pytest.approx(math.sqrt(ratio))
    assert own.training.estimator.relaxation.tolerance == names["RESOLVED"]
    assert own.gate.early == names["EARLY"]


def starts(early, peak=0.14, **later):
    """The three starts of exp4: lowest early losses, all of them lower in the end if told so."""
    arms = {}
    for arm, value in early.items():
        end = later.get(arm, value - 0.1)
        arms[arm] = {
            "early_validation_loss": value,
            "best_validation_loss": min(value, end),
            "validation_loss": {300: value, 1000: end},
            "peak_residual": peak if arm == "gate_small_init" else 5e-3,
        }
    return arms


def test_fastest_early_is_judged_early_and_against_both_others():
    name = "fastest-early-but-excursion-prone"
    order = {"gate_small_init": 4.03, "gate_warmup": 5.2, "gate_prewarm": 4.8}
    assert judged(name, starts(order)).verdict is Verdict.SUPPORTED
    # That it is caught up later is no objection, and that it is best later no help.
    assert judged(name, starts(order, gate_warmup=3.0)).verdict is Verdict.SUPPORTED
    slow = order | {"gate_small_init": 5.5}
    assert judged(name, starts(slow, gate_small_init=3.0)).verdict is Verdict.REFUTED
    behind_prewarm = order | {"gate_prewarm": 3.9}
    assert judged(name, starts(behind_prewarm)).verdict is Verdict.REFUTED
    assert judged(name, starts(order, peak=0.02)).verdict is Verdict.REFUTED


def test_what_a_table_has_of_the_early_steps_bounds_the_lowest_early_loss():
    early = CLAIMS["fastest-early-but-excursion-prone"].predicate.__globals__["early_loss"]
    found = {
        arm: early(published("gate", arm=arm))
        for arm in ("gate_small_init", "gate_warmup", "gate_prewarm")
    }
    assert (found["gate_small_init"].low, found["gate_small_init"].high) == (4.025, 4.035)
    assert (found["gate_warmup"].low, found["gate_warmup"].high) == (4.105, 6.075)
    assert (found["gate_prewarm"].low, found["gate_prewarm"].high) == (4.125, 5.975)
