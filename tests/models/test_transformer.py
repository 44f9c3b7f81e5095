"""The standard decoder: its size, its causality, and its function written another way."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.models.transformer import build_transformer
from decouple.models.transformer_config import TransformerConfig, parameter_count

SMALL = TransformerConfig(width=8, context=6, n_heads=2, n_layers=2, embedding_std=1.0)


def make(config=SMALL, vocab_size=11, seed=0):
    return build_transformer(config, vocab_size, torch.Generator().manual_seed(seed)).double()


def some_tokens(batch=3, length=6):
    return torch.randint(0, 11, (batch, length), generator=torch.Generator().manual_seed(1))


@given(layers=st.integers(1, 3), heads=st.sampled_from([1, 2, 4]), expansion=st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_logits_are_those_of_the_textbook_decoder(layers, heads, expansion):
    config = dataclasses.replace(SMALL, n_layers=layers, n_heads=heads, expansion=expansion)
    model, tokens = make(config), some_tokens()
    weights = dict(model.named_parameters())
    x = weights["tokens"][tokens] + weights["positions"]
    future = torch.full((6, 6), -torch.inf, dtype=torch.float64).triu(1)
    for layer in range(layers):
        block = {n.split(".", 2)[2]: w for n, w in weights.items() if f"blocks.{layer}." in n}
        normed = F.layer_norm(x, (8,), block["attention_norm.weight"])
        parts = (normed @ block["query_key_value.weight"].T).split(8, dim=-1)
        outputs = []
        for head in range(heads):
            span = slice(head * 8 // heads, (head + 1) * 8 // heads)
            query, key, value = (part[..., span] for part in parts)
            scores = query @ key.transpose(1, 2) / (8 // heads) ** 0.5 + future
            outputs.append(scores.softmax(-1) @ value)
        x = x + torch.cat(outputs, -1) @ block["attention_out.weight"].T
        hidden = F.layer_norm(x, (8,), block["feed_forward_norm.weight"]) @ block["up.weight"].T
        x = x + F.gelu(hidden, approximate="tanh") @ block["down.weight"].T
    expected = F.layer_norm(x, (8,), weights["norm.weight"]) @ weights["head"].T
    torch.testing.assert_close(model(tokens), expected, rtol=1e-10, atol=1e-11)


@given(position=st.integers(1, 5))
@settings(max_examples=5, deadline=None)
def test_logits_are_causal(position):
    model, tokens = make(), some_tokens()
    changed = tokens.clone()
    changed[:, position] = (changed[:, position] + 1) % 11
    change = model(changed) - model(tokens)
    assert (change[:, :position].abs() < 1e-13).all()
    assert (change[:, position:].abs().amax(-1) > 1e-6).all()


def test_parameters_are_counted_and_drawn_from_the_generator_alone():
    before = torch.get_rng_state()
    model, again = make(), make()
    assert torch.equal(torch.get_rng_state(), before)
    assert parameter_count(SMALL, 11) == sum(p.numel() for p in model.parameters())
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layers": 0}, "n_layers must be at least 1, got 0"),
        ({"n_heads": 3}, "n_heads must divide width=8, got 3"),
        ({"embedding_std": 0.0}, "embedding_std must be positive and finite, got 0.0"),
    ],
)
def test_impossible_shapes_are_refused_with_name_value_and_expectation(change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        dataclasses.replace(SMALL, **change)


def test_long_sequences_and_empty_vocabularies_are_refused():
    with pytest.raises(ValueError, match=r"^tokens must be at most context=6 long, got 7$"):
        make()(some_tokens(length=7))
    with pytest.raises(ValueError, match=r"^vocab_size must be at least 1, got 0$"):
        make(vocab_size=0)
