"""What the document's own tables say, and the arithmetic that its claims rest on."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.claim.evidence import Run
from decouple.claim.figures import Figure
from decouple.claim.judge import judge_published, judge_runs
from decouple.claim.load import load_claims
from decouple.claim.published import load_tables
from decouple.claim.verdict import Verdict

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "claims" / "test_sequential_cycles.py"
TABLES = ROOT / "fixtures" / "published" / "sequential_cycles"
CLAIMS = {claim.name: claim for claim in load_claims(FILE)}


def module():
    spec = importlib.util.spec_from_file_location("sequential_cycles_claims", FILE)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


CODE = module()


def judged(name):
    claim = CLAIMS[name]
    return judge_published(claim, load_tables(TABLES, claim.source.tables, claim.arms))


CONTRADICTED = {
    "peak-displacement": 0.2254,  # the prose prints the alignment at the peak
    "frozen-drifts-monotonically": 0.107,
    "confused-window": -0.0399,  # the sign is still wrong in cycle 9
    "oscillation-is-periodic": -0.0622,  # after the peak it never rises again
    "frozen-is-more-confident": -0.22,
    "coherence-stays-in-range": 0.73,
}


@pytest.mark.parametrize(
    "name", [name for name, claim in CLAIMS.items() if "published" in claim.bands]
)
def test_the_tables_speak_for_or_against_the_prose(name):
    judgement = judged(name)
    if name in CONTRADICTED:
        assert judgement.verdict is Verdict.CONTRADICTED
        assert judgement.reading.middle == pytest.approx(CONTRADICTED[name], abs=1e-3)
    else:
        assert judgement.verdict is Verdict.CONSISTENT


def test_what_two_tables_print_of_the_same_thing_agrees():
    full, frozen = load_tables(
        TABLES, ["alignment", "entropy_loss_coherence"], ["full_model", "frozen_head"]
    )
    for metric in ("alignment", "held_out_loss", "output_entropy", "coherence"):
        assert full.cell(metric, step="first") == frozen.cell(metric, step="first")
    assert len(full.cells("alignment")) == len(frozen.cells("alignment")) == 13


def by_brute_force(values, swings):
    """Largest a such that some sub-sequence alternates by a or more."""
    best = -np.inf
    for path in itertools.combinations(values, swings + 1):
        steps = [after - before for before, after in itertools.pairwise(path)]
        for sign in (1, -1):
            best = max(best, min(sign * (-1) ** i * step for i, step in enumerate(steps)))
    return best


@given(values=st.lists(st.integers(-20, 20), min_size=5, max_size=9), swings=st.integers(1, 4))
@settings(max_examples=150)
def test_alternating_swings_are_those_of_a_search_over_all_paths(values, swings):
    figures = [Figure.exactly(value) for value in values]
    assert CODE.alternating_swing(figures, swings).middle == by_brute_force(values, swings)


def test_two_periods_are_told_from_one():
    wave = [Figure.exactly(value) for value in (0, 2, 0, 2, 0)]
    hill = [Figure.exactly(value) for value in (0, 1, 2, 1, 0)]
    assert CODE.alternating_swing(wave, 4).middle == 2
    assert CODE.alternating_swing(hill, 4).middle == -1
    assert CODE.alternating_swing(hill, 2).middle == 2


def moves(*cycles, noise=0.003):
    """Evidence of runs whose alignment starts at −0.12 and follows a path, with noise by seed."""

    def table(seed):
        generator = np.random.default_rng([seed, len(cycles)])
        path = np.asarray(cycles) + generator.normal(0, noise, len(cycles))
        return pd.DataFrame({"metric": "alignment", "step": range(13), "value": [-0.12, *path]})

    return table


def drawn(mean, sd=0.004):
    """Evidence of a base measured at positions of each seed's own, and once at shared ones."""

    def table(seed):
        own = mean + np.random.default_rng(seed).normal(0, sd)
        rows = [("alignment", 0, mean), ("baseline_alignment", 0, own)]
        return pd.DataFrame(rows, columns=["metric", "step", "value"])

    return table


def smooth(way):
    """Evidence of runs that go a way ever more slowly, each seed at a pace of its own."""

    def table(seed):
        pace = 5 + 0.3 * np.random.default_rng(seed).normal()
        path = -0.12 + way * (1 - np.exp(-np.arange(13) / pace))
        return pd.DataFrame({"metric": "alignment", "step": range(13), "value": path})

    return table


CYCLES = np.arange(1, 13)
HILL = moves(
    *np.interp(CYCLES, [0, 2, 3, 6, 8, 9, 12], [-0.12, -0.1, 0.05, 0.1, 0.06, -0.03, -0.1])
)
CLIFF = moves(*np.where((CYCLES >= 3) & (CYCLES <= 8), 0.3, -0.3))
RISE = moves(*np.linspace(-0.115, -0.04, 12))
AWAY = moves(*np.linspace(-0.13, -0.25, 12))
STAYS = moves(*np.full(12, -0.12))
FROZEN = moves(*np.full(12, -0.12), noise=0.0)
TENTH = moves(*np.interp(CYCLES, [0, 6, 12], [-0.12, -0.02, -0.1]))
WAVE = moves(*(-0.02 - 0.1 * np.cos(CYCLES * np.pi / 3)))


def verdict(name, *arms):
    """What five seeds say of a claim: of its arms in order, then of those of its controls."""
    claim = CLAIMS[name]
    named = [*claim.arms, *(arm for control in claim.controls for arm in control.arms)]
    tables = dict(zip(dict.fromkeys(named), arms, strict=True))

    def fetch(arm, seeds):
        return {
            seed: Run(tables[arm](seed).assign(document=claim.stem, arm=arm, seed=seed))
            for seed in seeds
        }

    judgement = judge_runs(claim, "gpu", fetch, seeds=range(5), next_seeds=range(5, 10))
    return str(judgement.verdict)


@pytest.mark.parametrize(
    ("name", "arms", "expected"),
    [
        ("baseline-alignment", (drawn(-0.123), drawn(0.4)), "SUPPORTED"),
        ("baseline-alignment", (drawn(-0.08), drawn(0.4)), "REFUTED"),
        ("baseline-alignment", (drawn(-0.123), drawn(-0.123)), "VACUOUS"),
        ("full-crosses-zero", (HILL, RISE), "SUPPORTED"),
        ("full-crosses-zero", (HILL, HILL), "VACUOUS"),
        ("full-crosses-zero", (AWAY, RISE), "REFUTED"),
        ("full-crosses-back", (HILL, RISE), "SUPPORTED"),
        ("full-crosses-back", (AWAY, RISE), "REFUTED"),
        ("frozen-never-crosses", (RISE, HILL), "SUPPORTED"),
        ("frozen-never-crosses", (AWAY, HILL), "SUPPORTED"),
        ("frozen-never-crosses", (HILL, HILL), "REFUTED"),
        ("frozen-never-crosses", (RISE, AWAY), "VACUOUS"),
        ("full-peaks-then-returns", (HILL, RISE), "SUPPORTED"),
        ("full-peaks-then-returns", (HILL, smooth(0.08)), "SUPPORTED"),
        ("full-peaks-then-returns", (RISE, RISE), "REFUTED"),
        ("full-peaks-then-returns", (HILL, HILL), "VACUOUS"),
        ("full-peaks-then-returns", (STAYS, RISE), "REFUTED"),
        ("full-peaks-then-returns", (AWAY, RISE), "REFUTED"),
        ("peak-displacement", (TENTH, FROZEN), "SUPPORTED"),
        ("peak-displacement", (HILL, FROZEN), "REFUTED"),
        ("peak-displacement", (STAYS, FROZEN), "REFUTED"),
        ("peak-displacement", (TENTH, TENTH), "VACUOUS"),
        ("frozen-drifts-monotonically", (smooth(0.08), HILL), "SUPPORTED"),
        ("frozen-drifts-monotonically", (smooth(-0.08), HILL), "SUPPORTED"),
        ("frozen-drifts-monotonically", (HILL, HILL), "REFUTED"),
        ("frozen-drifts-monotonically", (smooth(0.08), smooth(0.12)), "VACUOUS"),
        ("confused-window", (CLIFF, RISE), "SUPPORTED"),
        ("confused-window", (RISE, RISE), "REFUTED"),
        ("oscillation-is-periodic", (WAVE, RISE), "SUPPORTED"),
        ("oscillation-is-periodic", (HILL, RISE), "REFUTED"),
        ("oscillation-is-periodic", (smooth(0.08), RISE), "REFUTED"),
        ("oscillation-is-periodic", (WAVE, WAVE), "VACUOUS"),
    ],
)
def test_seeds_that_differ_a_little_decide_a_clear_case(name, arms, expected):
    assert verdict(name, *arms) == expected


@pytest.mark.parametrize("draw", range(12))
def test_noise_around_the_base_is_no_return(draw):
    def noise(seed):
        path = np.random.default_rng([draw, seed]).normal(-0.12, 0.003, 12)
        return pd.DataFrame({"metric": "alignment", "step": range(13), "value": [-0.12, *path]})

    assert verdict("full-peaks-then-returns", noise, RISE) == "REFUTED"


def test_one_number_for_all_seeds_decides_nothing():
    assert verdict("baseline-alignment", drawn(-0.123, sd=0), drawn(0.4)) == "INCONCLUSIVE"
