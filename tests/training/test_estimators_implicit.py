"""The referee says whether it found what it looked for: fixed point and adjoint."""

import pytest
import torch

from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.training.contraction import judge_estimate
from decouple.training.equilibrium_trainer import EquilibriumTrainer
from decouple.training.equilibrium_trainer_config import (
    ContractionConfig,
    EquilibriumTrainerConfig,
)
from decouple.training.equilibrium_trainer_record import METRICS
from decouple.training.estimators import implicit
from decouple.training.estimators.base import Solution
from decouple.training.estimators.config import BPTTConfig, ImplicitConfig
from decouple.training.estimators.registry import make_estimator

SHAPE = EquilibriumConfig(
    width=8, context=4, n_heads=2, embedding_std=1.0, residual_scale=1.0, step=0.35
)
FAR = RelaxationConfig(steps=1, tolerance=0.0)
NEAR = RelaxationConfig(steps=400, tolerance=1e-12)


def make(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    model = build_equilibrium(SHAPE, 11, generator).to(dtype)
    return model, torch.randint(0, 11, (2, 5), generator=generator)


def solution(config, dtype=torch.float64):
    return make_estimator(config).estimate(*make(dtype)).solution


@pytest.mark.parametrize(
    ("dtype", "rounding"), [(torch.float64, 1e-13), (torch.float32, 5e-6)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("free", [FAR, RelaxationConfig(steps=40)], ids=["far", "near"])
def test_a_solution_is_exact_up_to_rounding_wherever_it_started(free, dtype, rounding):
    found = solution(ImplicitConfig(relaxation=free), dtype)
    assert found.status() == "solved"
    assert found.solved.all()
    assert found.solved.shape == found.residual.shape == (2,)
    assert max(found.residual.max(), found.adjoint_residual.max()) < rounding


def test_newton_that_runs_out_of_steps_says_so():
    found = solution(ImplicitConfig(relaxation=FAR, newton_steps=1))
    assert not found.solved.any()
    assert found.status().startswith("not converged: force residual 0.")
    assert found.status().endswith(" is above 1e-05")
    # The adjoint of where it stopped is solved all the same: the fixed point is what is missing.
    assert found.adjoint_residual.max() < 1e-13


def test_a_singular_jacobian_is_said_and_raises_nothing(monkeypatch):
    def singular(model, state, inputs):
        size = state.shape[-2] * state.shape[-1]
        eye = torch.eye(size, dtype=state.dtype).repeat(len(state), 1, 1)
        eye[0, 0, 0] = 0.0
        return eye

    monkeypatch.setattr(implicit, "dense_jacobian", singular)
    found = solution(ImplicitConfig(relaxation=NEAR))
    assert found.status() == "adjoint not solved: residual inf is above 1e-05"
    assert found.solved.tolist() == [False, True], "the other sample is solved"


def test_what_is_not_a_number_is_not_solved():
    fine, bad = torch.tensor([1e-9, 1e-9]), torch.tensor([1e-9, torch.nan])
    for residual, adjoint in ((fine, bad), (bad, fine)):
        found = Solution(residual, adjoint, 1e-5)
        assert found.solved.tolist() == [True, False]
        assert found.status().endswith("residual inf is above 1e-05")


def test_only_what_solves_outright_has_a_solution():
    assert solution(BPTTConfig(steps=3)) is None


def test_the_gate_does_not_use_what_is_not_solved():
    limits = ContractionConfig()
    residual, fine = torch.full((2,), 1e-4), torch.full((2,), 1e-9)
    solved = Solution(fine, fine, 1e-5)
    missed = Solution(torch.tensor([1e-9, 1e-2]), fine, 1e-5)
    assert judge_estimate(residual, None, limits, solved).open
    verdicts = judge_estimate(residual, None, limits, missed)
    assert verdicts.free
    assert not verdicts.nudged


@pytest.mark.parametrize(("newton_steps", "valid"), [(1, 0.0), (20, 1.0)])
def test_training_records_whether_it_was_solved_and_learns_only_then(newton_steps, valid):
    config = EquilibriumTrainerConfig(
        estimator=ImplicitConfig(relaxation=FAR, newton_steps=newton_steps),
        contraction=ContractionConfig(gate_residual=1e3),  # the free phase is let through
        steps=2,
        batch=2,
        learning_rate=1e-2,
        warmup=0,
    )
    model, windows = make()
    head = model.head.detach().clone()
    trainer = EquilibriumTrainer(config, model, windows, seed=0)
    assert trainer.run() == "finished"
    for row in trainer.history:
        values = dict(zip(METRICS, row, strict=True))
        assert (values["free_valid"], values["nudged_valid"]) == (1.0, valid)
        assert values["adjoint_residual_worst"] < 1e-12
    assert torch.equal(model.head, head) is not bool(valid)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("inf")])
def test_a_tolerance_that_decides_nothing_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance must be positive and finite, got"):
        ImplicitConfig(tolerance=tolerance)
