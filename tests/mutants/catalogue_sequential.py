"""Mutants of the sequential-cycles experiment, its measurements and its trainer."""

from __future__ import annotations

from mutant import Mutant

PREPARATION = "decouple/experiments/sequential_cycles/preparation.py"
EVALUATION = "decouple/experiments/sequential_cycles/evaluation.py"

TESTS = "tests/experiments/sequential_cycles/test_sequential_cycles"
PREPARED = f"{TESTS}_preparation.py::test_"
EVALUATED = f"{TESTS}_evaluation.py::test_"
RUN = f"{TESTS}_run.py::test_"


def _smoke(*names: str) -> tuple[str, ...]:
    return tuple(f"claims/test_sequential_cycles.py::test_{name}[smoke]" for name in names)


SEQUENTIAL: tuple[Mutant, ...] = (
    # The published result itself turns.
    Mutant(
        name="alignment-not-centred",
        why="an argument that is passed on and then not looked at",
        file="decouple/metrics/alignment.py",
        before="        directions = directions - embedding.mean(0)\n",
        after="        directions = directions - 0.0\n",
        caught_by=_smoke("sign_of_alignment_is_a_gauge"),
    ),
    Mutant(
        name="the-same-chunk-in-every-arm",
        why="an index lost when the order was made an option",
        file=PREPARATION,
        before='data.chunks[0 if config.order == "same_chunk" else cycle]',
        after="data.chunks[0]",
        caught_by=_smoke("diversity_prevents_collapse", "update_directions_change"),
    ),
    Mutant(
        name="held-out-windows-from-the-first-chunk",
        why="the wrong field of the cut text",
        file=PREPARATION,
        before="            chunks.held_out, n_windows",
        after="            chunks.train[0], n_windows",
        caught_by=_smoke("diversity_prevents_collapse"),
    ),
    Mutant(
        name="update-compared-with-itself",
        why="the memory is overwritten before it is read",
        file=EVALUATION,
        before='before = self.memory[f"update {name}"]',
        after="before = update",
        caught_by=_smoke("update_directions_change"),
    ),
    # Caught by unit tests.
    Mutant(
        name="alignment-with-the-token-read",
        why="a shift by one forgotten: the token that a state has just read",
        file=EVALUATION,
        before='targets = {"next": following,',
        after='targets = {"next": inputs,',
        caught_by=(EVALUATED + "each_choice_of_token_place_and_centring_is_what_it_is_called",),
    ),
    Mutant(
        name="default-alignment-before-the-norm",
        why="an index in place of a name",
        file=EVALUATION,
        before='POSITIONS.index("after_ln_f")',
        after='POSITIONS.index("before_ln_f")',
        caught_by=(EVALUATED + "the_default_is_the_next_token_after_the_last_norm",),
    ),
    Mutant(
        name="frozen-by-a-zero-gradient",
        why="parameters that get no gradient and still decay",
        file="decouple/training/ensemble.py",
        before="        parameters[name] = stacked.requires_grad_(trainable)\n",
        after="        parameters[name] = stacked.requires_grad_(True)\n"
        "        if not trainable:\n"
        "            stacked.register_hook(torch.zeros_like)\n",
        caught_by=(RUN + "frozen_parameters_do_not_move_a_bit_though_weights_decay",),
    ),
    Mutant(
        name="last-norm-left-to-train",
        why="a frozen part that lacks one module",
        file=PREPARATION,
        before='"last_block": (last_block, "ln_f"),',
        after='"last_block": (last_block,),',
        caught_by=(PREPARED + "a_part_is_frozen_and_the_rest_is_not",),
    ),
    Mutant(
        name="gauge-on-the-tokens-only",
        why="half of a transformation that only as a whole changes nothing",
        file="decouple/models/gpt2.py",
        before="    model.transformer.wpe.weight.sub_(vector)\n",
        after="",
        caught_by=(PREPARED + "the_gauge_turns_the_raw_alignment_and_leaves_the_function",),
    ),
    Mutant(
        name="labels-not-shifted",
        why="the head is taught to repeat what it reads",
        file=PREPARATION,
        before="    labels = windows[..., 1:]\n",
        after="    labels = windows[..., :-1]\n",
        caught_by=(PREPARED + "windows_come_from_the_chunk_of_their_cycle",),
    ),
    Mutant(
        name="windows-without-the-seed",
        why="a generator seeded with a constant",
        file=PREPARATION,
        before="np.random.default_rng([seed, WINDOWS, cycle])",
        after="np.random.default_rng([WINDOWS, cycle])",
        caught_by=(PREPARED + "windows_come_from_the_chunk_of_their_cycle",),
    ),
    Mutant(
        name="entropy-in-bits",
        why="another base of the logarithm",
        file="decouple/metrics/language.py",
        before="    terms: Tensor = entr(distribution)\n",
        after="    terms: Tensor = entr(distribution) / 0.6931471805599453\n",
        caught_by=("tests/metrics/test_language.py",),
    ),
    Mutant(
        name="calibration-gaps-cancel",
        why="the absolute value taken after the sum over bins",
        file="decouple/metrics/calibration.py",
        before="    return (right - confidence).abs().sum(-1) / number.sum(-1)",
        after="    return (right - confidence).sum(-1).abs() / number.sum(-1)",
        caught_by=("tests/metrics/test_calibration.py",),
    ),
    Mutant(
        name="calibration-bins-off-by-one",
        why="rounding down where the definition rounds up",
        file="decouple/metrics/calibration.py",
        before=".ceil().long().clamp(1, bins) - 1",
        after=".ceil().long().clamp(0, bins - 1)",
        caught_by=("tests/metrics/test_calibration.py",),
    ),
    Mutant(
        name="baseline-at-one-place-for-all-seeds",
        why="a generator seeded with a constant: one number for all seeds",
        file=PREPARATION,
        before="np.random.default_rng([seed, POSITIONS])",
        after="np.random.default_rng([POSITIONS])",
        caught_by=(PREPARED + "drawn_windows_are_held_out_and_each_seeds_own",),
    ),
    Mutant(
        name="lost-seeds-measured-as-they-are",
        why="weights that are not finite go into what all seeds are measured with",
        file="decouple/training/cycles.py",
        before="evaluate(cycle, sound(parameters, status), ",
        after="evaluate(cycle, parameters, ",
        caught_by=(
            "tests/training/test_cycles.py::"
            "test_the_other_seeds_are_measured_as_if_none_had_diverged",
            RUN + "a_diverged_seed_leaves_the_evidence_of_the_others_as_it_is",
        ),
    ),
    Mutant(
        name="memory-not-taken-up-again",
        why="a checkpoint that leaves out what measurements carry along",
        file="decouple/training/cycles.py",
        before='        memory.update(state["memory"])\n',
        after="",
        caught_by=(RUN + "a_killed_run_ends_with_the_same_table",),
    ),
)
