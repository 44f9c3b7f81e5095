import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decouple.data import held_out_windows, sample_windows, split_chunks


@given(
    n_tokens=st.integers(0, 400),
    n_chunks=st.integers(1, 15),
    fraction=st.floats(0.02, 0.9),
    minimum=st.integers(1, 20),
)
def test_chunks_and_tail_divide_the_text_or_too_few_tokens_are_refused(
    n_tokens, n_chunks, fraction, minimum
):
    tokens = np.arange(n_tokens, dtype=np.int32)
    options = {"n_chunks": n_chunks, "held_out_fraction": fraction, "minimum": minimum}
    n_held_out = int(n_tokens * fraction)
    if min(n_held_out, (n_tokens - n_held_out) // n_chunks) < minimum:
        with pytest.raises(ValueError, match=rf"tokens must hold .* got {n_tokens}$") as caught:
            split_chunks(tokens, **options)
        # The message's number is exact: that many succeed, one less fails.
        needed = int(str(caught.value).split("at least ")[1].split()[0])
        assert needed > n_tokens
        split_chunks(np.arange(needed), **options)
        with pytest.raises(ValueError, match="tokens must hold at least"):
            split_chunks(np.arange(needed - 1), **options)
        return
    chunks = split_chunks(tokens, **options)
    assert len(chunks.train) == n_chunks
    lengths = [len(chunk) for chunk in chunks.train]
    assert max(lengths) - min(lengths) <= 1
    assert min(*lengths, len(chunks.held_out)) >= minimum
    assert len(chunks.held_out) == n_held_out
    assert np.array_equal(np.concatenate([*chunks.train, chunks.held_out]), tokens)
    # Tokens are their own positions here: none of the tail is in any chunk.
    assert set(chunks.held_out.tolist()).isdisjoint(np.concatenate(chunks.train).tolist())


@given(n_tokens=st.integers(2, 200), n_windows=st.integers(1, 30), length=st.integers(1, 199))
def test_held_out_windows_are_contiguous_and_reach_from_end_to_end(n_tokens, n_windows, length):
    tokens = np.arange(n_tokens, dtype=np.int32)
    if length + 1 > n_tokens:
        with pytest.raises(ValueError, match=rf"held_out must hold .* = {length + 1} tokens, got"):
            held_out_windows(tokens, n_windows=n_windows, length=length)
        return
    windows = held_out_windows(tokens, n_windows=n_windows, length=length)
    assert windows.shape == (n_windows, length + 1)
    assert windows.dtype == np.int32
    assert (np.diff(windows, axis=1) == 1).all()
    steps = np.diff(windows[:, 0])
    assert windows[0, 0] == 0
    if n_windows > 1:
        assert windows[-1, -1] == n_tokens - 1
        assert steps.max() - steps.min() <= 1


@given(n_tokens=st.integers(5, 50), length=st.integers(1, 4), seed=st.integers(0, 1000))
def test_sampled_windows_are_contiguous_and_follow_the_generator(n_tokens, length, seed):
    tokens = np.arange(n_tokens, dtype=np.int32)

    def sample():
        generator = np.random.default_rng(seed)
        return sample_windows(tokens, n_windows=7, length=length, generator=generator)

    windows = sample()
    assert windows.shape == (7, length + 1)
    assert windows.dtype == np.int32
    assert (np.diff(windows, axis=1) == 1).all()
    assert np.array_equal(windows, sample())


def test_sampled_offsets_are_uniform_over_all_that_fit():
    windows = sample_windows(
        np.arange(10), n_windows=8000, length=3, generator=np.random.default_rng(0)
    )
    counts = np.bincount(windows[:, 0], minlength=7)
    assert len(counts) == 7
    assert abs(counts - 8000 / 7).max() < 150  # almost five standard deviations


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_chunks": 0}, "n_chunks must be at least 1, got 0"),
        ({"held_out_fraction": 0.0}, "held_out_fraction must be between 0 and 1, got 0.0"),
        ({"held_out_fraction": 1.0}, "held_out_fraction must be between 0 and 1, got 1.0"),
        ({"minimum": 0}, "minimum must be at least 1, got 0"),
        ({"tokens": np.zeros((4, 4), dtype=int)}, r"tokens must be a one-dim.*\(4, 4\) of int64"),
        ({"tokens": np.zeros(40)}, r"array of integers, got shape \(40,\) of float64"),
        (
            {"minimum": 20},
            r"at least 200 tokens for n_chunks=3 chunks and a held-out tail of 0\.1 "
            r"with minimum=20 tokens each, got 100",
        ),
    ],
)
def test_chunks_refuse_nonsense(options, message):
    options = {"tokens": np.arange(100), "n_chunks": 3, "minimum": 5} | options
    with pytest.raises(ValueError, match=message):
        split_chunks(options.pop("tokens"), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_windows": 0, "length": 2}, "n_windows must be at least 1, got 0"),
        ({"n_windows": 1, "length": 0}, "length must be at least 1, got 0"),
        ({"n_windows": 1, "length": 9}, r"must hold at least length \+ 1 = 10 tokens, got 9"),
    ],
)
def test_windows_refuse_nonsense(options, message):
    with pytest.raises(ValueError, match=message):
        held_out_windows(np.arange(9), **options)
    with pytest.raises(ValueError, match=message):
        sample_windows(np.arange(9), generator=np.random.default_rng(0), **options)
