"""A progress bar for a group of runs: step, rate, time left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tqdm import tqdm

from decouple.claim.experiment import Progress


def progress_bar(
    title: str, uncaptured: Callable[[], AbstractContextManager[None]], position: int
) -> Progress:
    """A callback that draws a bar on the terminal and clears it when the work is done.

    Args:
        title: what is running.
        uncaptured: a context in which standard error is the terminal.
        position: the line, counted from the cursor, so that parallel workers do not overwrite.
    """
    bars: list[tqdm[Any]] = []  # made at the first call: before it nothing runs

    def show(done: int, total: int, note: str) -> None:
        with uncaptured():
            if not bars:
                bars.append(
                    tqdm(
                        total=total,
                        desc=title,
                        unit="step",
                        leave=False,
                        position=position,
                        file=sys.stderr,
                        mininterval=0.2,
                        dynamic_ncols=True,
                    )
                )
            bar = bars[0]
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)
            if done >= total:
                bar.close()

    return show
