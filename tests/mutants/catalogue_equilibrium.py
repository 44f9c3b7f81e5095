"""Mutants of equilibrium propagation, its models, contraction and trainer."""

from __future__ import annotations

from mutant import Mutant

ACCURACY = "tests/training/test_estimators_accuracy.py::test_"
PHASES = "tests/training/test_estimators_phases.py::test_"
COST = "tests/training/test_estimators_cost.py::test_"
CONTRACTION = "tests/training/test_contraction.py::test_"
TRAINER = "tests/training/test_equilibrium_trainer.py::test_"
MODEL = "tests/models/test_equilibrium.py::test_"
RELAXATION = "tests/models/test_equilibrium_relaxation.py::test_"

EQUILIBRIUM: tuple[Mutant, ...] = (
    Mutant(
        name="ep-correction-sign",
        why="the antisymmetric correction is added instead of taken away",
        file="decouple/training/estimators/equilibrium_propagation.py",
        before="        push = push - on_complex(",
        after="        push = push + on_complex(",
        caught_by=(ACCURACY + "adjoint_is_implicit_and_corrected_propagation_goes_there",),
    ),
    Mutant(
        name="ep-transposed-jacobian",
        why="the adjoint is solved with the Jacobian in place of its transpose",
        file="decouple/training/estimators/adjoint.py",
        before=(
            "    mismatch = transposed_product(model, at, response) - cost_gradient\n    moving"
        ),
        after=(
            "    from decouple.models.equilibrium_linearisation import jacobian_product\n"
            "\n"
            "    mismatch = jacobian_product(model, at, response) - cost_gradient\n"
            "    moving"
        ),
        caught_by=(ACCURACY + "adjoint_is_implicit_and_corrected_propagation_goes_there",),
    ),
    Mutant(
        name="ep-beta-not-divided-out",
        why="the displacement is taken for the response: a gradient of the right direction",
        file="decouple/training/estimators/equilibrium_propagation.py",
        before="first_harmonic(with_conjugates(displacement, config.points), circle) / radius",
        after="first_harmonic(with_conjugates(displacement, config.points), circle)",
        caught_by=(ACCURACY + "error_is_of_order_n_in_the_nudge",),
    ),
    Mutant(
        name="ep-mean-cost",
        why="the cost is the mean over tokens where everything else assumes the sum",
        file="decouple/models/equilibrium.py",
        before=(
            "        return (logsumexp(logits) - logits.gather(-1, index).squeeze(-1)).sum(-1)"
        ),
        after=(
            "        return (logsumexp(logits) - logits.gather(-1, index).squeeze(-1)).mean(-1)"
        ),
        caught_by=(
            MODEL + "cost_is_the_sum_over_tokens_and_its_gradient_is_closed",
            ACCURACY + "the_referee_is_the_derivative_of_the_loss_at_the_fixed_point",
        ),
    ),
    Mutant(
        name="ep-conjugation-dropped",
        why=("the Fourier sum takes e^{+iφ}: invisible for one and two points, wrong for four"),
        file="decouple/training/estimators/nudging.py",
        before="    weights = (factors.conj() / len(factors))",
        after="    weights = (factors / len(factors))",
        caught_by=(
            PHASES + "first_harmonic_keeps_the_linear_term_and_drops_all_others_below_order_n",
            ACCURACY + "error_is_of_order_n_in_the_nudge",
        ),
    ),
    Mutant(
        name="ep-mirrored-point-not-conjugated",
        why="the fourth point is taken for a copy of the second, not for its conjugate",
        file="decouple/training/estimators/nudging.py",
        before="displacements[1 : 1 + missing].flip(0).conj()",
        after="displacements[1 : 1 + missing].flip(0)",
        caught_by=(
            PHASES + "first_harmonic_keeps_the_linear_term_and_drops_all_others_below_order_n",
        ),
    ),
    Mutant(
        name="ep-gate-inverted",
        why="the gate lets through what has not converged",
        file="decouple/training/contraction.py",
        before="    free = (residual <= config.gate_residual).all()",
        after="    free = (residual >= config.gate_residual).all()",
        caught_by=(CONTRACTION + "gate_asks_the_worst_sample_about_both_phases",),
    ),
    Mutant(
        name="ep-gate-residual-averaged",
        why="the mean residual is judged, so one sample far from equilibrium goes unnoticed",
        file="decouple/training/contraction.py",
        before="    free = (residual <= config.gate_residual).all()",
        after="    free = residual.mean() <= config.gate_residual",
        caught_by=(CONTRACTION + "gate_asks_the_worst_sample_about_both_phases",),
    ),
    Mutant(
        name="ep-gate-blind-to-the-nudged-phase",
        why="only the free residual is asked, which does not certify the nudged phase",
        file="decouple/training/contraction.py",
        before="        return self.free & self.nudged",
        after="        return self.free",
        caught_by=(
            CONTRACTION + "gate_asks_the_worst_sample_about_both_phases",
            TRAINER + "a_nudged_phase_that_runs_away_closes_the_gate_though_the_residual_is_small",
        ),
    ),
    Mutant(
        name="ep-gate-multiplies",
        why="a refused gradient is multiplied by zero: what is not a number stays so",
        file="decouple/training/equilibrium_trainer.py",
        before="torch.where(verdicts.open, g, 0.0)",
        after="g * verdicts.open",
        caught_by=(TRAINER + "a_refused_gradient_may_hold_anything",),
    ),
    Mutant(
        name="ep-controller-winds-up",
        why="the output is clamped and the integral is not: it sticks to its limit for long",
        file="decouple/training/contraction.py",
        before=(
            "        return self.log_weight.exp()\n"
            "\n"
            "    def update(self, residual: Tensor) -> None:\n"
            '        """Take in the force residuals (B,) of a step."""\n'
            "        config = self.config\n"
            "        error = (residual.mean() / "
            "config.target_residual).log().nan_to_num(nan=1.0)\n"
            "        moved = self.log_weight + config.gain * error.clamp(-1.0, "
            "1.0).to(self.log_weight.dtype)\n"
            "        self.log_weight = moved.clamp(math.log(config.floor), "
            "math.log(config.ceiling))\n"
        ),
        after=(
            "        low, high = math.log(self.config.floor), "
            "math.log(self.config.ceiling)\n"
            "        return self.log_weight.clamp(low, high).exp()\n"
            "\n"
            "    def update(self, residual: Tensor) -> None:\n"
            '        """Take in the force residuals (B,) of a step."""\n'
            "        config = self.config\n"
            "        error = (residual.mean() / "
            "config.target_residual).log().nan_to_num(nan=1.0)\n"
            "        moved = self.log_weight + config.gain * error.clamp(-1.0, "
            "1.0).to(self.log_weight.dtype)\n"
            "        self.log_weight = moved\n"
        ),
        caught_by=(
            CONTRACTION + "controller_leaves_its_limit_at_once_however_long_it_was_held_there",
        ),
    ),
    Mutant(
        name="ep-average-not-used",
        why="a probe of the averaged weights measures the raw ones",
        file="decouple/training/equilibrium_trainer.py",
        before="        self._put(self.average.values)\n",
        after="",
        caught_by=(
            TRAINER + "probes_say_which_weights_they_use_and_leave_the_trained_ones_in_place",
        ),
    ),
    Mutant(
        name="ep-causality-off-by-one",
        why="each position sees the one after it",
        file="decouple/models/equilibrium.py",
        before="dtype=torch.bool, device=scores.device).triu(1)",
        after="dtype=torch.bool, device=scores.device).triu(2)",
        caught_by=(
            MODEL + "force_is_causal_and_each_position_sees_itself",
            RELAXATION + "fixed_point_is_causal",
            PHASES + "adjoint_is_causal_it_blames_nothing_on_later_positions",
        ),
    ),
    Mutant(
        name="ep-first-sample-stops-all",
        why="the first sample that converges stops the others where they are",
        file="decouple/models/equilibrium_relaxation.py",
        before="    moving = moving & ~(residual <= tolerance)",
        after="    moving = moving & ~(residual <= tolerance).any()",
        caught_by=(RELAXATION + "each_sample_stops_by_itself_and_as_if_it_were_alone",),
    ),
    Mutant(
        name="ep-nan-counts-as-converged",
        why="a state that is not a number stops as if it had converged",
        file="decouple/models/equilibrium_relaxation.py",
        before="    moving = moving & ~(residual <= tolerance)",
        after="    moving = moving & (residual > tolerance)",
        caught_by=(RELAXATION + "a_state_that_is_not_a_number_never_counts_as_settled",),
    ),
    Mutant(
        name="ep-head-gradient-twice",
        why="the direct gradient of the head is counted twice",
        file="decouple/training/estimators/base.py",
        before="        surrogate = cost - (response * force).sum()",
        after="        surrogate = 2 * cost - (response * force).sum()",
        caught_by=(ACCURACY + "the_referee_is_the_derivative_of_the_loss_at_the_fixed_point",),
    ),
    Mutant(
        name="ep-tracking-base-stands-still",
        why="the common mode does not go on relaxing: tracking in name only",
        file="decouple/training/estimators/tracking.py",
        before="    return base + model.config.step * force, displacement",
        after="    return base, displacement",
        caught_by=(ACCURACY + "tracking_outlives_a_free_phase_that_has_not_converged",),
    ),
    Mutant(
        name="ep-softmax-derivative-uncentred",
        why="the attention's derivative forgets that its weights sum to one",
        file="decouple/models/equilibrium_linearisation.py",
        before="    return weights * (vector - (weights * vector).sum(-1, keepdim=True))",
        after="    return weights * vector",
        caught_by=(MODEL + "products_with_the_jacobian_are_those_of_automatic_differentiation",),
    ),
    Mutant(
        name="ep-penalty-sums-the-probes",
        why="the penalty grows with the number of probes instead of averaging over them",
        file="decouple/training/contraction.py",
        before="        penalty: Tensor = product.square().mean()",
        after="        penalty: Tensor = product.square().sum() / state[0].numel()",
        caught_by=(CONTRACTION + "penalty_is_the_squared_norm_over_any_orthogonal_set_of_probes",),
    ),
    Mutant(
        name="ep-resume-forgets-the-generator",
        why="a resumed run draws other probes than the run that was not stopped",
        file="decouple/training/equilibrium_trainer.py",
        before='        self.probe_generator.set_state(state["probe_generator"].cpu())\n',
        after="",
        caught_by=(TRAINER + "a_run_stopped_anywhere_resumes_bit_by_bit",),
    ),
    Mutant(
        name="ep-divergence-goes-on",
        why="a loss that is not a number is put in the table and training goes on",
        file="decouple/training/equilibrium_trainer_record.py",
        before='            if not abs(value) < float("inf"):',
        after='            if value == float("inf"):',
        caught_by=(TRAINER + "divergence_is_a_status_with_step_and_cause_and_leaves_no_such_row",),
    ),
    Mutant(
        name="ep-evaluations-not-counted",
        why="the force at the common mode is left out of the count",
        file="decouple/training/estimators/tracking.py",
        before="                forces=1 + real, jacobian_products=1",
        after="                forces=real, jacobian_products=1",
        caught_by=(
            COST + "what_was_counted_is_what_the_formula_says",
            COST + "counts_account_for_the_arithmetic_that_was_done",
        ),
    ),
    Mutant(
        name="ep-referee-always-sure",
        why="a search for the fixed point that ended short of it counts as one that found it",
        file="decouple/training/estimators/base.py",
        before="        return (self.residual <= self.tolerance) & (self.adjoint_residual <=",
        after="        return (self.residual == self.residual) & (self.adjoint_residual <=",
        caught_by=(
            "tests/training/test_estimators_implicit.py::"
            "test_training_records_whether_it_was_solved_and_learns_only_then",
        ),
    ),
)
