"""Measurements as rows, seed by seed."""

from __future__ import annotations

from torch import Tensor

from decouple.experiments.long_run.cells import COORDINATES
from decouple.training.cycles import Row


class Rows:
    """Rows (step, layer, …, condition, metric, value) of each seed at one measurement.

    Args:
        step: Epoch of phase B.
        n_seeds: Seeds in the group.
    """

    def __init__(self, step: int, n_seeds: int) -> None:
        self.step = step
        self.n_seeds = n_seeds
        self.by_seed: list[list[Row]] = [[] for _ in range(n_seeds)]

    def add(
        self, metric: str, values: Tensor | float, condition: str, **coordinates: int | str
    ) -> None:
        """One value for each seed, (S,), or one that all seeds share."""
        each = values.double().tolist() if isinstance(values, Tensor) else [values] * self.n_seeds
        for seed, value in enumerate(each):
            self.add_one(seed, metric, value, condition, **coordinates)

    def add_one(
        self, seed: int, metric: str, value: float, condition: str, **coordinates: int | str
    ) -> None:
        """One value of one seed."""
        places = [coordinates.get(name) for name in COORDINATES]
        self.by_seed[seed].append((self.step, *places, condition, metric, float(value)))
