"""What a run measures, metric by metric, without the code that measures; imports no torch."""

from decouple.experiments.base_model import PROMPTS
from decouple.experiments.sequential_cycles.config import SequentialCyclesConfig

TARGETS = ("next", "predicted", "input")
"""Which token's embedding a state is compared with."""

CENTRINGS = ("raw", "centred")
"""The embedding as it is, or less its mean row."""

POSITIONS = ("before_ln_f", "after_ln_f")
"""Where the state is taken."""

DECODINGS = ("greedy", "sampled")
"""How the tokens of a continuation are chosen."""

GRADES = ("coherence", "distinct_4", "valid_utf8", "fluency", "lexicon_share", "looping")
"""Grades of continuations, averaged over the prompts."""


def expected_cells(config: SequentialCyclesConfig) -> dict[str, int]:
    """Metric to the number of cells that a finished run has."""
    measured, generated = config.cycles + 1, len(config.generation_cycles)
    choices = len(TARGETS) * len(CENTRINGS) * len(POSITIONS)
    # An arm that trains both the head and the rest has three cosines: of each and of all.
    one_part = config.frozen in ("head", "all_but_wte", "all_but_last_block")
    compared = max(config.cycles - 1, 0) if config.learning_rate else 0
    cells = {
        "alignment": measured,
        "centred_alignment": measured,
        "baseline_alignment": 1,
        "alignment_choice": measured * choices,
        "held_out_loss": measured,
        "output_entropy": measured,
        "head_entropy": measured,
        "calibration_error": measured,
        "training_loss": config.cycles,
        "update_cosine": compared * (2 if one_part else 3),
        "coherence": generated,
        "grade": generated * len(DECODINGS) * len(GRADES),
        "continuation": generated * len(DECODINGS) * len(PROMPTS),
    }
    return {metric: number for metric, number in cells.items() if number}
