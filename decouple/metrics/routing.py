"""How a router spreads tokens over experts.

Four quantities that are easily taken for one another:

- *softmax mass* u_e = mean_t p_t(e), the published "usage";
- *slot share*, the part of the k·N routing slots that goes to expert e, never above 1/k;
- *token entropy* mean_t H(p_t), the published "router entropy";
- *usage entropy* H(u), the entropy of the mean.

Their difference, the mutual information H(u) − mean_t H(p_t) between token and expert, separates
specialisation (each token sure of its own expert: large) from collapse (all tokens sure of the
same one: near zero, with both entropies low).

Every function takes the tokens in the last dimension but one and the experts in the last; leading
dimensions, such as layers or seeds, are kept. Statistics are computed in float64, whatever the
input, so that differences of entropies do not drown; the auxiliary loss keeps the dtype it gets.
"""

from torch import Tensor

from decouple.metrics.language import entropy


def softmax_mass(probabilities: Tensor) -> Tensor:
    """Mean routing probability of each expert, u_e = mean_t p_t(e).

    It counts preference, not traffic: under top-2 routing an expert of mass near 1 still shares
    every token with a second one. See `slot_share` for traffic.

    Args:
        probabilities: (..., N, E) full softmax of the router.

    Returns:
        (..., E), summing to 1 over the experts.
    """
    return probabilities.double().mean(-2)


def slot_share(selected: Tensor) -> Tensor:
    """Share of all routing slots that goes to each expert, Σ_t s_t(e) / Σ_t Σ_e s_t(e).

    Args:
        selected: (..., N, E) boolean, True at the experts that serve a token.

    Returns:
        (..., E), summing to 1; with k experts a token no entry exceeds 1/k.
    """
    counts = selected.double().sum(-2)
    return counts / counts.sum(-1, keepdim=True)


def token_entropy(probabilities: Tensor) -> Tensor:
    """Mean over tokens of the entropy of the full softmax, mean_t −Σ_e p_t(e) ln p_t(e), in nats.

    The alternative, entropy over the renormalised top-k gates, cannot exceed ln k.

    Args:
        probabilities: (..., N, E) full softmax of the router.

    Returns:
        (...), between 0 and ln E.
    """
    return entropy(probabilities.double()).mean(-1)


def usage_entropy(probabilities: Tensor) -> Tensor:
    """Entropy of the mean usage, −Σ_e u_e ln u_e with u the softmax mass, in nats.

    Args:
        probabilities: (..., N, E) full softmax of the router.

    Returns:
        (...), between 0 and ln E, never below `token_entropy` (Jensen).
    """
    return entropy(softmax_mass(probabilities))


def mutual_information(probabilities: Tensor) -> Tensor:
    """Mutual information of token and expert, H(mean_t p_t) − mean_t H(p_t), in nats.

    Args:
        probabilities: (..., N, E) full softmax of the router.

    Returns:
        (...), between 0 (all tokens routed alike) and ln E (sure routing, balanced experts).
    """
    return usage_entropy(probabilities) - token_entropy(probabilities)


def load_balancing_loss(probabilities: Tensor, selected: Tensor) -> Tensor:
    """Auxiliary loss of each router, which pushes it towards even use of its experts.

    E · Σ_e f_e · P_e, with f_e the slot share and P_e the softmax mass: 1 when either is uniform,
    E/k when one expert has all the mass and a slot of every token. Gradients reach the router
    through P alone. One number for each layer, whose sum is added to the training loss: pooling the
    tokens of all layers first would average f and P over layers that have nothing to do with each
    other, and call four layers, each collapsed onto a different expert, perfectly balanced.

    Source: Shazeer et al. 2017 for the idea; Lepikhin et al. 2020 (GShard) and Fedus et al. 2021
    (Switch Transformer, equation 4) for this form.

    Args:
        probabilities: (..., N, E) full softmax of each router.
        selected: (..., N, E) boolean, True at the experts that serve a token.

    Returns:
        (...), in the dtype of `probabilities`, 1 at perfect balance whatever k is.
    """
    counts = selected.to(probabilities.dtype).sum(-2)  # (..., E)
    share = counts / counts.sum(-1, keepdim=True)
    mass = probabilities.mean(-2)
    return probabilities.shape[-1] * (share * mass).sum(-1)
