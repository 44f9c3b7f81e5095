"""How well, and how broadly, a language model predicts. All values in nats."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.special import entr


def token_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-probability of each target token, −ln softmax(logits)[target].

    Args:
        logits: (..., V).
        targets: (...) token ids.

    Returns:
        (...), one value per token; its mean is the usual training or held-out loss.
    """
    flat = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return flat.view(targets.shape)


def mean_prediction(logits: Tensor) -> Tensor:
    """Predicted distribution averaged over tokens, mean_t softmax(logits_t).

    Args:
        logits: (..., V).

    Returns:
        (V,), summing to 1. Averages of equally large batches may be averaged again.
    """
    return logits.flatten(0, -2).softmax(-1).mean(0)


def entropy(distribution: Tensor) -> Tensor:
    """Entropy of a distribution, −Σ p ln p, with 0 ln 0 = 0.

    Args:
        distribution: (..., V), summing to 1.

    Returns:
        (...), in nats, between 0 and ln V.
    """
    terms: Tensor = entr(distribution)
    return terms.sum(-1)


def head_entropy(logits: Tensor) -> Tensor:
    """Entropy of the mean predicted distribution: how much of the vocabulary the head still uses.

    It is not the mean entropy of the predictions: a model that is sure of a different token at each
    position has a broad mean. For a calibrated model it approaches the unigram entropy of the text.

    Args:
        logits: (..., V).

    Returns:
        A scalar between 0 and ln V.
    """
    return entropy(mean_prediction(logits))


def unigram_entropy(tokens: Tensor, vocab_size: int) -> Tensor:
    """Entropy of the token frequencies of a text: the loss of the best context-free prediction.

    Args:
        tokens: Token ids, any shape, not empty.
        vocab_size: Number of distinct ids.

    Returns:
        A float64 scalar between 0 and ln V.

    Raises:
        ValueError: If there are no tokens.
    """
    if tokens.numel() == 0:
        raise ValueError("tokens must hold at least one token, got none")
    counts = torch.bincount(tokens.flatten(), minlength=vocab_size).double()
    return entropy(counts / counts.sum())
