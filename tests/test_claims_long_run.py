"""What five seeds of evidence made by hand decide of the claims of `long_run`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from decouple.claim.evidence import Run
from decouple.claim.judge import judge_published, judge_runs
from decouple.claim.load import load_claims
from decouple.claim.published import load_tables
from decouple.claim.verdict import Verdict

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "fixtures" / "published" / "long_run"
CLAIMS = {claim.name: claim for claim in load_claims(ROOT / "claims" / "test_long_run.py")}
EPOCHS = range(0, 71, 5)
BASE = 0.87

CONTRADICTED = {
    "rise-then-plateau": 0.563,
    "climbs-from-the-start": -0.0115,
    "strengthens-throughout": -0.0077,
    "reaches-091-in-all-layers": 0.8804,
    "sweet-spot-gain": 0.022,
    "sweet-spot-is-the-maximum": -0.0073,
    "with-and-without-converge": 0.1,
    "full-internalisation-by-10": -0.5591,  # layer 9 lies below the base at epoch 10
    "hidden-measurements-warn-first": 0.00005,
    "coherence-stopping-lands-in-the-sweet-spot": -0.5,
}


@pytest.mark.parametrize(
    "name", [name for name, claim in CLAIMS.items() if "published" in claim.bands]
)
def test_the_tables_speak_for_or_against_the_prose(name):
    claim = CLAIMS[name]
    judgement = judge_published(claim, load_tables(TABLES, claim.source.tables, claim.arms))
    if name in CONTRADICTED:
        assert judgement.verdict is Verdict.CONTRADICTED
        assert judgement.reading.middle == pytest.approx(CONTRADICTED[name], abs=1e-4)
    else:
        assert judgement.verdict is Verdict.CONSISTENT


def curve(*points):
    """A line through (epoch, value) at every measured epoch."""
    return np.interp(EPOCHS, *zip(*points, strict=True))


def ratios(rise=((0, 0), (70, 0)), *, kept=1.0, felt=1e-3, noise=2e-4, chance=0.0):
    """Dark matter of three layers by epoch.

    Args:
        rise: Rise above the base with the vectors.
        kept: Part of it that is there without them.
        felt: Further difference that the vectors make in the second and third layer at epoch 5;
            later a twentieth of it. Without vectors it is 0, and all that rises is kept.
        noise: Standard deviation by cell and seed.
        chance: Rise outside a random subspace.
    """
    epochs = np.asarray(EPOCHS)

    def rows(generator):
        for layer in (8, 9, 10):
            noisy = generator.normal(0, noise, len(epochs)) * (epochs > 0)
            swing = generator.normal(1, 0.3, len(epochs)) * np.where(epochs > 5, 0.05, 1)
            felt_here = swing * felt * (layer > 8) * (epochs > 0)
            without = BASE + kept * curve(*rise) + noisy
            values = {
                ("trained", "without"): without,
                ("trained", "with"): BASE + curve(*rise) + noisy + felt_here,
                ("random_basis", "without"): BASE + (chance + noisy) * epochs / 70,
                ("random_basis", "with"): BASE + (chance + noisy) * epochs / 70,
            }
            for (condition, vectors), line in values.items():
                where = {"layer": layer, "condition": condition, "vectors": vectors}
                for epoch, value in zip(EPOCHS, line, strict=True):
                    yield {"step": epoch, "value": value} | where

    return lambda generator: [{"metric": "dark_matter"} | row for row in rows(generator)]


def grades(*points, noise=0.02):
    """Coherence by epoch."""

    def rows(generator):
        for epoch, value in zip(EPOCHS, curve(*points), strict=True):
            yield {
                "metric": "coherence",
                "step": epoch,
                "value": value + generator.normal(0, noise),
            }

    return lambda generator: list(rows(generator))


def prompts(metric, mean, noise=0.04):
    """A grade of six continuations at the end."""

    def rows(generator):
        for prompt in range(6):
            value = np.clip(mean + generator.normal(0, noise), 0, 1)
            yield {"metric": metric, "step": 70, "prompt": str(prompt), "value": value}

    return lambda generator: list(rows(generator))


def continued(end, noise=0.02):
    """Probability of the right second token without the vectors; with them it stays."""

    def rows(generator):
        for step, condition, value in (
            (0, "trained", 0.5),
            (0, "without_vectors", 0.5),
            (70, "trained", 0.5 + generator.normal(0, noise)),
            (70, "without_vectors", end + generator.normal(0, noise)),
        ):
            where = {"step": step, "condition": condition}
            yield {"metric": "continuation_probability"} | where | {"value": value}

    return lambda generator: list(rows(generator))


def both(*parts):
    """Several kinds of measurements of one run."""
    return lambda generator: [row for part in parts for row in part(generator)]


def evidence(rows, arm, seed):
    """A run of one seed; what has no condition is as trained."""
    table = pd.DataFrame(rows(np.random.default_rng([seed, len(arm)])))
    condition = table["condition"].fillna("trained") if "condition" in table else "trained"
    named = table.assign(document="long_run", arm=arm, seed=seed, condition=condition)
    return Run(named, label=f"{arm} {seed}")


def verdict(name, **arms):
    """What five seeds say of a claim; arms that are not given are those of `published`."""

    def fetch(arm, seeds):
        return {seed: evidence(arms.get(arm, arms["published"]), arm, seed) for seed in seeds}

    judgement = judge_runs(CLAIMS[name], "gpu", fetch, seeds=range(5), next_seeds=range(5, 10))
    return str(judgement.verdict)


UP = ((0, 0), (20, 0.035), (70, 0.04))
RISEN = ratios(UP)
HALF_KEPT = ratios(UP, kept=0.5)
FALLEN = ratios(((0, 0), (70, -0.03)))
NEVER = ratios(UP, felt=0.0)
HALFWAY = ratios(((0, 0), (20, 0.015), (70, 0.02)), felt=0.0)
STAYED = ratios(felt=0.0, noise=1e-3)
SLIGHT = ratios(((0, 0), (20, 0.0036), (70, 0.0036)))
STILL = ratios(felt=3e-4, noise=0.0)
FLAT = ratios(noise=1e-3)

LATE = grades((0, 0.6), (25, 0.62), (30, 0.04), (70, 0.02), noise=0.01)
EARLY = grades((0, 0.6), (5, 0.6), (10, 0.1), (70, 0.05))
KEPT = grades((0, 0.6), (70, 0.63))


@pytest.mark.parametrize(
    ("name", "arms", "expected"),
    [
        ("retention-complete", {"published": RISEN}, "SUPPORTED"),
        ("retention-complete", {"published": HALF_KEPT}, "REFUTED"),
        ("retention-complete", {"published": FALLEN}, "REFUTED"),
        ("retention-complete", {"published": FLAT}, "REFUTED"),
        ("retention-complete", {"published": RISEN, "zero_injection": NEVER}, "VACUOUS"),
        ("full-internalisation-by-10", {"published": RISEN}, "SUPPORTED"),
        ("full-internalisation-by-10", {"published": HALF_KEPT}, "REFUTED"),
        ("full-internalisation-by-10", {"published": FLAT}, "REFUTED"),
        ("full-internalisation-by-10", {"published": RISEN, "zero_injection": NEVER}, "VACUOUS"),
    ],
)
def test_retention_says_something_only_where_nothing_rises_without_vectors(name, arms, expected):
    controls = {"zero_injection": STAYED, "no_updates": STILL}
    assert verdict(name, **(controls | arms)) == expected


@pytest.mark.parametrize("name", ["retention-complete", "full-internalisation-by-10"])
def test_a_model_that_never_had_vectors_retains_all_of_its_rise(name):
    found = CLAIMS[name].predicate(evidence(NEVER, "never", 0)).middle
    assert found == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        ({"published": RISEN, "zero_injection": STAYED}, "SUPPORTED"),
        ({"published": RISEN, "zero_injection": HALFWAY}, "SUPPORTED"),
        ({"published": RISEN, "zero_injection": NEVER}, "REFUTED"),  # the vectors added nothing
        ({"published": HALF_KEPT, "zero_injection": STAYED}, "REFUTED"),
        ({"published": FALLEN, "zero_injection": STAYED}, "REFUTED"),
        ({"published": FLAT, "zero_injection": STAYED}, "REFUTED"),
        ({"published": RISEN, "zero_injection": STAYED, "no_updates": RISEN}, "VACUOUS"),
    ],
)
def test_what_the_vectors_added_is_counted_from_the_model_without_them(arms, expected):
    assert verdict("retains-what-the-vectors-added", **({"no_updates": STILL} | arms)) == expected


@pytest.mark.parametrize(
    ("name", "published", "expected"),
    [
        ("dark-matter-rises", ratios(UP, chance=0.004, noise=1e-3), "SUPPORTED"),
        ("dark-matter-rises", FLAT, "REFUTED"),
        ("dark-matter-rises", ratios(UP, chance=0.05), "VACUOUS"),
        (
            "climbs-from-the-start",
            ratios(((0, 0), (5, 0.01), (70, 0.04)), chance=0.015, noise=2e-3),
            "SUPPORTED",
        ),
        ("climbs-from-the-start", FALLEN, "REFUTED"),
        ("sweet-spot-gain", ratios(UP, chance=0.02, noise=2e-3), "SUPPORTED"),
        ("sweet-spot-gain", FLAT, "REFUTED"),
        ("rise-then-plateau", ratios(((0, 0), (20, 0.04), (70, 0.041)), chance=0.002), "SUPPORTED"),
        ("rise-then-plateau", ratios(((0, 0), (70, 0.04))), "REFUTED"),
        ("rise-then-plateau", ratios(((0, 0), (20, -0.04), (70, -0.041))), "REFUTED"),
        ("rise-then-plateau", SLIGHT, "REFUTED"),
        ("rise-then-plateau", FLAT, "REFUTED"),
    ],
)
def test_a_random_subspace_in_doubt_does_not_hide_a_clear_rise(name, published, expected):
    assert verdict(name, published=published, no_updates=STILL) == expected


@pytest.mark.parametrize(
    ("published", "unmasked", "expected"),
    [
        (both(RISEN, LATE), both(FLAT, KEPT), "SUPPORTED"),
        (both(FLAT, LATE), both(FLAT, KEPT), "REFUTED"),
        (both(RISEN, KEPT), both(FLAT, KEPT), "REFUTED"),
        (both(RISEN, LATE), both(RISEN, LATE), "VACUOUS"),
    ],
)
def test_a_warning_counts_by_what_is_lost_of_the_coherence_at_the_start(
    published, unmasked, expected
):
    name = "hidden-measurements-warn-first"
    assert verdict(name, published=published, unmasked=unmasked) == expected


@pytest.mark.parametrize(
    ("published", "unmasked", "expected"),
    [
        (both(RISEN, LATE), both(FALLEN, KEPT), "SUPPORTED"),
        (both(RISEN, LATE), both(RISEN, KEPT), "SUPPORTED"),
        (both(RISEN, KEPT), both(FALLEN, KEPT), "REFUTED"),
        (both(FALLEN, LATE), both(FALLEN, KEPT), "REFUTED"),
    ],
)
def test_an_inside_that_never_gained_is_a_number_too(published, unmasked, expected):
    name = "inside-holds-while-outside-breaks"
    assert verdict(name, published=published, unmasked=unmasked) == expected


@pytest.mark.parametrize(
    ("end", "unmasked", "random_mask", "expected"),
    [
        (0.27, 0.9, 0.5, "SUPPORTED"),
        (0.48, 0.9, 0.5, "REFUTED"),
        (0.27, 0.9, 0.27, "VACUOUS"),
    ],
)
def test_both_ends_of_a_continuation_are_read_without_vectors(end, unmasked, random_mask, expected):
    arms = {"unmasked": continued(unmasked), "random_mask": continued(random_mask)}
    name = "mask-breaks-continuation-bytes"
    assert verdict(name, published=continued(end), **arms) == expected


@pytest.mark.parametrize(
    ("name", "metric", "controls", "mean", "expected"),
    [
        ("broken-utf8", "broken", ("unmasked", "ascii_corpus"), 0.2, "SUPPORTED"),
        ("broken-utf8", "broken", ("unmasked", "ascii_corpus"), 0.97, "SUPPORTED"),
        ("broken-utf8", "broken", ("unmasked", "ascii_corpus"), 0.03, "REFUTED"),
        ("single-token-loops", "looping", ("unmasked", "no_updates"), 0.5, "SUPPORTED"),
        ("single-token-loops", "looping", ("unmasked", "no_updates"), 0.97, "SUPPORTED"),
        ("single-token-loops", "looping", ("unmasked", "no_updates"), 0.25, "SUPPORTED"),
        ("single-token-loops", "looping", ("unmasked", "no_updates"), 0.05, "REFUTED"),
    ],
)
def test_continuations_that_all_fail_still_differ_by_seed(name, metric, controls, mean, expected):
    ordinary = prompts(metric, 0.0, noise=0.0 if metric == "broken" else 0.04)
    arms = dict.fromkeys(controls, ordinary)
    assert verdict(name, published=prompts(metric, mean), **arms) == expected
    if expected == "SUPPORTED":
        arms[controls[0]] = prompts(metric, mean)
        assert verdict(name, published=prompts(metric, mean), **arms) == "VACUOUS"


def test_a_plateau_that_needs_no_training_shows_nothing():
    plateau = ratios(((0, 0), (20, 0.04), (70, 0.041)), chance=0.002)
    assert verdict("rise-then-plateau", published=plateau, no_updates=plateau) == "VACUOUS"


@pytest.mark.parametrize(
    ("published", "unmasked", "expected"),
    [
        (LATE, KEPT, "SUPPORTED"),
        (grades((0, 0.6), (20, 0.62), (25, 0.1), (70, 0.05)), KEPT, "SUPPORTED"),
        (EARLY, KEPT, "REFUTED"),
        (KEPT, KEPT, "REFUTED"),
        (grades((0, 0.6), (30, 0.55), (40, 0.02), (70, 0.02)), KEPT, "REFUTED"),
        (LATE, LATE, "VACUOUS"),
    ],
)
def test_when_coherence_stopping_stops_is_a_distance_from_the_line(published, unmasked, expected):
    name = "coherence-stopping-lands-in-the-sweet-spot"
    assert verdict(name, published=published, unmasked=unmasked) == expected
