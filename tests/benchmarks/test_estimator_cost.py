"""What one gradient costs, all estimators on the same weights and in one run.

For each: milliseconds, force evaluations as counted and by the formula for phases that do not stop
early, peak memory, and the ratio to the arithmetic floor, which is its matrix products at the speed
of one large product on this machine. Beside them the same equilibrium-propagation gradient as one
would first write it, so that the gain can be seen.
"""

import time
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.models.transformer import build_transformer
from decouple.models.transformer_config import TransformerConfig
from decouple.training.estimators.config import (
    AdjointConfig,
    BackpropagationConfig,
    BPTTConfig,
    EquilibriumPropagationConfig,
    ImplicitConfig,
)
from decouple.training.estimators.cost import PeakMemory
from decouple.training.estimators.registry import make_estimator
from decouple.training.numerics import cpu_numerics

# Torch deprecates, within itself, what its own compiler and forward-mode derivatives load.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

BATCH, LENGTH, WIDTH, HEADS, VOCABULARY = 8, 32, 32, 4, 256
SHAPE = EquilibriumConfig(width=WIDTH, context=LENGTH, n_heads=HEADS, embedding_std=0.3)
BASELINE = TransformerConfig(width=WIDTH, context=LENGTH, n_heads=HEADS, embedding_std=0.3)
RELAXED = RelaxationConfig(steps=150, tolerance=1e-5)
BETA, NUDGED_STEPS = 0.02, 40


class Row(NamedTuple):
    name: str
    milliseconds: float
    evaluations: float
    formula: float
    megabytes: float | None
    floor: float

    def __str__(self):
        memory = "not known" if self.megabytes is None else f"{self.megabytes:.2f} MB"
        return (
            f"{self.name:<26}{self.milliseconds:>10.2f} ms{self.evaluations:>9.0f} forces"
            f" (formula {self.formula:>4.0f})"
            f"{memory:>12}{self.milliseconds / self.floor:>9.1f} x floor"
        )


class PlainPropagation:
    """Equilibrium propagation as first written: all T1 steps, one sign after the other, and the
    Jacobian's products by automatic differentiation, with a fresh evaluation of the force each."""

    def estimate(self, model, windows):
        tokens, targets = windows[:, :-1], windows[:, 1:]
        step, inputs = model.config.step, model.embed(tokens).detach()

        def force(state):
            return model.force(state, inputs)

        def cost_gradient(state):
            state = state.detach().requires_grad_()
            return torch.autograd.grad(model.cost(state, targets).sum(), state)[0]

        state = model.start(inputs)
        for _ in range(RELAXED.steps):
            state = (state + step * force(state)).detach()
        strength = BETA * state.flatten(1).norm(dim=1) / cost_gradient(state).flatten(1).norm(dim=1)
        nudged = []
        for sign in (1.0, -1.0):
            beta, moved = sign * strength[:, None, None], state.clone()
            for _ in range(NUDGED_STEPS):
                difference = moved - state
                forward = torch.func.jvp(force, (state,), (difference,))[1]
                reverse = torch.func.vjp(force, state)[1](difference)[0]
                push = force(moved) - beta * cost_gradient(moved) - forward + reverse
                moved = (moved + step * push).detach()
            nudged.append(moved)
        response = (nudged[0] - nudged[1]) / (2 * strength[:, None, None])
        model.zero_grad()
        (-(response * model.force(state, model.embed(tokens))).sum()).backward()
        model.cost(state, targets).sum().backward()
        return {name: p.grad / targets.numel() for name, p in model.named_parameters()}


def setting():
    generator = torch.Generator().manual_seed(0)
    model = build_equilibrium(SHAPE, VOCABULARY, generator)
    windows = torch.randint(0, VOCABULARY, (BATCH, LENGTH + 1), generator=generator)
    return model, windows


def baseline():
    return build_transformer(BASELINE, VOCABULARY, torch.Generator().manual_seed(0))


def propagation(compiled=False, **changes):
    relaxation = RelaxationConfig(steps=150, tolerance=1e-5, compiled=compiled)
    return EquilibriumPropagationConfig(
        relaxation=relaxation, beta=BETA, steps=NUDGED_STEPS, compiled=compiled, **changes
    )


CONFIGS = {
    "EP frozen": propagation(),
    "EP frozen, compiled": propagation(compiled=True),
    "EP tracking": propagation(correction="tracking"),
    "EP tracking, compiled": propagation(compiled=True, correction="tracking"),
    "adjoint": AdjointConfig(relaxation=RELAXED),
    "BPTT-150": BPTTConfig(steps=150),
    "implicit, 1 sample of 8": ImplicitConfig(relaxation=RELAXED),
    "BP, standard decoder": BackpropagationConfig(),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with cpu_numerics(1):
        yield


@pytest.fixture(scope="module")
def flops_per_millisecond():
    """Speed of one large matrix product here and now."""
    left = torch.randn(512, 512)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        left @ left
        times.append(time.perf_counter() - started)
    return 2 * 512**3 / (min(times) * 1e3)


@pytest.fixture(scope="module")
def table(request):
    """Rows of all benchmarks, printed together at the end."""
    rows = []
    yield rows
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("", *rows, sep="\n")


def measure(benchmark, table, name, function, evaluations, formula, speed, *, eager=None):
    """Time `function`; count and weigh it, or where it is compiled its eager twin.

    What is compiled is out of reach of operation counters: its memory is not known here.
    """
    benchmark.pedantic(function, rounds=5, warmup_rounds=1)
    if benchmark.disabled:  # run once for the sake of the code, not of the clock
        return
    with FlopCounterMode(display=False) as counter:
        (eager or function)()
    with PeakMemory() as memory:
        (eager or function)()
    row = Row(
        name,
        benchmark.stats.stats.median * 1e3,
        evaluations,
        formula,
        None if eager else memory.peak / 1e6,
        counter.get_total_flops() / speed,
    )
    benchmark.extra_info.update(row._asdict())
    table.append(row)


@pytest.mark.benchmark(group="one gradient")
@pytest.mark.parametrize("name", CONFIGS)
def test_cost_of_an_estimate(benchmark, table, flops_per_millisecond, name):
    config = CONFIGS[name]
    if "compiled" in name and benchmark.disabled:
        pytest.skip("generating machine code takes longer than all else; run the benchmarks")
    model, windows = setting()
    if isinstance(config, BackpropagationConfig):
        model = baseline()
    if isinstance(config, ImplicitConfig):
        windows = windows[:1]
    estimator, eager = make_estimator(config), None
    if "compiled" in name:
        twin = make_estimator(CONFIGS[name.removesuffix(", compiled")])
        eager = partial(twin.estimate, model, windows)
    spent = estimator.estimate(model, windows).evaluations.total
    measure(
        benchmark,
        table,
        name,
        partial(estimator.estimate, model, windows),
        spent,
        estimator.expected(RELAXED.steps + 1).total,  # of implicit, all but its Jacobians
        flops_per_millisecond,
        eager=eager,
    )


@pytest.mark.benchmark(group="one gradient")
def test_cost_of_plain_propagation(benchmark, table, flops_per_millisecond):
    model, windows = setting()
    plain = PlainPropagation()
    ours = make_estimator(propagation()).estimate(model, windows).gradients
    for name, gradient in plain.estimate(model, windows).items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-2, atol=1e-5)
    # Each product with the Jacobian evaluates the force again: 2 for one, 2 for the other.
    evaluations = 150 + 2 * NUDGED_STEPS * (1 + 2 + 2) + 3
    measure(
        benchmark,
        table,
        "EP frozen, plain eager",
        partial(plain.estimate, model, windows),
        evaluations,
        evaluations,
        flops_per_millisecond,
    )


def test_gain_over_plain_propagation_in_one_run(benchmark):
    """Interleaved, so that what else the machine does falls on both."""
    if benchmark.disabled:
        pytest.skip("a comparison of times means something only where times are measured")
    model, windows = setting()
    contenders = {
        "plain": PlainPropagation(),
        "eager": make_estimator(propagation()),
        "compiled": make_estimator(propagation(compiled=True)),
    }
    expected = contenders["eager"].estimate(model, windows).gradients
    found = contenders["compiled"].estimate(model, windows).gradients
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6)
    times = {name: [] for name in contenders}
    for _ in range(5):
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender.estimate(model, windows)
            times[name].append(time.perf_counter() - started)
    fastest = {name: min(taken) for name, taken in times.items()}
    benchmark.extra_info.update(fastest)
    benchmark.pedantic(partial(contenders["compiled"].estimate, model, windows), rounds=1)
    assert fastest["plain"] > 1.5 * fastest["eager"]
    assert fastest["plain"] > 3 * fastest["compiled"]
