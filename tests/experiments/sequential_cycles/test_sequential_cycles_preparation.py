from dataclasses import replace

import numpy as np
import pytest
import torch

from decouple.experiments.sequential_cycles.evaluation import trained_parts
from decouple.experiments.sequential_cycles.preparation import (
    drawn_windows,
    frozen_modules,
    prepare,
    starting_model,
    training_pairs,
)
from decouple.metrics.alignment import head_alignment
from decouple.models.gpt2 import final_logits, final_states
from decouple.models.gpt2_config import base_shape, head_modules
from decouple.training.ensemble import stack_parameters

SEEDS = [1000, 1001]


@pytest.fixture(scope="module")
def data(config, tmp_path_factory):
    return prepare(config, tmp_path_factory.mktemp("shared"))


def windows_of(pairs):
    """(..., 2, T) as windows (..., T + 1), which labels that follow their tokens are."""
    assert np.array_equal(pairs[..., 0, 1:], pairs[..., 1, :-1])
    return np.concatenate([pairs[..., 0, :], pairs[..., 1, -1:]], axis=-1)


def rows(windows):
    return {tuple(window) for window in windows.reshape(-1, windows.shape[-1])}


def inside(chunk, length=9):
    return {tuple(chunk[start : start + length]) for start in range(len(chunk) - length + 1)}


def test_the_text_is_cut_to_size_and_its_end_is_held_out(config, data):
    assert [len(chunk) for chunk in data.chunks] == [200] * 3
    tokens = data.tokenizer.encode(data.text)
    assert len(tokens) > 700
    train = np.concatenate(data.chunks)
    tail = tokens[-(len(tokens) - _find(tokens, train) - len(train)) :]
    assert rows(data.held_out) <= inside(tail)
    assert tuple(data.held_out[-1]) == tuple(tokens[-9:])
    assert data.held_out.shape == (5, 9)


def _find(tokens, part):
    (start,) = [
        i for i in range(len(tokens) - len(part) + 1) if (tokens[i : i + len(part)] == part).all()
    ]
    return start


def test_drawn_windows_are_held_out_and_each_seeds_own(config, data):
    drawn = drawn_windows(config, data, SEEDS)
    assert drawn.shape == (2, *data.held_out.shape)
    assert not np.array_equal(*drawn)
    assert np.array_equal(drawn[1], drawn_windows(config, data, [1001])[0])
    assert rows(drawn) <= inside(data.tail)
    assert rows(data.held_out) <= inside(data.tail)


def test_held_out_windows_are_in_no_batch(config, data):
    for order in ("sequential", "shuffled", "iid", "same_chunk"):
        pairs = training_pairs(replace(config, order=order), data, SEEDS)
        assert not rows(windows_of(pairs)) & rows(data.held_out)


def test_windows_come_from_the_chunk_of_their_cycle(config, data):
    pairs = training_pairs(config, data, SEEDS)
    assert pairs.shape == (2, 3, 4, 2, 2, 8)
    windows = windows_of(pairs)
    for cycle, chunk in enumerate(data.chunks):
        assert rows(windows[:, cycle]) <= inside(chunk)
    assert not np.array_equal(windows[0], windows[1])
    assert np.array_equal(pairs[1], training_pairs(config, data, [1001])[0])


def test_the_same_chunk_is_the_first_and_its_windows_are_new_in_every_cycle(config, data):
    same = windows_of(training_pairs(replace(config, order="same_chunk"), data, SEEDS))
    assert rows(same) <= inside(data.chunks[0])
    assert not np.array_equal(same[:, 0], same[:, 1])
    assert np.array_equal(same[:, 0], windows_of(training_pairs(config, data, SEEDS))[:, 0])


@pytest.mark.parametrize("order", ["shuffled", "iid"])
def test_other_orders_visit_the_same_windows(config, data, order):
    sequential = windows_of(training_pairs(config, data, SEEDS))
    other = windows_of(training_pairs(replace(config, order=order), data, SEEDS))
    assert not np.array_equal(other, sequential)
    for own, moved in zip(sequential, other, strict=True):
        flat = [sorted(map(tuple, each.reshape(-1, 9))) for each in (own, moved)]
        assert flat[0] == flat[1]


def test_random_labels_are_those_of_the_cycle_in_another_order(config, data):
    plain = training_pairs(config, data, SEEDS)
    random = training_pairs(replace(config, labels="random"), data, SEEDS)
    assert np.array_equal(random[..., 0, :], plain[..., 0, :])
    assert (random[..., 1, :] != plain[..., 1, :]).mean() > 0.5
    for own, dealt in zip(plain[..., 1, :], random[..., 1, :], strict=True):
        for cycle in range(3):
            assert np.array_equal(np.sort(own[cycle].ravel()), np.sort(dealt[cycle].ravel()))


@pytest.mark.parametrize(
    ("frozen", "trained"),
    [
        (None, {"wte", "wpe", "0", "1", "ln_f"}),
        ("head", {"0"}),
        ("embeddings", {"0", "1", "ln_f"}),
        ("last_block", {"wte", "wpe", "0"}),
        ("all_but_wte", {"wte"}),
        ("all_but_last_block", {"1", "ln_f"}),
    ],
)
def test_a_part_is_frozen_and_the_rest_is_not(config, data, frozen, trained):
    config = replace(config, frozen=frozen)
    shape = base_shape(config.base)
    model = starting_model(config, data)
    parameters = stack_parameters([model], frozen=frozen_modules(config, shape))
    found = {
        name.split(".")[2 if ".h." in name else 1]
        for name, value in parameters.items()
        if value.requires_grad
    }
    assert found == trained
    parts = trained_parts(parameters, head_modules(shape))
    head, body = trained & {"wte", "wpe", "1", "ln_f"}, trained & {"0"}
    assert set(parts) == {"all"} | ({"head"} if head else set()) | ({"body"} if body else set())
    assert set(parts["all"]) == {name for part in parts.values() for name in part}
    assert set(parts.get("head", ())).isdisjoint(parts.get("body", ()))


def test_the_gauge_turns_the_raw_alignment_and_leaves_the_function(config, data):
    windows = torch.from_numpy(data.held_out).long()
    predictions, raw, centred = [], [], []
    for gauge_shift in (0.0, 2.0):
        model = starting_model(replace(config, gauge_shift=gauge_shift), data)
        with torch.no_grad():
            states = final_states(model, windows[:, :-1]).after
            predictions.append(final_logits(model, states).log_softmax(-1))
            embedding, flat = model.transformer.wte.weight, states.flatten(0, 1)
            for values, how in ((raw, False), (centred, True)):
                values.append(
                    head_alignment(flat, embedding, windows[:, 1:].flatten(), centred=how).item()
                )
    torch.testing.assert_close(*predictions, atol=1e-5, rtol=0)
    assert centred[0] == pytest.approx(centred[1], abs=1e-5)
    assert raw[0] * raw[1] < 0
    assert abs(raw[1]) > 0.1


def test_a_block_longer_than_the_bases_context_is_refused(config, data):
    with pytest.raises(ValueError, match="block must be at most the base's context of 24, got 25"):
        starting_model(replace(config, block=25), data)
