"""Pretraining and both experiments on a GPT-2, on a device that is not there.

The host may wait to measure, to save and to send what the next cycle or epoch reads; not from step
to step, nor from token to token.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from decouple.data import CorpusConfig
from decouple.data.token_files import write_tokens
from decouple.experiments import groups, long_run, sequential_cycles
from decouple.experiments.long_run import LongRunConfig
from decouple.experiments.long_run.rows import Rows
from decouple.experiments.sequential_cycles import SequentialCyclesConfig
from decouple.models import sampling
from decouple.models.gpt2 import build_gpt2
from decouple.models.gpt2_config import BaseShape, parse_base
from decouple.models.sampling import generate
from decouple.training import fine_tuning, pretraining
from decouple.training.ensemble import train_steps
from decouple.training.pretraining import _Trainer, pretrain
from decouple.training.pretraining_config import PretrainingConfig

SEEDS = [1000, 1001]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    shape = BaseShape(layers=2, width=8, heads=2, context=16, vocab_size=256)
    model = build_gpt2(shape, torch.Generator().manual_seed(0))
    model.config.save_pretrained(folder)
    save_file(dict(model.named_parameters()), folder / "model.safetensors", {"format": "pt"})
    write_tokens(folder / "tokens.txt", [bytes([value]) for value in range(256)])
    return parse_base(str(folder))


@pytest.fixture
def cycles(base):
    return SequentialCyclesConfig(
        base=base,
        corpus=CorpusConfig(words=800),
        cycles=2,
        steps_per_cycle=2,
        batch=2,
        block=8,
        chunk_tokens=200,
        held_out_windows=3,
        generation_cycles=(0, 2),
        generation_tokens=4,
        group=2,
        device="cuda",
    )


@pytest.fixture
def phases(base):
    return LongRunConfig(
        base=base,
        layers=2,
        corpus=CorpusConfig(words=1500),
        blocks=(0,),
        epochs_a=1,
        epochs_b=2,
        every=1,
        batch=2,
        block=12,
        windows=4,
        held_out_windows=3,
        components=3,
        generation_epochs=(0, 2),
        generation_tokens=4,
        group=2,
        device="cuda",
    )


@pytest.fixture(autouse=True)
def _no_device_is_looked_for(monkeypatch):
    monkeypatch.setattr(groups, "check_seeds", lambda seeds, device: seeds)


def complete(table, expected):
    cells = table.groupby(["seed", "metric"]).size().unstack()
    return all((cells[metric] == count).all() for metric, count in expected.items())


@pytest.mark.parametrize("changes", [{}, {"frozen": "head"}, {"gauge_shift": 2.0}], ids=str)
def test_cycles_wait_for_the_device_between_cycles_only(cuda, cycles, changes, tmp_path):
    config = replace(cycles, **changes)
    table, status = sequential_cycles.run(config, SEEDS, arm="a", scratch=tmp_path, shared=tmp_path)
    assert set(status.values()) == {"finished"}
    assert complete(table, sequential_cycles.expected_cells(config))
    assert cuda.waited_in(generate), "prompts are sent, continuations are read"
    assert not cuda.waited_in(train_steps, sampling._next)


def test_phases_wait_for_the_device_at_measurements_only(cuda, phases, tmp_path):
    table, status = long_run.run(phases, SEEDS, arm="a", scratch=tmp_path, shared=tmp_path)
    assert set(status.values()) == {"finished"}
    assert complete(table, long_run.expected_cells(phases))
    assert cuda.waited_in(Rows.add), "measurements are read"
    assert not cuda.waited_in(fine_tuning._train, sampling._next)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_more_tokens_need_no_more_waiting(cuda, temperature):
    waits = []
    for n_tokens in (2, 5):
        prompts = [torch.zeros(length, dtype=torch.int64, device="cuda") for length in (3, 1)]
        cuda.waits.clear()
        added = generate(
            lambda tokens: torch.zeros(*tokens.shape, 7, device=tokens.device),
            prompts,
            n_tokens,
            context=4,
            temperature=temperature,
            top_k=3,
            generator=torch.Generator(),
        )
        assert added.device.type == "cuda"
        assert added.shape == (2, n_tokens)
        waits.append(len(cuda.waits))
    assert waits[0] == waits[1]


@pytest.mark.filterwarnings("ignore:CUDA is not available")  # of autocast, which is not used here
def test_pretraining_waits_for_the_device_at_its_checks_only(cuda, tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "check_device", lambda config: None)
    shape = BaseShape(layers=1, width=8, heads=2, context=8, vocab_size=32)
    config = PretrainingConfig(
        shape=shape, block=8, batch=2, steps=4, warmup=1, check_every=2, checkpoint_every=2,
        device="cuda",
    )  # fmt: skip
    tokens, held_out = np.zeros(100, dtype=np.int64), np.zeros((3, 9), dtype=np.int64)

    def stop(done, total, note):
        raise KeyboardInterrupt

    file = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, tokens, held_out, checkpoint=file, progress=stop)
    result = pretrain(config, tokens, held_out, checkpoint=file)
    assert result.status == "finished"
    assert len(result.losses) == 2
    assert cuda.waited_in(_Trainer.run), "losses are read"
    assert not cuda.waited_in(_Trainer._train_step)
