import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from decouple.training.cycles import order_windows, train_cycles

VOCAB, SEEDS, CYCLES, STEPS = 5, 3, 4, 6


def loss(parameters, windows):
    """A bigram model: the logits after a token are its row of a table."""
    logits = F.embedding(windows[:, :-1], parameters["table"])
    value = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    return value, 2 * value


def start():
    generator = torch.Generator().manual_seed(0)
    return {"table": torch.randn(SEEDS, VOCAB, VOCAB, generator=generator).requires_grad_()}


def make_windows(seed=0):
    shape = (SEEDS, CYCLES, STEPS, 4, 8)
    return np.random.default_rng(seed).integers(VOCAB, size=shape, dtype=np.int32)


def evaluate(cycle, parameters, training):
    norms = parameters["table"].detach().flatten(1).norm(dim=1).tolist()
    losses = [None] * SEEDS if training is None else training.tolist()
    return [[(cycle, "norm", a), (cycle, "loss", b)] for a, b in zip(norms, losses, strict=True)]


def train(parameters=None, windows=None, **options):
    return train_cycles(
        start() if parameters is None else parameters,
        make_windows() if windows is None else windows,
        loss,
        evaluate,
        **{"learning_rate": 1e-2, "weight_decay": 0.1} | options,
    )


def test_every_seed_is_measured_at_the_start_and_after_each_cycle():
    result = train()
    assert result.status == ["finished"] * SEEDS
    for rows in result.rows:
        assert [row[:2] for row in rows[::2]] == [(cycle, "norm") for cycle in range(CYCLES + 1)]


def test_training_loss_is_the_mean_of_what_the_loss_records():
    rows = train(learning_rate=0.0).rows  # parameters stay, so that losses can be taken again
    windows = torch.from_numpy(make_windows()).long()
    table = start()["table"]
    for seed in range(SEEDS):
        for cycle in range(CYCLES):
            values = [loss({"table": table[seed]}, w)[1].item() for w in windows[seed, cycle]]
            assert rows[seed][2 * cycle + 3][2] == pytest.approx(np.mean(values), rel=1e-5)


def test_the_same_run_gives_the_same_bits_and_other_data_others():
    first, second = train(), train()
    assert first.rows == second.rows
    assert torch.equal(first.parameters["table"], second.parameters["table"])
    assert train(windows=make_windows(1)).rows != first.rows


def test_progress_counts_all_steps():
    seen = []
    train(progress=lambda *call: seen.append(call))
    assert [done for done, _, _ in seen] == list(range(1, CYCLES * STEPS + 1))
    assert {total for _, total, _ in seen} == {CYCLES * STEPS}
    assert seen[-1][2] == "cycle 4/4"


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", [1, STEPS, STEPS + 1, 3 * STEPS + 2, CYCLES * STEPS])
def test_a_killed_run_ends_exactly_as_if_it_had_not_been(tmp_path, at):
    checkpoint = tmp_path / "run.pt"

    def kill(done, _total, _note):
        if done == at:
            raise KilledError

    with pytest.raises(KilledError):
        train(checkpoint=checkpoint, identity="run", progress=kill)
    seen = []
    resumed = train(
        checkpoint=checkpoint, identity="run", progress=lambda *call: seen.append(call[0])
    )
    assert seen[0] == (at - 1) // STEPS * STEPS + 1  # finished cycles are not run again
    whole = train()
    assert resumed.rows == whole.rows
    assert resumed.status == whole.status
    assert torch.equal(resumed.parameters["table"], whole.parameters["table"])


def test_a_finished_run_is_not_run_again(tmp_path):
    checkpoint = tmp_path / "run.pt"
    first = train(checkpoint=checkpoint, identity="run")
    seen = []
    second = train(checkpoint=checkpoint, identity="run", progress=lambda *call: seen.append(call))
    assert not seen
    assert second.rows == first.rows


def test_another_runs_checkpoint_is_not_taken_up(tmp_path):
    checkpoint = tmp_path / "run.pt"
    train(checkpoint=checkpoint, identity="other", windows=make_windows(1))
    with pytest.warns(UserWarning, match="another run's"):
        result = train(checkpoint=checkpoint, identity="run")
    assert result.rows == train().rows


def test_a_seed_that_diverges_is_named_and_keeps_its_rows_up_to_there(tmp_path):
    parameters = start()

    def breaking(parameters, windows):
        value, recorded = loss(parameters, windows)
        broken = (windows == VOCAB - 1).all()
        return value, torch.where(broken, torch.nan, recorded)

    windows = make_windows()
    windows[1, 2, 3] = VOCAB - 1  # seed 1, cycle 3, step 4
    result = train_cycles(
        parameters, windows, breaking, evaluate, learning_rate=1e-2, weight_decay=0.0
    )
    assert result.status == ["finished", "diverged at step 16: loss is nan", "finished"]
    assert [rows[-1][0] for rows in result.rows] == [4, 2, 4]


def test_a_loss_that_goes_wrong_in_the_last_update_is_noticed():
    def late(parameters, windows):
        value, recorded = loss(parameters, windows)
        broken = (windows == VOCAB - 1).all()
        return value * torch.where(broken, torch.inf, 1.0), recorded

    windows = make_windows()
    windows[2, 3, 5] = VOCAB - 1
    result = train_cycles(start(), windows, late, evaluate, learning_rate=1e-2, weight_decay=0.0)
    assert result.status[2] == "diverged at step 24: a parameter is not finite"
    assert [rows[-1][0] for rows in result.rows] == [4, 4, 3]


def test_the_other_seeds_are_measured_as_if_none_had_diverged():
    def measure(cycle, parameters, training):
        assert all(value.isfinite().all() for value in parameters.values())
        return evaluate(cycle, parameters, training)

    def late(parameters, windows):
        value, recorded = loss(parameters, windows)
        broken = (windows == VOCAB - 1).all()
        return value * torch.where(broken, torch.inf, 1.0), recorded

    windows = make_windows()
    windows[0, 1, 2] = VOCAB - 1
    options = {"learning_rate": 1e-2, "weight_decay": 0.0}
    result = train_cycles(start(), windows, late, measure, **options)
    whole = train_cycles(start(), windows, loss, evaluate, **options)
    assert result.status == ["diverged at step 10: loss is nan", "finished", "finished"]
    assert result.rows[1:] == whole.rows[1:]
    assert result.rows[0] == whole.rows[0][:4]


def test_finite_weights_that_predict_nothing_finite_are_noticed():
    def breaking(parameters, windows):
        value, recorded = loss(parameters, windows)
        far = parameters["table"].abs().max() > 10
        return value, torch.where(far, torch.inf, recorded)

    parameters = start()
    with torch.no_grad():
        parameters["table"][1, 0, 0] = 10 - 5e-3
    windows = make_windows()[:, :1, :1]
    windows[1, ..., ::2] = 0  # the far weight is trained towards the token that it stands for
    windows[1, ..., 1::2] = 0
    result = train_cycles(
        parameters, windows, breaking, evaluate, learning_rate=1e-2, weight_decay=0.0
    )
    assert result.status[1] == "diverged at step 1: the loss after it is inf"
    assert [rows[-1][0] for rows in result.rows] == [1, 0, 1]


def test_a_run_ends_when_no_seed_is_left():
    parameters = {"table": torch.full((SEEDS, VOCAB, VOCAB), torch.nan).requires_grad_()}
    seen = []
    result = train(parameters, progress=lambda *call: seen.append(call[0]))
    assert result.status == ["diverged at step 1: loss is nan"] * SEEDS
    assert max(seen) == STEPS
    assert all(len(rows) == 2 for rows in result.rows)


def generators(seed):
    return [np.random.default_rng([seed, position]) for position in range(SEEDS)]


@given(seed=st.integers(0, 10**6))
def test_orders_visit_the_same_windows_of_each_seed(seed):
    windows = make_windows()
    assert order_windows(windows, "sequential", generators(seed)) is windows
    for order in ("shuffled", "iid"):
        mixed = order_windows(windows, order, generators(seed))
        again = order_windows(windows, order, generators(seed))
        assert np.array_equal(mixed, again)
        for own, moved in zip(windows, mixed, strict=True):
            flat = [sorted(map(tuple, each.reshape(-1, 8))) for each in (own, moved)]
            assert flat[0] == flat[1]


def test_shuffled_moves_whole_cycles_and_iid_mixes_them():
    windows = np.broadcast_to(
        np.arange(CYCLES, dtype=np.int32)[None, :, None, None, None], (SEEDS, CYCLES, STEPS, 4, 8)
    )
    shuffled = order_windows(windows, "shuffled", generators(0))
    assert (shuffled == shuffled[:, :, :1, :1, :1]).all()
    assert not np.array_equal(shuffled, windows)
    mixed = order_windows(windows, "iid", generators(0))
    assert (mixed == mixed[..., :1]).all()  # a window stays whole
    assert all(len(np.unique(cycle)) == CYCLES for seed in mixed for cycle in seed)


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match=r"order must be one of sequential, .* got 'sorted'"):
        order_windows(make_windows(), "sorted", generators(0))
