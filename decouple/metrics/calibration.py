"""Whether a language model is right as often as it is sure.

A second measure needs no bins: loss − entropy, both per token in nats, is how much surer a model
is than it has reason to be. It is 0 in expectation for a calibrated one, and may be negative.
"""

import torch
from torch import Tensor


def confidence_bins(logits: Tensor, targets: Tensor, bins: int) -> Tensor:
    """Tokens sorted by the probability of the most likely one, summed up bin by bin.

    Bin b of M holds confidences in (b/M, (b + 1)/M]. Sums of several batches may be added.

    Args:
        logits: (..., V).
        targets: (...) token ids.
        bins: Number M of bins of equal width, at least 1.

    Returns:
        (M, 3): number of tokens, sum of their confidences, number predicted rightly.

    Raises:
        ValueError: If there is no bin.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    confidence, predicted = logits.softmax(-1).flatten(0, -2).max(-1)  # (N,) each
    index = (confidence * bins).ceil().long().clamp(1, bins) - 1
    member = index[:, None] == torch.arange(bins, device=index.device)  # (N, M)
    right = (predicted == targets.flatten()).to(confidence.dtype)
    summed = torch.stack([torch.ones_like(confidence), confidence, right], dim=-1)  # (N, 3)
    return member.to(confidence.dtype).T @ summed


def expected_calibration_error(sums: Tensor) -> Tensor:
    """Gap between confidence and accuracy, averaged over tokens: Σ_b n_b/N |acc_b − conf_b|.

    Guo et al. 2017, equation 3, on the most likely token.

    Args:
        sums: (..., M, 3) as `confidence_bins` gives them.

    Returns:
        (...), between 0 and 1.
    """
    number, confidence, right = sums.unbind(-1)  # (..., M)
    return (right - confidence).abs().sum(-1) / number.sum(-1)
