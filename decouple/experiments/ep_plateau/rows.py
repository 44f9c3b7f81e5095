"""One measurement as a row of evidence, and many of them as a tidy table."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

DOCUMENT = "ep_plateau"

TYPES = {
    "seed": "int64",
    "step": "int64",
    "distance": "Int64",
    "position": "Int64",
    "pair": "Int64",
    "batches": "Int64",
    "learning_rate": "Float64",
    "value": "float64",
}


class Row(NamedTuple):
    """A metric, its value, and the coordinates it has; the others are None."""

    metric: str
    value: float
    step: int
    """Training step at which the weights stood."""

    point: str | None = None
    """`descent`: a snapshot while the loss falls; `plateau`: where the claims about it are made."""

    condition: str = "trained"
    """Which estimator plays equilibrium propagation, where it is not the arm's own."""

    group: str | None = None
    """Parameter, by its name in the model."""

    learning_rate: float | None = None
    distance: int | None = None
    """Tokens between a change of the input and the state it is looked for in."""

    position: int | None = None
    """First position of a bin."""

    pair: int | None = None
    batches: int | None = None
    """Batches that a gradient is averaged over."""


def table(rows: Iterable[Row], *, arm: str, seed: int) -> pd.DataFrame:
    """Tidy table of one run: document, arm, seed, then the fields of `Row`."""
    frame = pd.DataFrame(list(rows), columns=Row._fields)
    frame.insert(0, "document", DOCUMENT)
    frame.insert(1, "arm", arm)
    frame.insert(2, "seed", seed)
    order = [name for name in frame.columns if name not in ("metric", "value")]
    return frame[[*order, "metric", "value"]].astype(TYPES)
