"""Does GPT-2's head flip under sequential updates? [document `sequential_cycles`].

This module is what the rest of the house may know of the experiment. It imports no torch: only
`run` does, when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from decouple.experiments.gpt2_protocol import (
    LIBRARIES,
    data_fingerprint,
    describe,
    device,
    group_size,
    missing,
    with_inputs,
)
from decouple.experiments.sequential_cycles.cells import expected_cells
from decouple.experiments.sequential_cycles.config import (
    ARMS,
    PRESETS,
    TIERS,
    SequentialCyclesConfig,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

__all__ = [
    "ARMS",
    "CALIBRATION_SEEDS",
    "LIBRARIES",
    "OWN_DATA",
    "PRESETS",
    "SEEDS",
    "STEM",
    "TIERS",
    "SequentialCyclesConfig",
    "data_fingerprint",
    "describe",
    "device",
    "expected_cells",
    "group_size",
    "missing",
    "run",
    "with_inputs",
]

STEM = "sequential_cycles"
"""Name of the document everywhere."""

OWN_DATA: frozenset[str] = frozenset()
"""Data fingerprints of the document's own text, which is not public: there are none."""

SEEDS = {"published": 5, "stand_in": 5, "short": 5, "smoke": 5}
"""How many seeds judge a preset."""

CALIBRATION_SEEDS = {"smoke": range(1000, 1040)}
"""Seeds that the size of a preset was chosen on, by preset; they never judge."""


def run(
    config: SequentialCyclesConfig,
    seeds: Sequence[int],
    *,
    arm: str,
    scratch: Path,
    shared: Path,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Train and measure one arm.

    Args:
        config: Configuration of the arm, that is `ARMS[arm](preset)`.
        seeds: Replicates; trained together in groups of `config.group`.
        arm: Name of the arm, recorded in the table.
        scratch: Folder for the state of an unfinished run.
        shared: Folder in which tokenizers are kept for all runs.
        progress: Called with steps done, steps in all and a note.

    Returns:
        A tidy table with columns document, arm, seed, step (cycle, 0 the base), metric, further
        coordinates, text (of a continuation) and value; and the status of each seed, `finished` or
        how it ended.
    """
    from decouple.experiments.sequential_cycles.runner import run_arm  # noqa: PLC0415

    return run_arm(config, seeds, arm=arm, scratch=scratch, shared=shared, progress=progress)
