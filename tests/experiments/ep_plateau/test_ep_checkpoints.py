"""Training once for all who need it, in as many pieces as it takes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.experiments.ep_plateau.checkpoints import train, train_once
from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.preparation import initial_model, prepare
from decouple.experiments.ep_plateau.presets import smoke
from decouple.models.equilibrium_config import EquilibriumConfig

SEED = 1000


class KilledError(Exception):
    """What stops a run in the middle."""


@pytest.fixture(scope="module")
def config():
    own = smoke()
    return EPPlateauConfig(
        corpus=CorpusConfig(words=1500),
        tokenizer=TokenizerConfig(kind="bytes"),
        model=EquilibriumConfig(
            width=8, context=8, n_heads=2, leak=0.0, damping=1.0, step=0.6, norm="rms",
            activation="silu", embedding_std=0.5,
        ),
        training=replace(own.training, steps=6, batch=2, check_every=1, checkpoint_every=2),
        snapshots=(0, 2),
        record_every=1,
        validate_every=3,
        held_out_windows=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(config, tmp_path_factory):
    return prepare(config, tmp_path_factory.mktemp("shared"))


def build(config, data):
    return lambda: initial_model(config, data.vocab_size, SEED)


def same(a, b):
    assert (a.status, a.steps, a.history, a.validation) == (
        b.status,
        b.steps,
        b.history,
        b.validation,
    )
    assert a.snapshots.keys() == b.snapshots.keys()
    for step, weights in a.snapshots.items():
        for name, value in weights.items():
            assert torch.equal(value, b.snapshots[step][name])


def test_losses_and_weights_are_kept_where_they_are_due(config, data, tmp_path):
    found = train_once(config, build(config, data), data, SEED, tmp_path)
    assert found.status == "finished"
    assert found.steps == 6
    assert list(found.validation) == [0, 3, 6]
    assert list(found.snapshots) == [0, 2, 6]
    initial = dict(initial_model(config, data.vocab_size, SEED).named_parameters())
    assert all(torch.equal(found.snapshots[0][name], value) for name, value in initial.items())
    assert not torch.equal(found.last["up"], initial["up"])


def test_pauses_change_nothing(config, data, tmp_path):
    often = replace(config, validate_every=1, snapshots=(0, 1, 2, 3, 4, 5))
    paused = train_once(often, build(often, data), data, SEED, tmp_path)
    whole = train_once(config, build(config, data), data, SEED, tmp_path)
    assert paused.history == whole.history
    assert {at: paused.validation[at] for at in whole.validation} == whole.validation


def test_an_interrupted_training_ends_as_if_it_had_not_been(config, data, tmp_path):
    def kill(step, _total, _note):
        if step == 5:
            raise KilledError

    folder = tmp_path / "interrupted"
    every = replace(config, snapshots=(0, 2, 5))
    with pytest.raises(KilledError):
        # Step 5 is lost: the state was saved at 4.
        train_once(every, build(every, data), data, SEED, folder, kill)
    assert len(list(folder.glob("*.unfinished.pt"))) == 1
    seen = []
    again = train_once(
        every, build(every, data), data, SEED, folder, lambda step, *_: seen.append(step)
    )
    assert seen == [5, 6], "it goes on after the last state that was saved"
    same(again, train_once(every, build(every, data), data, SEED, tmp_path / "whole"))
    assert list(folder.glob("*.unfinished.pt")) == []


def test_it_is_trained_once_however_many_ask(config, data, tmp_path):
    built = []

    def counted():
        built.append(1)
        return initial_model(config, data.vocab_size, SEED)

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(train_once, config, counted, data, SEED, tmp_path) for _ in range(3)]
        found = [each.result() for each in asked]
    assert len(built) == 1
    same(found[0], found[1])
    same(found[0], found[2])


def test_another_configuration_is_another_training(config, data, tmp_path):
    first = train_once(config, build(config, data), data, SEED, tmp_path)
    other = replace(config, training=replace(config.training, learning_rate=2e-2))
    second = train_once(other, build(other, data), data, SEED, tmp_path)
    assert first.validation[6] != second.validation[6]
    assert len(list(tmp_path.glob("trained-*.pt"))) == 2


def test_damaged_weights_are_made_again(config, data, tmp_path):
    first = train_once(config, build(config, data), data, SEED, tmp_path)
    (kept,) = tmp_path.glob("trained-*.pt")
    kept.write_bytes(b"not a checkpoint")
    with pytest.warns(UserWarning, match="ignored, it is damaged"):
        same(train_once(config, build(config, data), data, SEED, tmp_path), first)


def test_the_weights_that_are_measured_are_those_that_are_kept(config, data, tmp_path):
    raw = replace(config, weights="raw")
    model = initial_model(raw, data.vocab_size, SEED)
    found = train(raw, model, data, SEED, checkpoint=tmp_path / "a.pt", identity="a")
    assert all(torch.equal(found.last[name], value) for name, value in model.named_parameters())
    averaged = replace(config, weights="average")
    average = train_once(averaged, build(averaged, data), data, SEED, tmp_path)
    assert not torch.equal(average.last["up"], found.last["up"])
    assert average.history == found.history
