"""Running the seeds of an arm in groups: what every experiment does around its own run."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import torch

from decouple.training.cycles import Progress, Row
from decouple.training.numerics import cpu_numerics

RunGroup: TypeAlias = Callable[[list[int], Progress | None], tuple[list[list[Row]], list[str]]]
"""Runs seeds that are trained together: rows and status of each."""


class Grouped(Protocol):
    """What a configuration says of how its seeds are run."""

    @property
    def group(self) -> int:
        """Seeds trained together."""

    @property
    def threads(self) -> int:
        """CPU threads within one operation."""

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""


def check_seeds(seeds: Sequence[int], device: str) -> list[int]:
    """The seeds of a run, if it can be made here.

    Raises:
        ValueError: If there are no seeds, or one is negative or given twice.
        RuntimeError: If the device is not there.
    """
    seeds = list(seeds)
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be distinct numbers from 0 up, at least one, got {seeds}")
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device='cuda' is configured, but torch finds no CUDA device")
    return seeds


def run_in_groups(
    config: Grouped,
    seeds: Sequence[int],
    prepare: Callable[[], RunGroup],
    progress: Progress | None,
) -> tuple[list[tuple[int, Row]], dict[int, str]]:
    """Run the seeds of an arm group by group.

    Args:
        config: How many seeds are trained together, on how many threads, on which device.
        seeds: Replicates.
        prepare: Called once, under the thread count of the configuration, for what the groups
            share; returns what runs one group.
        progress: Called with steps done and steps in all, over all groups.

    Returns:
        Every row with its seed, and the status of each seed.

    Raises:
        ValueError: If there are no seeds, or one is negative or given twice.
        RuntimeError: If the device is not there.
    """
    seeds = check_seeds(seeds, config.device)
    groups = [seeds[start : start + config.group] for start in range(0, len(seeds), config.group)]
    rows: list[tuple[int, Row]] = []
    status: dict[int, str] = {}
    with cpu_numerics(config.threads):
        run_group = prepare()
        for index, group in enumerate(groups):
            found = run_group(group, _part(progress, index, len(groups)))
            for seed, seed_rows, text in zip(group, *found, strict=True):
                rows += [(seed, row) for row in seed_rows]
                status[seed] = text
    return rows, status


def _part(progress: Progress | None, index: int, groups: int) -> Progress | None:
    """Progress of one group as a part of that of all."""
    if progress is None:
        return None

    def report(done: int, total: int, note: str) -> None:
        progress(index * total + done, groups * total, note)

    return report
