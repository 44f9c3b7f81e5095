"""Mutants of the equilibrium-propagation campaign: its readouts, arms and gates."""

from __future__ import annotations

from mutant import Mutant

CLAIMS = "claims/test_ep_plateau.py::test_"
TESTS = "tests/experiments/ep_plateau/test_ep_"
FOLDER = "decouple/experiments/ep_plateau/"


def _smoke(*names: str) -> tuple[str, ...]:
    return tuple(f"{CLAIMS}{name}[smoke]" for name in names)


EP_PLATEAU: tuple[Mutant, ...] = (
    # Caught by a verdict.
    Mutant(
        name="plateau-gate-at-the-fuse",
        why="the fuse's residual taken for the gate's",
        file="decouple/training/contraction.py",
        before="    free = (residual <= config.gate_residual).all()",
        after="    free = (residual <= config.fuse_residual).all()",
        caught_by=_smoke("dead_zone_under_warmup"),
    ),
    Mutant(
        name="plateau-queries-not-normalised",
        why="the norm of queries is lost where heads are split",
        file="decouple/models/equilibrium.py",
        before="        query, query_scale = normalise(query, centred=False)",
        after="        _, query_scale = normalise(query, centred=False)",
        caught_by=_smoke("qk_rms_is_one"),
    ),
    Mutant(
        name="plateau-self-cosine-over-one-batch",
        why="a gradient is compared with itself in place of that of another batch",
        file="decouple/metrics/gradients.py",
        before="    return [cosine(first, second) for first, second in",
        after="    return [cosine(first, first) for first, _ in",
        caught_by=("tests/metrics/test_gradients.py",),
    ),
    Mutant(
        name="plateau-tracking-never-read",
        why="the estimators to compare are all made from the run's own",
        file=FOLDER + "arms.py",
        before='        "tracking": replace(own, correction="tracking"),',
        after='        "tracking": own,',
        caught_by=_smoke("frozen_correction_is_the_cause"),
    ),
    Mutant(
        name="plateau-nudge-never-set",
        why="the strength that the recipe finds is not handed on",
        file=FOLDER + "constructed.py",
        before="beta=largest_nudge(config, made, estimator, windows)",
        after="beta=0.01 * largest_nudge(config, made, estimator, windows)",
        caught_by=_smoke("frozen_correction_is_the_cause"),
    ),
    # Caught by unit tests.
    Mutant(
        name="plateau-sweep-leaves-its-steps",
        why="the weights are not put back after a rate of the sweep",
        file=FOLDER + "sweep.py",
        before="                value.copy_(before[name])",
        after="                before[name].copy_(value)",
        caught_by=(TESTS + "sweep.py::test_weights_are_what_they_were_bit_for_bit",),
    ),
    Mutant(
        name="plateau-probe-embeds-before-loading",
        why="the input of the probe is embedded with the weights a model is born with",
        file=FOLDER + "mixing.py",
        before="    model = copy.deepcopy(model).double()\n    inputs = embed(model, ",
        after=(
            "    model = copy.deepcopy(model).double()\n"
            "    born = copy.deepcopy(model)\n"
            "    for table in (born.tokens, born.positions):\n"
            "        table.normal_(0.0, 0.02, generator=torch.Generator().manual_seed(0))\n"
            "    inputs = embed(born, "
        ),
        caught_by=(TESTS + "mixing.py::test_influence_is_the_exact_derivative",),
    ),
    Mutant(
        name="plateau-influence-not-normalised",
        why="the change of the state is reported without the length of the change of the input",
        file="decouple/metrics/influence.py",
        before="    raw = change / size.double()",
        after="    raw = change * (size.double() / size.double())",
        caught_by=(TESTS + "mixing.py::test_influence_is_the_exact_derivative",),
    ),
    Mutant(
        name="plateau-ceiling-never-read",
        why="an argument of the grid falls through to the run's own",
        file=FOLDER + "grid.py",
        before="        ceiling=own.ceiling if ceiling is None else ceiling,",
        after="        ceiling=own.ceiling,",
        caught_by=(TESTS + "grid.py::test_the_grid_has_the_constants_of_the_document",),
    ),
    Mutant(
        name="plateau-warmup-from-the-first-step",
        why="the warm-up is counted from the start of the run, pre-contraction included",
        file="decouple/training/equilibrium_trainer.py",
        before="        warming = self.step - config.precontraction + 1",
        after="        warming = self.step + 1",
        caught_by=(
            "tests/training/test_equilibrium_trainer.py::"
            "test_learning_rate_rises_linearly_after_precontraction_and_then_stays",
        ),
    ),
    Mutant(
        name="plateau-average-in-one-arm-only",
        why="arms that nothing is read off but their losses are measured on the raw weights",
        file=FOLDER + "checkpoints.py",
        before="trainer.held_out(data.validation, weights=config.weights).loss",
        after=(
            "trainer.held_out(\n"
            "                data.validation,\n"
            '                weights=config.weights if config.readouts else "raw",\n'
            "            ).loss"
        ),
        caught_by=(
            TESTS + "trajectory.py::"
            "test_what_is_read_off_changes_nothing_in_what_is_trained_and_measured",
        ),
    ),
    Mutant(
        name="plateau-excursions-after-the-fuse",
        why="the steps that a blown fuse left undone are counted with the residual that blew it",
        file=FOLDER + "trajectory.py",
        before='    weights = series(trained, "regulariser_weight")\n',
        after=(
            "    residuals += residuals[-1:] * (last - len(residuals))\n"
            '    weights = series(trained, "regulariser_weight")\n'
        ),
        caught_by=(
            TESTS + "trajectory.py::"
            "test_excursions_are_counted_until_the_fuse_blows_and_no_further",
        ),
    ),
    Mutant(
        name="plateau-parts-of-the-penalty-not-weighted",
        why="each part of the batches counts as if it were all of them",
        file=FOLDER + "sweep.py",
        before="contraction.floor * share * pull",
        after="contraction.floor * pull",
        caught_by=(TESTS + "sweep.py::test_loss_and_regulariser_in_parts_are_those_of_the_whole",),
    ),
    Mutant(
        name="plateau-all-batches-at-once",
        why="the bound on what is held at a time is not handed on",
        file=FOLDER + "triangulation.py",
        before="    parts = torch.split(batches, at_once or len(batches))",
        after="    parts = torch.split(batches, len(batches))",
        caught_by=(
            TESTS + "triangulation.py::test_no_more_batches_are_held_at_a_time_than_asked_for",
        ),
    ),
    Mutant(
        name="plateau-readouts-not-kept",
        why="an interrupted run makes all its readouts again",
        file=FOLDER + "checkpoints.py",
        before="            save_checkpoint(path, identity, kept)\n",
        after="",
        caught_by=(TESTS + "run.py::test_readouts_that_were_made_are_not_made_again",),
    ),
    Mutant(
        name="plateau-source-trained-in-silence",
        why="the run that another begins with shows no progress",
        file=FOLDER + "runner.py",
        before="data, seed, shared, progress\n    )\n    if trained.status",
        after="data, seed, shared\n    )\n    if trained.status",
        caught_by=(
            TESTS + "run.py::"
            "test_progress_counts_the_run_it_begins_with_its_own_steps_and_the_readouts",
        ),
    ),
    Mutant(
        name="plateau-largest-weight-is-the-last",
        why="a weight that rose and fell again counts as one that never rose",
        file=FOLDER + "grid.py",
        before='        "largest_regulariser_weight": max(weights),',
        after='        "largest_regulariser_weight": weights[-1],',
        caught_by=(
            TESTS + "grid.py::test_movement_is_the_whole_way_and_limits_are_shares_of_steps",
        ),
    ),
    Mutant(
        name="plateau-residuals-taken-for-matched",
        why="arms said to be at one residual are compared wherever they are",
        file="claims/test_ep_plateau.py",
        before="    refuse_if_not_matched(bptt, ep)\n",
        after="",
        caught_by=(
            "tests/test_claims_ep_plateau.py::test_residuals_that_do_not_match_decide_nothing",
        ),
    ),
    Mutant(
        name="plateau-loss-from-before-residuals-match",
        why="losses at a matched residual are read where residuals are still far apart",
        file="claims/test_ep_plateau.py",
        before="    return settled_loss(bptt), settled_loss(ep)\n",
        after="    return best_loss(bptt).min(), best_loss(ep).min()\n",
        caught_by=(
            "tests/test_claims_ep_plateau.py::"
            "test_a_loss_from_before_the_residuals_matched_is_not_compared",
        ),
    ),
    Mutant(
        name="plateau-blown-fuse-counts-as-an-end",
        why="a run that dips and then blows its fuse has reached its lowest loss",
        file="claims/test_ep_plateau.py",
        before='        ("fuse_blown", 0.0, "blew its fuse"),\n',
        after="",
        caught_by=(
            "tests/test_claims_ep_plateau.py::"
            "test_tracking_that_dips_and_then_breaks_has_not_lowered_the_plateau",
        ),
    ),
    Mutant(
        name="plateau-certificate-of-all-batches",
        why="each batch has the residuals of all of them as its own",
        file=FOLDER + "triangulation.py",
        before="                residual=solution.residual[part],\n",
        after="                residual=solution.residual,\n",
        caught_by=(
            TESTS + "triangulation.py::"
            "test_how_exactly_equations_were_solved_is_said_of_each_batch",
        ),
    ),
)
