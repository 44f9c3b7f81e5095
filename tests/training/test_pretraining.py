"""Pretraining: schedule, determinism, interruption, divergence, bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from decouple.models.gpt2_config import BaseShape
from decouple.training import pretraining
from decouple.training.pretraining import pretrain
from decouple.training.pretraining_config import PretrainingConfig, learning_rate_at

CONFIG = PretrainingConfig(
    shape=BaseShape(layers=1, width=16, heads=2, context=8, vocab_size=20),
    block=8,
    batch=4,
    steps=12,
    learning_rate=1e-2,
    warmup=2,
    check_every=2,
    checkpoint_every=4,
)
# A text with something to learn: each token follows from the one before it.
TOKENS = (np.cumsum(np.random.default_rng(0).choice([1, 3], size=400)) % 20).astype(np.int32)
HELD_OUT = TOKENS[-90:].reshape(10, 9)


def weights(result):
    return {name: value.detach() for name, value in result.model.named_parameters()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_what_can_be_learnt():
    result = pretrain(
        replace(CONFIG, steps=300, check_every=50, checkpoint_every=50), TOKENS, HELD_OUT
    )
    assert result.status == "finished"
    assert len(result.losses) == 6
    # Of twenty tokens two can follow, with even chances: ln 20 = 3.0 falls to ln 2 = 0.69.
    assert result.losses[0] > 1.0
    assert np.log(2) - 0.1 < result.held_out_loss < 0.85


def test_the_same_seed_gives_the_same_bits_whatever_the_global_generator_says():
    first = pretrain(CONFIG, TOKENS, HELD_OUT)
    torch.rand(5)
    again, other = (
        pretrain(CONFIG, TOKENS, HELD_OUT),
        pretrain(replace(CONFIG, seed=1), TOKENS, HELD_OUT),
    )
    assert same(weights(first), weights(again))
    assert (first.losses, first.held_out_loss) == (again.losses, again.held_out_loss)
    assert not same(weights(first), weights(other))


def test_an_interrupted_run_goes_on_bit_by_bit(tmp_path):
    class InterruptionError(Exception):
        pass

    def interrupt(done, total, note):
        assert (total, note[:5]) == (12, "loss ")
        if done == 10:
            raise InterruptionError

    whole = pretrain(CONFIG, TOKENS, HELD_OUT)
    file = tmp_path / "pretraining.pt"
    with pytest.raises(InterruptionError):
        pretrain(CONFIG, TOKENS, HELD_OUT, checkpoint=file, progress=interrupt)
    steps = []
    resumed = pretrain(
        CONFIG, TOKENS, HELD_OUT, checkpoint=file, progress=lambda done, *_: steps.append(done)
    )
    assert steps == [10, 12]  # from the state after eight steps
    assert same(weights(whole), weights(resumed))
    assert (whole.losses, whole.held_out_loss) == (resumed.losses, resumed.held_out_loss)


def test_the_state_of_another_run_is_not_taken_up(tmp_path):
    file = tmp_path / "pretraining.pt"
    pretrain(CONFIG, TOKENS, HELD_OUT, checkpoint=file)
    for config, tokens in [(replace(CONFIG, seed=1), TOKENS), (CONFIG, TOKENS[:-1])]:
        with pytest.warns(UserWarning, match="another run's"):
            pretrain(config, tokens, HELD_OUT, checkpoint=file)


def test_divergence_is_a_status():
    result = pretrain(replace(CONFIG, learning_rate=1e30, warmup=0), TOKENS, HELD_OUT)
    assert result.status.startswith("diverged at step ")
    assert "loss is " in result.status


def test_half_precision_trains_about_the_same():
    full, half = (
        pretrain(CONFIG, TOKENS, HELD_OUT),
        pretrain(replace(CONFIG, bfloat16=True), TOKENS, HELD_OUT),
    )
    assert {value.dtype for value in weights(half).values()} == {torch.float32}
    assert half.losses != full.losses
    np.testing.assert_allclose(half.losses, full.losses, rtol=0.02)


def test_the_compiled_loss_is_the_one_that_is_trained(monkeypatch):
    compiled = []

    def stand_in_for_compile(loss):
        compiled.append(loss)
        return loss

    monkeypatch.setattr(pretraining.torch, "compile", stand_in_for_compile)
    plain = pretrain(CONFIG, TOKENS, HELD_OUT)
    assert not compiled
    assert same(weights(plain), weights(pretrain(replace(CONFIG, compiled=True), TOKENS, HELD_OUT)))
    assert len(compiled) == 1


def test_the_step_size_rises_and_then_falls_as_a_cosine():
    config = replace(CONFIG, steps=110, warmup=10, learning_rate=2.0, final_fraction=0.1)
    rates = [learning_rate_at(config, step) for step in range(110)]
    assert rates[:10] == pytest.approx(np.linspace(0.2, 2.0, 10))
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(2.0 * 0.55)  # half way
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[-1] == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 9}, "block must be between 1 and context=8, got 9"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be positive and finite, got inf"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and not negative, got -1.0"),
        ({"final_fraction": 2.0}, "final_fraction must be between 0 and 1, got 2.0"),
        ({"device": "tpu"}, "device must be one of cpu, cuda, got 'tpu'"),
        ({"checkpoint_every": 3}, "checkpoint_every must be a multiple of check_every=2, got 3"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **options)


def test_a_text_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match=r"at least block \+ 1 = 9 tokens, got 8"):
        pretrain(CONFIG, TOKENS[:8], HELD_OUT)


@pytest.mark.parametrize("wrong", [-1, 20])
def test_a_token_without_a_row_is_refused(wrong):
    held_out = HELD_OUT.copy()
    held_out[3, 3] = wrong
    with pytest.raises(ValueError, match=rf"held_out must lie in \[0, 20\), got .*{wrong}"):
        pretrain(CONFIG, TOKENS, held_out)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_missed():
    with pytest.raises(RuntimeError, match="torch finds no CUDA device"):
        pretrain(replace(CONFIG, device="cuda"), TOKENS, HELD_OUT)
