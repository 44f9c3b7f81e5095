"""The trainer: estimators swapped, runs resumed, gradients refused, bad ends put on record."""

import dataclasses
import math
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.models.equilibrium_relaxation import relax
from decouple.models.transformer import build_transformer
from decouple.models.transformer_config import TransformerConfig
from decouple.training.checkpoint import load_checkpoint
from decouple.training.equilibrium_trainer import EquilibriumTrainer
from decouple.training.equilibrium_trainer_config import (
    ContractionConfig,
    EquilibriumTrainerConfig,
)
from decouple.training.equilibrium_trainer_record import METRICS
from decouple.training.estimators.config import (
    AdjointConfig,
    BackpropagationConfig,
    BPTTConfig,
    EquilibriumPropagationConfig,
    ImplicitConfig,
)

SHAPE = EquilibriumConfig(width=8, context=6, n_heads=2, embedding_std=0.5, step=0.35)
STRONG = dataclasses.replace(SHAPE, residual_scale=1.0, embedding_std=1.0)
FREE = RelaxationConfig(steps=40, tolerance=1e-5)
PROPAGATION = EquilibriumPropagationConfig(relaxation=FREE, steps=12)
CONFIG = EquilibriumTrainerConfig(
    estimator=PROPAGATION,
    steps=24,
    batch=4,
    learning_rate=1e-2,
    warmup=4,
    average_decay=0.9,
    check_every=3,
    checkpoint_every=3,
)
COLUMN = {name: index for index, name in enumerate(METRICS)}


def cyclic_windows(n=22, length=6, vocabulary=7):
    """Sequences that count upwards: learnable in a few dozen steps."""
    return (torch.arange(n)[:, None] + torch.arange(length + 1)) % vocabulary


def make(config=CONFIG, *, seed=0, shape=SHAPE):
    generator = torch.Generator().manual_seed(0)
    if isinstance(config.estimator, BackpropagationConfig):
        baseline = TransformerConfig(width=8, context=6, n_heads=2, embedding_std=0.5)
        model = build_transformer(baseline, 7, generator)
    else:
        model = build_equilibrium(shape, 7, generator)
    return EquilibriumTrainer(config, model, cyclic_windows(), seed)


def column(trainer, name):
    return [row[COLUMN[name]] for row in trainer.history]


def assert_same_state(one, two, path="state"):
    """Equal bit by bit, through all containers."""
    assert type(one) is type(two), path
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), path
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), path
        for key, value in one.items():
            assert_same_state(value, two[key], f"{path}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for index, value in enumerate(one):
            assert_same_state(value, two[index], f"{path}[{index}]")
    else:
        assert one == two, path


ESTIMATORS = {
    "frozen": PROPAGATION,
    "tracking": dataclasses.replace(PROPAGATION, correction="tracking"),
    "adjoint": AdjointConfig(relaxation=FREE, steps=30),
    "bptt": BPTTConfig(steps=30),
    "implicit": ImplicitConfig(relaxation=FREE),
    "backpropagation": BackpropagationConfig(),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_every_estimator_trains_in_the_same_trainer(estimator):
    baseline = isinstance(estimator, BackpropagationConfig)
    contraction = None if baseline else ContractionConfig()
    config = dataclasses.replace(
        CONFIG, estimator=estimator, contraction=contraction, learning_rate=2e-2
    )
    trainer = make(config)
    untrained = trainer.held_out(cyclic_windows(), weights="raw")
    assert trainer.run() == "finished"
    trained = trainer.held_out(cyclic_windows(), weights="raw")
    assert trained.loss < untrained.loss - 0.3
    assert len(trainer.history) == 24
    assert column(trainer, "loss")[0] == pytest.approx(untrained.loss, abs=0.5)
    spent, formula = column(trainer, "force_evaluations"), trainer.estimator.expected(41).total
    if isinstance(estimator, ImplicitConfig):  # beyond the formula, Jacobians of 48 rows
        assert all(formula < value <= formula + 21 * 48 + 20 for value in spent)
    else:
        assert all(1 < value <= formula for value in spent)
    assert all(math.isfinite(value) for row in trainer.history for value in row)


@pytest.mark.parametrize("points", [2, 4])
def test_training_with_propagation_follows_training_with_the_exact_gradient(points):
    exact = make(dataclasses.replace(CONFIG, estimator=AdjointConfig(relaxation=FREE)))
    precise = dataclasses.replace(PROPAGATION, points=points, beta=5e-3, steps=40)
    near = make(dataclasses.replace(CONFIG, estimator=precise))
    rough = make(dataclasses.replace(CONFIG, estimator=dataclasses.replace(precise, steps=1)))
    for trainer in (exact, near, rough):
        trainer.run()
    gap, coarse = (
        max(abs(a - b) for a, b in zip(column(exact, "loss"), column(t, "loss"), strict=True))
        for t in (near, rough)
    )
    assert gap < 0.01
    assert coarse > gap


@given(stop=st.integers(0, 23), precontraction=st.sampled_from([0, 5]))
@settings(max_examples=6, deadline=None)
def test_a_run_stopped_anywhere_resumes_bit_by_bit(tmp_path_factory, stop, precontraction):
    # Limits that make controller and fuse count on every step: what is 0 anyway proves nothing.
    strained = ContractionConfig(target_residual=1e-9, fuse_residual=1e-12, fuse_patience=1000)
    config = dataclasses.replace(CONFIG, precontraction=precontraction, contraction=strained)
    folder = tmp_path_factory.mktemp("run")
    straight = make(config)
    straight.run()
    assert straight.fuse.heat == 24
    assert straight.controller.weight == pytest.approx(0.1 * math.exp(24 * 0.05), rel=1e-4)
    # Stopped in the middle of a step, after the checkpoint of some steps before.
    stopped = make(config)
    take_step = stopped.train_step

    def train_step():
        if stopped.step == stop:
            raise KeyboardInterrupt
        return take_step()

    stopped.train_step = train_step
    with pytest.raises(KeyboardInterrupt):
        stopped.run(checkpoint=folder / "run.pt", identity="a")
    # Everything about the new process is different, its seed and its weights included.
    resumed = make(config, seed=0 if stop < 3 else 99)
    if stop >= 3:
        with torch.no_grad():
            for parameter in resumed.model.parameters():
                parameter.zero_()
    assert resumed.run(checkpoint=folder / "run.pt", identity="a") == "finished"
    assert_same_state(resumed.state_dict(), straight.state_dict())
    shutil.rmtree(folder)


def test_a_finished_run_found_again_is_not_trained_further(tmp_path):
    first = make()
    first.run(checkpoint=tmp_path / "run.pt", identity="a")
    again = make()
    again.train_step = None
    assert again.run(checkpoint=tmp_path / "run.pt", identity="a") == "finished"
    assert_same_state(again.state_dict(), first.state_dict())


def test_a_run_that_ended_badly_is_found_again_as_it_ended(tmp_path):
    blown = ContractionConfig(fuse_residual=1e-12, fuse_patience=5)
    config = dataclasses.replace(CONFIG, contraction=blown)
    first = make(config)
    status = first.run(checkpoint=tmp_path / "run.pt", identity="a")
    assert status.startswith("fuse blown at step 5: ")
    again = make(config)
    again.train_step = None
    assert again.run(checkpoint=tmp_path / "run.pt", identity="a") == status
    assert_same_state(again.state_dict(), first.state_dict())


def test_another_runs_checkpoint_is_passed_over(tmp_path):
    make().run(checkpoint=tmp_path / "run.pt", identity="a")
    other = make()
    with pytest.warns(UserWarning, match="another run's"):
        other.run(checkpoint=tmp_path / "run.pt", identity="b")
    assert load_checkpoint(tmp_path / "run.pt", "b", "cpu")["step"] == 24


def test_checkpoints_come_at_their_steps_and_progress_at_every_check(tmp_path):
    config = dataclasses.replace(CONFIG, checkpoint_every=9, steps=20)
    calls, saved = [], []

    def progress(step, total, note):
        calls.append((step, total))
        assert note.startswith("loss ")
        state = load_checkpoint(tmp_path / "run.pt", "a", "cpu")
        saved.append(None if state is None else state["step"])

    make(config).run(checkpoint=tmp_path / "run.pt", identity="a", progress=progress)
    assert calls == [(step, 20) for step in (3, 6, 9, 12, 15, 18, 20)]
    assert saved == [None, None, 9, 9, 9, 18, 20]


def test_divergence_is_a_status_with_step_and_cause_and_leaves_no_such_row():
    trainer = make()
    take_step = trainer.train_step

    def train_step():
        if trainer.step == 7:
            with torch.no_grad():
                trainer.model.head.fill_(torch.nan)
        return take_step()

    trainer.train_step = train_step
    assert trainer.run() == "diverged at step 8: loss is nan"
    assert len(trainer.history) == 7
    assert all(math.isfinite(value) for row in trainer.history for value in row)
    assert trainer.step < CONFIG.steps


def test_a_gradient_that_is_not_a_number_is_divergence_too():
    trainer = make()
    estimate = trainer.estimator.estimate

    def broken(model, batch):
        found = estimate(model, batch)
        if trainer.step == 4:
            found.gradients["head"][0, 0] = torch.inf
        return found

    trainer.estimator.estimate = broken
    assert trainer.run() == "diverged at step 5: gradient_norm is inf"
    assert len(trainer.history) == 4


def test_a_blown_fuse_ends_the_run_at_its_step():
    contraction = ContractionConfig(fuse_residual=1e-12, fuse_patience=5)
    trainer = make(dataclasses.replace(CONFIG, contraction=contraction))
    status = trainer.run()
    assert status.startswith("fuse blown at step 5: residual ")
    assert status.endswith("is the last of 5 above 1e-12")
    assert column(trainer, "fuse_blown") == [0, 0, 0, 0, 1]


def test_a_closed_gate_lets_nothing_through_but_the_regulariser():
    closed = ContractionConfig(gate_residual=1e-12)
    trainer = make(dataclasses.replace(CONFIG, contraction=closed), shape=STRONG)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.run()
    assert column(trainer, "free_valid") == [0.0] * 24
    for name, parameter in trainer.model.named_parameters():
        regularised = name in {"query_key_value", "attention_out", "up", "down"}
        assert torch.equal(parameter, before[name]) is not regularised, name
    assert column(trainer, "penalty")[-1] < 0.8 * column(trainer, "penalty")[0]


def test_a_refused_gradient_may_hold_anything():
    trainer = make(dataclasses.replace(CONFIG, contraction=ContractionConfig(gate_residual=1e-12)))
    estimate = trainer.estimator.estimate

    def broken(model, batch):
        found = estimate(model, batch)
        return found._replace(
            gradients={n: torch.full_like(g, torch.nan) for n, g in found.gradients.items()}
        )

    trainer.estimator.estimate = broken
    assert trainer.run() == "finished"


def test_a_nudged_phase_that_runs_away_closes_the_gate_though_the_residual_is_small():
    # With branches this strong a nudge of half the state leaves the region in which J − Jᵀ at the
    # fixed point can be outweighed by the contraction.
    wild = dataclasses.replace(
        PROPAGATION, beta=0.5, steps=40, relaxation=RelaxationConfig(steps=400, tolerance=1e-6)
    )
    shape = dataclasses.replace(STRONG, residual_scale=3.0)
    trainer = make(dataclasses.replace(CONFIG, estimator=wild, steps=3), shape=shape)
    trainer.run()
    assert column(trainer, "free_valid")[0] == 1.0
    assert column(trainer, "force_residual_worst")[0] < 1e-5
    assert column(trainer, "growth_worst")[0] > 100
    assert column(trainer, "nudged_valid")[0] == 0.0
    assert (trainer.average.values["head"] == make(shape=shape).model.head).all()


def test_a_nudged_phase_that_overflows_is_recorded_as_infinitely_bad_and_training_goes_on():
    wild = dataclasses.replace(
        PROPAGATION, beta=0.5, steps=250, relaxation=RelaxationConfig(steps=400, tolerance=1e-6)
    )
    shape = dataclasses.replace(STRONG, residual_scale=3.0)
    trainer = make(dataclasses.replace(CONFIG, estimator=wild, steps=2), shape=shape)
    assert trainer.run() == "finished"
    assert column(trainer, "growth_worst")[0] == math.inf
    assert column(trainer, "nudged_valid")[0] == 0.0
    assert not any(math.isnan(value) for row in trainer.history for value in row)
    assert all(p.isfinite().all() for p in trainer.model.parameters())


def test_without_contraction_the_task_gradient_is_all_there_is():
    trainer = make(dataclasses.replace(CONFIG, contraction=None, steps=1, check_every=1))
    batch = make().next_batch()
    expected = trainer.estimator.estimate(trainer.model, batch).gradients
    trainer.run()
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter.grad, expected[name]), name


def test_regulariser_is_added_with_the_controllers_weight():
    loose = make(dataclasses.replace(CONFIG, steps=1))
    tight = make(
        dataclasses.replace(CONFIG, steps=1, contraction=ContractionConfig(floor=2.0, ceiling=8.0))
    )
    plain = make(dataclasses.replace(CONFIG, steps=1, contraction=None))
    gradients = []
    for trainer in (plain, loose, tight):
        trainer.run()
        gradients.append(trainer.model.down.grad)
    task, small, large = gradients
    # Weights 0.1 and 2.0 on the same penalty: twenty times the pull.
    torch.testing.assert_close(large - task, 20 * (small - task), rtol=1e-3, atol=1e-6)
    assert (small - task).norm() > 1e-4
    assert column(loose, "regulariser_weight") == [pytest.approx(0.1)]
    assert column(tight, "regulariser_weight") == [pytest.approx(2.0)]


def test_controller_sees_the_residual_of_the_steps():
    strained = ContractionConfig(target_residual=1e-9, gain=0.5)
    trainer = make(dataclasses.replace(CONFIG, contraction=strained))
    trainer.run()
    weights = column(trainer, "regulariser_weight")
    assert weights[1] == pytest.approx(weights[0] * math.exp(0.5), rel=1e-5)
    assert weights[-1] == pytest.approx(32.0)


def test_precontraction_trains_the_branches_only_and_at_the_full_rate():
    config = dataclasses.replace(CONFIG, precontraction=24, warmup=1000)
    trainer = make(config, shape=STRONG)
    head, down = trainer.model.head.detach().clone(), trainer.model.down.detach().clone()
    trainer.run()
    assert torch.equal(trainer.model.head, head)
    # Adam's first steps are as long as the learning rate; a warm-up would have cut them to 1/1000.
    assert (trainer.model.down - down).abs().max() > 2 * CONFIG.learning_rate
    assert column(trainer, "penalty")[-1] < 0.8 * column(trainer, "penalty")[0]
    model = make(shape=STRONG).model
    state = relax(model, model.embed(make().next_batch()[:, :-1]), FREE).state
    loss = model.cost(state, make().next_batch()[:, 1:]).sum() / 24
    assert column(trainer, "loss")[0] == pytest.approx(loss.item())


@pytest.mark.parametrize("precontraction", [0, 3])
def test_learning_rate_rises_linearly_after_precontraction_and_then_stays(precontraction):
    config = dataclasses.replace(CONFIG, precontraction=precontraction)
    trainer = make(config)
    rates = []
    for _ in range(8 + precontraction):
        trainer.train_step()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    expected = [1e-2] * precontraction + [1e-2 * k / 4 for k in (1, 2, 3)] + [1e-2] * 5
    assert rates == pytest.approx(expected)


def test_probes_say_which_weights_they_use_and_leave_the_trained_ones_in_place():
    trainer = make()
    trainer.run()
    trained = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    windows = cyclic_windows()
    raw, average = (trainer.held_out(windows, weights=which) for which in ("raw", "average"))
    assert (raw.weights, average.weights) == ("raw", "average")
    free = relax(trainer.model, trainer.model.embed(windows[:, :-1]), FREE)
    assert raw.residual == free.residual.max() > free.residual.mean()
    assert raw.loss < average.loss - 0.01  # the average lags behind a loss that still falls
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter, trained[name])
    other = make()
    with torch.no_grad():
        for name, parameter in other.model.named_parameters():
            parameter.copy_(trainer.average.values[name])
    assert other.held_out(windows, weights="raw").loss == average.loss
    with pytest.raises(ValueError, match=r"^weights must be one of raw, average, got 'ema'$"):
        trainer.held_out(windows, weights="ema")
    assert trainer.average.decay == 0.9


def test_weight_decay_shrinks_by_its_share_of_the_learning_rate():
    config = dataclasses.replace(CONFIG, steps=1, warmup=0)
    plain, decayed = make(config), make(dataclasses.replace(config, weight_decay=0.5))
    expected = config.learning_rate * 0.5 * plain.model.head.detach()
    plain.run()
    decayed.run()
    found = (plain.model.head - decayed.model.head).detach()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)


def test_average_follows_every_step():
    trainer = make()
    expected = trainer.model.down.detach().clone()
    for _ in range(5):
        trainer.train_step()
        expected = 0.9 * expected + 0.1 * trainer.model.down.detach()
    torch.testing.assert_close(trainer.average.values["down"], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_a_step_never_makes_the_host_wait_for_the_gpu():
    trainer = make()
    gpu = EquilibriumTrainer(CONFIG, trainer.model.cuda(), cyclic_windows().cuda(), 0)
    gpu.train_step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        gpu.train_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_an_epoch_visits_every_window_once_and_the_next_in_another_order():
    trainer = make()
    known = {tuple(window): index for index, window in enumerate(cyclic_windows(7).tolist())}
    orders = []
    for _ in range(2):
        start = trainer.order.clone()
        batches = [trainer.next_batch() for _ in range(5)]  # 22 windows, batches of 4
        assert not torch.equal(trainer.order, start)
        assert torch.equal(torch.cat(batches), cyclic_windows()[trainer.order[:20]])
        assert sorted(trainer.order.tolist()) == list(range(22))
        orders.append(trainer.order.tolist())
        assert all(tuple(window) in known for batch in batches for window in batch.tolist())
    assert orders[0] != orders[1]


def test_step_residual_is_the_force_residual_times_the_step():
    trainer = make(dataclasses.replace(CONFIG, steps=3))
    trainer.run()
    for which in ("mean", "worst"):
        force = column(trainer, f"force_residual_{which}")
        assert column(trainer, f"step_residual_{which}") == pytest.approx([0.35 * r for r in force])
    assert column(trainer, "force_residual_mean") < column(trainer, "force_residual_worst")
    assert min(column(trainer, "force_residual_mean")) > 0


def test_an_estimator_for_another_kind_of_model_is_refused():
    baseline = dataclasses.replace(CONFIG, estimator=BackpropagationConfig(), contraction=None)
    message = "^model must be of type Transformer for BackpropagationConfig, got Equilib"
    with pytest.raises(TypeError, match=message):
        EquilibriumTrainer(baseline, make().model, cyclic_windows(), 0)
    message = (
        "^model must be of type EquilibriumTransformer for EquilibriumProp.*, got Transformer$"
    )
    with pytest.raises(TypeError, match=message):
        EquilibriumTrainer(CONFIG, make(baseline).model, cyclic_windows(), 0)


def test_too_few_windows_are_refused():
    with pytest.raises(ValueError, match=r"^windows must hold at least batch=64 windows, got 22$"):
        make(dataclasses.replace(CONFIG, batch=64))
