"""The cells of the evidence: conditions, coordinates, and how many there are. Imports no torch."""

from decouple.experiments.base_model import PROMPTS
from decouple.experiments.long_run.config import LongRunConfig

COORDINATES = ("layer", "vectors", "prompt", "text")
"""Columns beside step, condition, metric and value; each metric has those that it needs."""

VECTORS_OF_A_RATIO = ("with", "without")
"""Coordinate `vectors` of the dark-matter ratio."""

TRAINED = "trained"
"""Condition of a measurement as the document takes it."""

PHASE_A = "phase_a"
"""The base model with the vectors that phase A has trained; its step is 0."""

WITHOUT_VECTORS = "without_vectors"
"""Losses with the vectors taken out."""

ALL_POSITIONS = "all_positions"
"""Dark matter over every position of a window; all else leaves the first out, see `tokens_of`."""

BASES = {
    TRAINED: "leading components of the base model's final states",
    ALL_POSITIONS: "the same, with the first position of every window",
    "embedding_basis": "leading directions of the base model's output embedding",
    "own_basis": "leading components of the base model's states at the layer itself",
    "random_basis": "a random subspace",
}
"""Conditions of the dark-matter ratio: the frozen subspace outside which it looks."""

RANDOM_SPAN = "random_span"
"""Overlap with random directions in place of the vectors."""

GENERATIONS = {
    TRAINED: ("sampled", False),
    "with_vectors": ("sampled", True),
    "greedy": ("greedy", False),
}
"""Conditions of continuations: how tokens are chosen, and whether the vectors are there."""

TRAINING_LOSSES = ("masked_loss", "low_entropy_loss")
"""Taken at kinds of positions of the training windows, with and without the vectors."""

HELD_OUT_LOSSES = (
    "held_out_loss",
    "held_out_masked_loss",
    "held_out_low_entropy_loss",
    "continuation_probability",
)
"""Taken at kinds of positions of the held-out windows, with and without the vectors."""

MEAN_GRADES = ("coherence", "distinct_4", "valid_utf8", "fluency", "lexicon_share")
"""Grades of continuations, averaged over the prompts."""

GRADES = ("broken", "looping", "longest_run")
"""Grades of each continuation."""

CONSTANTS = ("dark_matter_null", "lead_tokens", "parameters", "full_checkpoint_bytes")
"""Measured once, at step 0."""


def expected_cells(config: LongRunConfig) -> dict[str, int]:
    """Metric to the number of cells that a finished run has."""
    epochs, layers, after_a = len(config.measured_epochs), len(config.blocks), bool(config.epochs_a)
    measured = epochs + after_a
    continued = len(config.generation_epochs) * len(GENERATIONS)
    cells = {
        "dark_matter": (epochs * len(BASES) + after_a) * layers * len(VECTORS_OF_A_RATIO),
        "retention": (epochs - 1) * layers,
        "weight_delta": measured,
        "weight_delta_block": measured * (config.layers + 2),
        "vector_norm": measured * layers,
        "embedding_alignment": (epochs - 1) * layers,
        "component_overlap": epochs * 2,
        "training_loss": measured - 1,
        "checkpoint_bytes": measured - 1,
        "full_checkpoint_gigabytes": int(epochs > 1),
        "continuation": continued * len(PROMPTS),
    }
    cells |= dict.fromkeys((*TRAINING_LOSSES, *HELD_OUT_LOSSES), epochs + measured)
    cells |= dict.fromkeys(MEAN_GRADES, continued)
    cells |= dict.fromkeys(GRADES, continued * len(PROMPTS))
    cells |= dict.fromkeys(CONSTANTS, 1)
    return {metric: number for metric, number in cells.items() if number}
