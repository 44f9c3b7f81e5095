"""Mutants of the long run: its conductor, mask, phases, checkpoints and measurements."""

from __future__ import annotations

from mutant import Mutant

EVALUATION = "decouple/experiments/long_run/evaluation.py"
PREPARATION = "decouple/experiments/long_run/preparation.py"
REFERENCE = "decouple/experiments/long_run/reference.py"
RUNNER = "decouple/experiments/long_run/runner.py"
TUNING = "decouple/training/fine_tuning.py"
DIFFERENCE = "decouple/training/difference_checkpoint.py"

CLAIMS = "claims/test_long_run.py::test_"
RUN = "tests/experiments/long_run/test_long_run_run.py::test_"
PREPARED = "tests/experiments/long_run/test_long_run_preparation.py::test_"
TUNED = "tests/training/test_fine_tuning.py::test_"
PACKED = "tests/training/test_difference_checkpoint.py::test_"


def _smoke(*names: str) -> tuple[str, ...]:
    return tuple(f"{CLAIMS}{name}[smoke]" for name in names)


LONG_RUN: tuple[Mutant, ...] = (
    # Caught by a verdict: the finding itself turns.
    Mutant(
        name="long-mask-inverted",
        why="the surest positions are trained instead of the least sure",
        file=REFERENCE,
        before="    order = flat.argsort(descending=True, stable=True)",
        after="    order = flat.argsort(descending=False, stable=True)",
        caught_by=(
            "tests/experiments/long_run/test_long_run_run.py",
            "tests/experiments/long_run/test_long_run_preparation.py",
        ),
    ),
    Mutant(
        name="long-mask-ignored",
        why="the loss is taken at all positions, whatever the mask",
        file=PREPARATION,
        before='    if config.mask == "all":',
        after='    if config.mask in ("all", "entropy"):',
        caught_by=(
            "tests/experiments/long_run/test_long_run_run.py",
            "tests/experiments/long_run/test_long_run_preparation.py",
        ),
    ),
    Mutant(
        name="long-low-entropy-positions-from-the-mask",
        why="both losses are taken at the masked positions",
        file=EVALUATION,
        before='            ("low_entropy_loss", kinds.certain[chosen]),',
        after='            ("low_entropy_loss", kinds.uncertain[chosen]),',
        caught_by=(
            "tests/experiments/long_run/test_long_run_run.py",
            "tests/experiments/long_run/test_long_run_preparation.py",
        ),
    ),
    Mutant(
        name="long-weight-delta-from-the-last-measurement",
        why="the distance is taken from the checkpoint before, not from the base",
        file=EVALUATION,
        before="        for block, square in sorted(squares.items()):",
        after="        self.base = {name: each.detach().clone() for name, each in "
        "parameters.items()}\n"
        "        for block, square in sorted(squares.items()):",
        caught_by=_smoke("weight_delta_monotone"),
    ),
    Mutant(
        name="long-states-of-the-base",
        why="the base's states, kept for all arms, are read in place of the trained model's",
        file=EVALUATION,
        before="            for layer, states in zip(self.config.blocks, seen.states, "
        "strict=True)\n",
        after="            for layer, states in zip(\n"
        "                self.config.blocks,\n"
        "                self.reference.states[:, None].expand_as(seen.states),\n"
        "                strict=True,\n"
        "            )\n",
        caught_by=_smoke("dark_matter_rises"),
    ),
    Mutant(
        name="long-labels-not-shifted",
        why="each position is trained to repeat its token instead of predicting the next",
        file=PREPARATION,
        before="    labels = train[:, 1:]",
        after="    labels = train[:, :-1]",
        caught_by=_smoke("masked_loss_keeps_falling"),
    ),
    Mutant(
        name="long-phase-b-frozen",
        why="the optimiser of phase B is made over the vectors only",
        file=RUNNER,
        before='        return None if set(config.frozen) & set(name.split(".")) else "model"',
        after='        return None if name.startswith("model.") else "model"',
        caught_by=_smoke("weight_delta_monotone", "masked_loss_keeps_falling"),
    ),
    # Caught by tests.
    Mutant(
        name="long-basis-refitted",
        why="the subspace follows the trained states instead of staying the base model's",
        file=EVALUATION,
        before="self.reference.bases[basis, layer])\n            for layer, states in zip(",
        after="principal_basis(tokens_of(states, first=first), self.config.components))\n"
        "            for layer, states in zip(",
        caught_by=(RUN + "each_subspace_stays_what_it_was_of_the_base",),
    ),
    Mutant(
        name="long-first-position-counted",
        why="an offset lost: one huge state of each window drowns all others",
        file="decouple/experiments/long_run/observation.py",
        before="states[..., first:, :]",
        after="states[..., 0:, :]",
        caught_by=(
            RUN + "what_stands_first_in_a_window_counts_only_where_all_positions_are_asked_for",
        ),
    ),
    Mutant(
        name="long-checkpoint-of-another-base",
        why="a run is taken up from a checkpoint that began with other weights",
        file=RUNNER,
        before="torch.__version__, base_fingerprint(config.base))",
        after="torch.__version__)",
        caught_by=(RUN + "a_run_on_another_base_is_another_run",),
    ),
    Mutant(
        name="long-mask-of-the-trained-model",
        why="positions are ranked by the entropy of the model as it is, not of the base",
        file=EVALUATION,
        before="        kinds, chosen = self.reference.train, self.windows.chosen",
        after="        from decouple.experiments.long_run.reference import rank_positions\n"
        "\n"
        "        seen = observe(\n"
        "            self.conductor, parameters, self.windows.train, scale=scale, "
        "with_entropy=True\n"
        "        )\n"
        "        kinds = rank_positions(seen.entropy[0], self.config.mask_share)\n"
        "        chosen = slice(None)",
        caught_by=(RUN + "positions_are_ranked_by_the_base_model_and_by_no_other",),
    ),
    Mutant(
        name="long-vectors-left-in",
        why="what is called without the vectors is measured with them",
        file=EVALUATION,
        before="without = self._held_out(parameters, 0.0) if moment.scale else with_vectors",
        after="without = with_vectors",
        caught_by=(RUN + "a_vector_cannot_change_the_ratio_of_its_own_first_layer",),
    ),
    Mutant(
        name="long-annealing-forgotten-in-training",
        why="the factor on the vectors falls in what is measured only",
        file=TUNING,
        before="                objective, recorded = losses(batch, phase.scale_at(done))",
        after="                objective, recorded = losses(batch, phase.scale_at(0.0))",
        caught_by=(TUNED + "the_scale_goes_along_a_straight_line",),
    ),
    Mutant(
        name="long-phase-a-trains-the-model",
        why="phase A hands all parameters to its optimiser",
        file=RUNNER,
        before='rates={"vectors": config.rate_a} if injected else {},',
        after='rates={"vectors": config.rate_a, "model": config.rate_a} if injected else {},',
        caught_by=(RUN + "phase_a_leaves_the_model_and_moves_the_vectors",),
    ),
    Mutant(
        name="long-one-seed-ends-all",
        why="states that overflow go into a decomposition that fails for the whole group",
        file="decouple/metrics/dark_matter.py",
        before="    covariance.masked_fill_(lost, 0.0)\n",
        after="",
        caught_by=(
            "tests/metrics/test_dark_matter.py::"
            "test_states_that_are_not_finite_cost_the_others_not_a_bit",
            RUN + "a_seed_that_one_window_overflows_leaves_the_others_as_they_are",
        ),
    ),
    Mutant(
        name="long-marks-counted-as-words",
        why="a row of question marks counts as a word that loops",
        file="decouple/metrics/text.py",
        before="            tokens[t] == tokens[t - period] and "
        "_is_word(tokens[t - period + 1 : t + 1])\n",
        after="            tokens[t] == tokens[t - period]\n",
        caught_by=(
            "tests/metrics/test_text.py::test_a_row_of_marks_or_broken_bytes_is_another_failure",
        ),
    ),
    Mutant(
        name="long-frozen-embeddings-decay",
        why="frozen parameters stay with the optimiser, whose weight decay moves them",
        file=RUNNER,
        before='        return None if set(config.frozen) & set(name.split(".")) else "model"',
        after='        return "model"',
        caught_by=(RUN + "frozen_embeddings_do_not_move",),
    ),
    Mutant(
        name="long-ascii-text-held-out-too",
        why="the ASCII arm is measured on a text of its own, which no other arm is",
        file=PREPARATION,
        before="    text = load_corpus(config.corpus)\n",
        after="    text = load_corpus(config.corpus)\n"
        "    text = to_ascii(text) if config.ascii_corpus else text\n",
        caught_by=(PREPARED + "the_ascii_arm_trains_on_ascii_and_is_measured_on_the_same_text",),
    ),
    Mutant(
        name="long-resume-forgets-the-moments",
        why="a run that is taken up begins with a new optimiser",
        file=TUNING,
        before="                _restore_moments(optimizer, moments)\n",
        after="                pass\n",
        caught_by=(TUNED + "a_killed_run_ends_exactly_as_if_it_had_not_been",),
    ),
    Mutant(
        name="long-checkpoint-unchecked",
        why="a damaged checkpoint is taken up as if it were sound",
        file=DIFFERENCE,
        before='    if _crc(bits) != stored["crc"]:',
        after="    if False:",
        caught_by=(
            TUNED + "a_checkpoint_that_cannot_be_used_is_passed_over_with_a_warning",
            PACKED + "an_altered_byte_is_noticed",
        ),
    ),
    Mutant(
        name="long-difference-loses-a-sign",
        why="zigzag numbers are read back without their sign",
        file=DIFFERENCE,
        before="^ -(zigzag & 1))",
        after="^ (zigzag & 1))",
        caught_by=(PACKED + "every_bit_comes_back_and_no_more_room_is_taken",),
    ),
)
