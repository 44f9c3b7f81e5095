import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from decouple.models.sampling import generate

VOCABULARY, CONTEXT = 11, 6


class Causal(nn.Module):
    """Logits that depend on every token up to a position, and on where each stands."""

    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(CONTEXT, VOCABULARY, VOCABULARY, generator=generator)
        self.seen = []

    def forward(self, tokens):
        self.seen.append(tuple(tokens.shape))
        assert tokens.shape[1] <= CONTEXT
        where = torch.arange(tokens.shape[1])
        return self.table[where, tokens].cumsum(1)  # (B, T, V)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def one_by_one(prompt, n_tokens, pick):
    """The same by the book: one prompt, one token at a time, no padding."""
    tokens = prompt.tolist()
    for i in range(n_tokens):
        logits = Causal()(torch.tensor([tokens[-CONTEXT:]]))[0, -1]
        tokens.append(pick(logits, i))
    return tokens[len(prompt) :]


PROMPTS = st.lists(
    st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9).map(torch.tensor),
    min_size=1,
    max_size=4,
)


@given(prompts=PROMPTS, n_tokens=st.integers(1, 8))
@settings(max_examples=40)
def test_greedy_is_the_likeliest_token_for_prompts_of_any_lengths(prompts, n_tokens):
    found = generate(Causal(), prompts, n_tokens, context=CONTEXT, temperature=0)
    expected = [one_by_one(p, n_tokens, lambda logits, _: int(logits.argmax())) for p in prompts]
    assert found.tolist() == expected


@given(prompts=PROMPTS, seed=st.integers(0, 99))
@settings(max_examples=20)
def test_sampling_inverts_the_cumulative_distribution_at_the_draws(prompts, seed):
    found = generate(Causal(), prompts, 5, context=CONTEXT, temperature=0.7, generator=seeded(seed))
    draws = torch.rand(len(prompts), 5, dtype=torch.float64, generator=seeded(seed))

    def pick(row):
        def token(logits, i):
            shares = (logits.double() / 0.7).softmax(-1).cumsum(-1)
            return int((shares <= draws[row, i]).sum())

        return token

    assert found.tolist() == [one_by_one(p, 5, pick(row)) for row, p in enumerate(prompts)]


def test_samples_follow_the_probabilities():
    logits = torch.tensor([2.0, 0.0, 1.0, -3.0])
    found = generate(
        lambda tokens: logits.expand(*tokens.shape, 4),
        torch.zeros(400, 1, dtype=torch.long),
        50,
        context=8,
        temperature=2.0,
        generator=seeded(),
    )
    shares = found.flatten().bincount(minlength=4) / found.numel()
    torch.testing.assert_close(shares, (logits / 2).softmax(-1), atol=0.01, rtol=0)


def test_top_k_leaves_the_likeliest_and_one_is_greedy():
    prompts = torch.arange(10).view(5, 2)
    first = {"context": CONTEXT, "temperature": 1.0}
    greedy = generate(Causal(), prompts, 6, context=CONTEXT, temperature=0)
    assert generate(Causal(), prompts, 6, top_k=1, generator=seeded(), **first).equal(greedy)
    free = generate(Causal(), prompts, 6, generator=seeded(), **first)
    assert generate(Causal(), prompts, 6, top_k=99, generator=seeded(), **first).equal(free)
    likeliest = Causal()(prompts)[:, -1].topk(3).indices
    for seed in range(20):
        some = generate(Causal(), prompts, 1, top_k=3, generator=seeded(seed), **first)
        assert (some == likeliest).any(1).all()


def test_the_same_seed_says_the_same_and_another_does_not():
    prompts = torch.arange(10).view(5, 2)
    words = {"context": CONTEXT, "temperature": 1.0}
    a, b, c = (generate(Causal(), prompts, 9, generator=seeded(s), **words) for s in (1, 1, 2))
    assert a.equal(b)
    assert not a.equal(c)


def test_the_model_reads_no_more_than_its_context_and_keeps_no_graph():
    model = Causal()
    model.table.requires_grad_()
    prompts = [torch.zeros(2, dtype=torch.long), torch.zeros(9, dtype=torch.long)]
    found = generate(model, prompts, 3, context=4, temperature=0)
    assert model.seen == [(2, 4)] * 3
    assert found.shape == (2, 3)
    assert not found.requires_grad
    assert prompts[0].shape == (2,)  # left as they were


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompts": []}, "prompts must be one sequence .*or more"),
        ({"prompts": torch.zeros(2, 0).long()}, r"with one token or more, got shapes \[\(0,\)"),
        ({"n_tokens": 0}, "n_tokens must be at least 1, got 0"),
        ({"context": 0}, "context must be at least 1, got 0"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"temperature": -1.0}, "temperature must be >= 0, got -1.0"),
        ({"generator": None}, "generator must be given at temperature 1.0, got None"),
    ],
)
def test_nonsense_is_refused(change, words):
    wanted = {
        "prompts": torch.zeros(1, 1, dtype=torch.long),
        "n_tokens": 1,
        "context": 4,
        "temperature": 1.0,
        "generator": seeded(),
    }
    wanted |= change
    with pytest.raises(ValueError, match=words):
        generate(Causal(), wanted.pop("prompts"), wanted.pop("n_tokens"), **wanted)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_model_that_has_broken_still_gives_tokens(temperature):
    def broken(tokens):
        read = nn.functional.embedding(tokens, torch.zeros(VOCABULARY, VOCABULARY))
        return read + torch.nan

    added = generate(
        broken, torch.zeros(2, 1, dtype=torch.int64), 3, context=CONTEXT, temperature=temperature,
        generator=seeded(),
    )  # fmt: skip
    assert ((added >= 0) & (added < VOCABULARY)).all()
