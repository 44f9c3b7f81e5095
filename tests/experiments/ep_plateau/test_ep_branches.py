import math

import numpy as np
import pytest
import torch

from decouple.experiments.ep_plateau.branches import branch_rows
from decouple.experiments.ep_plateau.presets import smoke
from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig
from decouple.models.equilibrium_relaxation import relax
from decouple.training.numerics import cpu_numerics

LENGTH, VOCABULARY = 6, 9
BLOCK = EquilibriumConfig(
    width=8, context=LENGTH, n_heads=2, leak=0.0, damping=0.5, step=0.35, embedding_std=0.5
)
METRICS = {
    "attention_share",
    "feedforward_share",
    "weight_norm_attention_out",
    "weight_norm_down",
    "weight_norm_up",
    "attention_entropy",
    "query_key_rms",
    "logit_std",
}


@pytest.fixture(autouse=True)
def _one_thread():
    with cpu_numerics(1):
        yield


def build():
    return build_equilibrium(BLOCK, VOCABULARY, torch.Generator().manual_seed(0))


def windows():
    return torch.randint(VOCABULARY, (4, LENGTH + 1), generator=torch.Generator().manual_seed(1))


def measure(model):
    rows = branch_rows(smoke(), model, windows(), step=3, point="descent")
    assert {(row.step, row.point, row.condition) for row in rows} == {(3, "descent", "trained")}
    assert len(rows) == len(METRICS)
    return {row.metric: row.value for row in rows}


def test_every_metric_is_there_and_finite():
    values = measure(build())
    assert values.keys() == METRICS
    assert all(math.isfinite(value) and value > 0 for value in values.values())


def test_shares_are_of_the_branches_at_the_fixed_point():
    model = build()
    inputs = model.embed(windows()[:, :-1]).detach()
    state = relax(model, inputs, smoke().training.estimator.relaxation).state
    with torch.no_grad():
        both = model.branches(state)
        model.down.zero_()
        attention = model.branches(state)
    values = measure(build())
    expected = np.linalg.norm(attention) / np.linalg.norm(inputs)
    assert values["attention_share"] == pytest.approx(expected, rel=1e-5)
    expected = np.linalg.norm(both - attention) / np.linalg.norm(inputs)
    assert values["feedforward_share"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("weight", "metric"), [("attention_out", "attention_share"), ("down", "feedforward_share")]
)
def test_a_branch_without_output_has_no_share_and_no_weight_norm(weight, metric):
    model = build()
    getattr(model, weight).data.zero_()
    values = measure(model)
    assert values.pop(metric) == 0.0
    assert values.pop(f"weight_norm_{weight}") == 0.0
    assert min(values.values()) > 0


def test_weight_norms_are_frobenius_norms():
    model, values = build(), measure(build())
    for name in ("attention_out", "down", "up"):
        expected = np.linalg.norm(getattr(model, name).detach())
        assert values[f"weight_norm_{name}"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("factor", [0.5, 1.0, 30.0])
def test_queries_and_keys_have_an_rms_of_one_whatever_their_weights(factor):
    model = build()
    model.query_key_value.data[: 2 * BLOCK.width] *= factor
    values = measure(model)
    assert values["query_key_rms"] == pytest.approx(1.0, abs=1e-4)
    assert values["logit_std"] <= math.sqrt(BLOCK.width // BLOCK.n_heads)


def test_attention_without_queries_is_uniform():
    model = build()
    model.query_key_value.data[: BLOCK.width].zero_()
    values = measure(model)
    assert values["attention_entropy"] == pytest.approx(math.lgamma(LENGTH + 1) / LENGTH, abs=1e-6)
    assert values["logit_std"] == 0.0
    assert measure(build())["attention_entropy"] < values["attention_entropy"]


def test_the_model_is_left_as_it_is():
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
