"""Process-wide numerical settings of a CPU run, put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def cpu_numerics(threads: int) -> Iterator[None]:
    """Run with a fixed thread count and with denormals flushed to zero.

    The thread count decides how sums are split, hence the last bits of every result: fixed, the
    same seed gives the same bits. An embedding of unit variance with a tied head makes logits so
    large that the softmax fills with denormal numbers, at which a CPU step takes 20 times as long.

    Torch cannot be asked whether denormals were flushed before, so they are not flushed afterwards.

    Args:
        threads: Threads within one operation.

    Raises:
        ValueError: If there are no threads.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)
