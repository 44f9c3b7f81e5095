"""ep_plateau on a device that is not there: estimators, a training step, and every readout.

A training step never makes the host wait, compiled or not. The referee does, on purpose: Newton's
method looks at each step whether the residual still falls.
"""

from dataclasses import replace
from functools import partial

import pytest
import torch

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.experiments.ep_plateau import (
    ARMS,
    EPPlateauConfig,
    arms,
    expected_cells,
    mixing,
    run,
    runner,
)
from decouple.experiments.ep_plateau.config import TriangulationConfig
from decouple.metrics.branches import share
from decouple.models import equilibrium_relaxation
from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.models.transformer import build_transformer
from decouple.models.transformer_config import TransformerConfig
from decouple.training.equilibrium_trainer import EquilibriumTrainer
from decouple.training.equilibrium_trainer_config import (
    ContractionConfig,
    EquilibriumTrainerConfig,
)
from decouple.training.estimators.config import (
    AdjointConfig,
    BackpropagationConfig,
    BPTTConfig,
    EquilibriumPropagationConfig,
    ImplicitConfig,
)
from decouple.training.estimators.implicit import Implicit
from decouple.training.estimators.registry import make_estimator

SHAPE = EquilibriumConfig(width=8, context=6, n_heads=2)
SHORT = RelaxationConfig(steps=2)
COARSE = RelaxationConfig(steps=2, coarse="tf32", compiled=True)
OWN = EquilibriumPropagationConfig(relaxation=SHORT, steps=2)

ESTIMATORS = {
    "one point": replace(OWN, points=1),
    "two points": OWN,
    "four points": replace(OWN, points=4),
    "uncorrected": replace(OWN, correction="none"),
    "tracking": replace(OWN, correction="tracking"),
    "tracking four points": replace(OWN, correction="tracking", points=4),
    "adjoint": AdjointConfig(relaxation=SHORT, steps=2),
    "bptt": BPTTConfig(steps=2, micro_batch=2),
    "compiled": replace(OWN, relaxation=COARSE, compiled=True),
    "compiled adjoint": AdjointConfig(relaxation=COARSE, steps=2, compiled=True),
}


@pytest.fixture(autouse=True)
def _uncompiled(monkeypatch):
    """What surrounds a compiled step runs; the step itself is not compiled, for there is no GPU."""
    monkeypatch.setattr(equilibrium_relaxation.torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    equilibrium_relaxation.compiled.cache_clear()
    yield
    equilibrium_relaxation.compiled.cache_clear()


def block():
    return build_equilibrium(SHAPE, 11, torch.Generator().manual_seed(0)).to("cuda")


def windows(n=4):
    return torch.zeros(n, SHAPE.context + 1, dtype=torch.int64, device="cuda")


@pytest.mark.parametrize("config", ESTIMATORS.values(), ids=ESTIMATORS)
def test_no_estimate_makes_the_host_wait(cuda, config):
    model, batch = block(), windows()
    cuda.waits.clear()
    found = make_estimator(config).estimate(model, batch)
    assert {each.device.type for each in found.gradients.values()} == {"cuda"}
    assert not cuda.waits


def test_only_newtons_method_in_the_referee_waits(cuda):
    model, batch = block(), windows()
    cuda.waits.clear()
    make_estimator(ImplicitConfig(relaxation=SHORT, newton_steps=2)).estimate(model, batch)
    assert cuda.waits == cuda.waited_in(Implicit.respond)


@pytest.mark.parametrize("estimator", [OWN, ESTIMATORS["compiled"], BackpropagationConfig()])
def test_no_training_step_makes_the_host_wait(cuda, estimator):
    plain = isinstance(estimator, BackpropagationConfig)
    config = EquilibriumTrainerConfig(
        estimator=estimator, contraction=None if plain else ContractionConfig(),
        precontraction=0 if plain else 2, steps=4, batch=2, warmup=2, check_every=2,
        checkpoint_every=2,
    )  # fmt: skip
    model = block()
    if plain:
        shape = TransformerConfig(width=8, context=SHAPE.context, n_heads=2, n_layers=1)
        model = build_transformer(shape, 11, torch.Generator().manual_seed(0)).to("cuda")
    trainer = EquilibriumTrainer(config, model, windows(5), seed=0)
    cuda.answers[EquilibriumTrainer.run] = 0.0  # no fuse is blown
    cuda.waits.clear()
    assert trainer.run() == "finished"
    assert cuda.waited_in(EquilibriumTrainer.run), "the record is read"
    assert not cuda.waited_in(EquilibriumTrainer.train_step)


CONFIG = EPPlateauConfig(
    corpus=CorpusConfig(words=1500),
    tokenizer=TokenizerConfig(kind="bytes"),
    model=replace(SHAPE, context=8),
    training=EquilibriumTrainerConfig(
        estimator=replace(ESTIMATORS["compiled"], steps=1), steps=2, batch=2, warmup=2,
        check_every=1, checkpoint_every=1,
    ),
    readouts=("campaign",),
    snapshots=(1,),
    record_every=1,
    validate_every=1,
    held_out_windows=4,
    triangulation=TriangulationConfig(
        batches=2, batch=2, horizon=1, long_horizon=2, long_batches=1, averaged=(1, 2),
        micro_batch=1,
    ),
    learning_rates=(1e-3,),
    distances=(1, 4),
    position_bins=2,
    influence_windows=2,
    influence_queries=1,
    swap_steps=1,
    device="cuda",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # by copy.deepcopy
@pytest.mark.parametrize("arm", ["published", "swap_tracking", "bp"])
def test_whole_runs(cuda, arm, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "check_seeds", lambda seeds, device: seeds)
    monkeypatch.setattr(mixing, "TIGHT", SHORT)
    monkeypatch.setattr(arms, "AdjointConfig", partial(AdjointConfig, steps=2))
    cuda.answers |= {EquilibriumTrainer.run: 0.0, share: False}  # no fuse is blown, no input is 0
    config = ARMS[arm](CONFIG)
    table, status = run(config, [1000], arm=arm, scratch=tmp_path, shared=tmp_path)
    assert set(status.values()) == {"finished"}
    cells = table.groupby("metric").size()
    assert {m: cells[m] for m in expected_cells(config)} == expected_cells(config)
    assert not cuda.waited_in(EquilibriumTrainer.train_step)
