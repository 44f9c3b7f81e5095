"""What the document's own tables say, and the arithmetic that its claims rest on."""

import importlib.util
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.claim.figures import Figure
from decouple.claim.judge import judge_published
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
    "oscillation-is-periodic": 0.0,
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
    best = 0.0
    for path in itertools.combinations(values, swings + 1):
        steps = [after - before for before, after in itertools.pairwise(path)]
        for sign in (1, -1):
            best = max(best, min(sign * (-1) ** i * step for i, step in enumerate(steps)))
    return best


@given(values=st.lists(st.integers(-20, 20), min_size=1, max_size=9), swings=st.integers(1, 4))
@settings(max_examples=150)
def test_alternating_swings_are_those_of_a_search_over_all_paths(values, swings):
    figures = [Figure.exactly(value) for value in values]
    assert CODE.alternating_swing(figures, swings).middle == by_brute_force(values, swings)


def test_two_periods_are_told_from_one():
    wave = [Figure.exactly(value) for value in (0, 2, 0, 2, 0)]
    hill = [Figure.exactly(value) for value in (0, 1, 2, 1, 0)]
    assert CODE.alternating_swing(wave, 4).middle == 2
    assert CODE.alternating_swing(hill, 4).middle == 0
    assert CODE.alternating_swing(hill, 2).middle == 2
