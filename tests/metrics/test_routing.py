import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from decouple.metrics.routing import (
    load_balancing_loss,
    mutual_information,
    slot_share,
    softmax_mass,
    token_entropy,
    usage_entropy,
)


@st.composite
def routings(draw):
    """Softmax probabilities (L, N, E) in float64, a top-k selection and k."""
    n_layers, n_tokens = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    n_experts = draw(st.integers(2, 6))
    k = draw(st.integers(1, n_experts))
    scores = draw(arrays(np.float64, (n_layers, n_tokens, n_experts), elements=st.floats(-30, 30)))
    probabilities = torch.from_numpy(scores).softmax(-1)
    chosen = probabilities.topk(k, dim=-1).indices
    selected = torch.zeros_like(probabilities, dtype=torch.bool).scatter(-1, chosen, True)
    return probabilities, selected, k


def collapse(experts):
    """One layer per entry, all tokens sure of that expert; top-2, the second one spread evenly."""
    probabilities = torch.zeros(len(experts), 6, 4)
    selected = torch.zeros(len(experts), 6, 4, dtype=torch.bool)
    for layer, expert in enumerate(experts):
        probabilities[layer, :, expert] = 1.0
        selected[layer, :, expert] = True
        others = [other for other in range(4) if other != expert]
        for token in range(6):
            selected[layer, token, others[token % 3]] = True
    return probabilities, selected


@given(routing=routings())
def test_mass_and_share_are_distributions_and_no_share_exceeds_one_in_k(routing):
    probabilities, selected, k = routing
    mass, share = softmax_mass(probabilities), slot_share(selected)
    np.testing.assert_allclose(mass.sum(-1), 1.0, atol=1e-12)
    np.testing.assert_allclose(share.sum(-1), 1.0, atol=1e-12)
    assert (mass >= 0).all()
    assert (share <= 1 / k + 1e-12).all()


@given(routing=routings(), seed=st.integers(0, 99))
def test_permuting_experts_permutes_usage_and_changes_no_entropy(routing, seed):
    probabilities, selected, _ = routing
    order = torch.from_numpy(np.random.default_rng(seed).permutation(probabilities.shape[-1]))
    moved, moved_selected = probabilities[..., order], selected[..., order]
    torch.testing.assert_close(softmax_mass(moved), softmax_mass(probabilities)[..., order])
    torch.testing.assert_close(slot_share(moved_selected), slot_share(selected)[..., order])
    for metric in (token_entropy, usage_entropy, mutual_information):
        torch.testing.assert_close(metric(moved), metric(probabilities))
    torch.testing.assert_close(
        load_balancing_loss(moved, moved_selected), load_balancing_loss(probabilities, selected)
    )


@given(routing=routings())
def test_entropies_are_bounded_and_the_mean_has_the_greater_one(routing):
    probabilities, _, _ = routing
    top = math.log(probabilities.shape[-1]) + 1e-12
    tokens, usage = token_entropy(probabilities), usage_entropy(probabilities)
    assert ((tokens >= 0) & (tokens <= top)).all()
    assert ((usage >= 0) & (usage <= top)).all()
    assert (mutual_information(probabilities) >= -1e-12).all()  # Jensen
    torch.testing.assert_close(mutual_information(probabilities), usage - tokens)


@given(routing=routings())
def test_agrees_with_numpy(routing):
    probabilities, selected, k = routing
    p, s = probabilities.numpy(), selected.numpy()
    logs = np.log(np.where(p > 0, p, 1.0))
    np.testing.assert_allclose(token_entropy(probabilities), -(p * logs).sum(2).mean(1), atol=1e-12)
    u = p.mean(1)
    by_hand = -(u * np.log(np.where(u > 0, u, 1.0))).sum(1)
    np.testing.assert_allclose(usage_entropy(probabilities), by_hand, atol=1e-12)
    f = s.sum(1) / (k * s.shape[1])
    np.testing.assert_allclose(slot_share(selected), f, atol=1e-12)
    loss = [p.shape[2] * f[layer] @ u[layer] for layer in range(len(p))]
    np.testing.assert_allclose(load_balancing_loss(probabilities, selected), loss, atol=1e-12)


def test_mutual_information_tells_specialisation_from_collapse():
    specialised = torch.eye(4).repeat(3, 1)  # each token sure of its own expert
    collapsed, _ = collapse([2])
    uniform = torch.full((12, 4), 0.25)
    assert mutual_information(specialised).item() == pytest.approx(math.log(4))
    assert mutual_information(collapsed).item() == pytest.approx(0.0)
    assert mutual_information(uniform).item() == pytest.approx(0.0)
    assert token_entropy(specialised).item() == token_entropy(collapsed).item() == 0.0
    assert token_entropy(uniform).item() == pytest.approx(math.log(4))


def test_a_dominant_expert_has_all_the_mass_but_half_of_the_slots():
    probabilities, selected = collapse([0])
    assert softmax_mass(probabilities)[0].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert slot_share(selected)[0].tolist() == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6])


@pytest.mark.parametrize("k", [1, 2, 4])
def test_balancing_loss_is_one_at_balance_and_e_over_k_at_collapse(k):
    uniform = torch.full((1, 4, 4), 0.25)
    rotating = torch.stack([torch.arange(4).roll(shift) < k for shift in range(4)])[None]
    assert load_balancing_loss(uniform, rotating).item() == pytest.approx(1.0)
    collapsed = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(1, 4, 1)
    selected = (torch.arange(4) < k).repeat(1, 4, 1)
    assert load_balancing_loss(collapsed, selected).item() == pytest.approx(4 / k)


def test_balancing_loss_sees_layers_that_collapse_onto_different_experts():
    probabilities, selected = collapse([0, 1, 2, 3])
    assert load_balancing_loss(probabilities, selected).tolist() == pytest.approx([2.0] * 4)
    pooled = load_balancing_loss(probabilities.flatten(0, 1), selected.flatten(0, 1))
    assert pooled.item() == pytest.approx(1.0)  # what pooling the layers would have said


def test_balancing_loss_pushes_mass_away_from_the_expert_that_is_used_most():
    scores = torch.tensor([[2.0, 0.0, 0.0, 0.0]]).repeat(5, 1).requires_grad_()
    probabilities = scores.softmax(-1)
    selected = (torch.arange(4) < 2).repeat(5, 1)
    load_balancing_loss(probabilities, selected).backward()
    assert (scores.grad[:, 0] > 0).all()
    assert (scores.grad[:, 2:] < 0).all()


def test_float32_routing_is_measured_in_float64():
    probabilities = torch.full((1000, 4), 0.25)
    for value in (softmax_mass(probabilities), token_entropy(probabilities)):
        assert value.dtype == torch.float64
    assert load_balancing_loss(probabilities, probabilities > 0).dtype == torch.float32
