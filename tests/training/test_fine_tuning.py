"""Phases on a toy: a table of bigram logits (the model) and one vector added to every row."""

import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from decouple.training.fine_tuning import (
    FineTuning,
    Phase,
    fine_tune,
    make_phase_optimizer,
    set_rates,
)
from decouple.training.numerics import cpu_numerics

VOCAB, SEEDS, STEPS = 5, 3, 4
PHASES = [
    Phase(epochs=2, every=2, rates={"vectors": 1e-2}),
    Phase(epochs=6, every=2, rates={"model": 1e-2, "vectors": 2e-2}),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with cpu_numerics(1):
        yield


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


BASE = {
    "table": normal(VOCAB, VOCAB, seed=0),
    "bias": torch.zeros(VOCAB),
    "vectors": torch.zeros(VOCAB),
}


def start():
    stacked = {name: value.repeat(SEEDS, *[1] * value.dim()) for name, value in BASE.items()}
    return stacked | {"vectors": normal(SEEDS, VOCAB, seed=1)}


def batches(phase, epoch):
    generator = torch.Generator().manual_seed(100 * phase + epoch)
    return (torch.randint(VOCAB, (SEEDS, STEPS, 4, 8), generator=generator),)


def loss(parameters, windows, scale):
    shifted = parameters["table"] + parameters["bias"] + scale * parameters["vectors"]
    logits = F.embedding(windows[:, :-1], shifted)
    value = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    return value, 2 * value


def evaluate(moment, parameters):
    found = []
    for seed in range(SEEDS):
        loss = None if moment.training_loss is None else moment.training_loss[seed].item()
        norms = [parameters[name][seed].norm().item() for name in ("table", "bias", "vectors")]
        found.append([(moment.phase, moment.epoch, moment.scale, loss, *norms)])
    return found


def group_of(name):
    return {"vectors": "vectors", "table": "model", "bias": None}[name]


def make(tmp_path, **changes):
    run = FineTuning(
        phases=PHASES,
        steps=STEPS,
        batches=batches,
        loss=loss,
        evaluate=evaluate,
        group_of=group_of,
        base=BASE,
        weight_decay=0.1,
        checkpoint=tmp_path / "run.pt",
        identity="run",
    )
    return replace(run, **changes)


def assert_same(first, second):
    assert first.rows == second.rows
    assert first.status == second.status
    for name, value in first.parameters.items():
        assert torch.equal(value, second.parameters[name])


def test_runs_are_measured_at_the_start_and_after_every_few_epochs(tmp_path):
    result = fine_tune(start(), make(tmp_path))
    assert result.status == ["finished"] * SEEDS
    for rows in result.rows:
        assert [row[:3] for row in rows] == [
            (-1, 0, 0.0), (0, 2, 1.0), (1, 2, 1.0), (1, 4, 1.0), (1, 6, 1.0)
        ]  # fmt: skip
        assert rows[0][3] is None
        assert all(row[3] > 0 for row in rows[1:])


def test_a_phase_moves_its_own_groups_and_nothing_else_not_even_by_decay(tmp_path):
    first = fine_tune(start(), make(tmp_path, phases=PHASES[:1])).parameters
    assert torch.equal(first["table"], start()["table"])
    assert torch.equal(first["bias"], start()["bias"])
    assert (first["vectors"] != start()["vectors"]).all()
    both = fine_tune(start(), make(tmp_path / "both", phases=PHASES[1:])).parameters
    assert torch.equal(both["bias"], start()["bias"])
    assert (both["table"] != start()["table"]).all()
    still = [Phase(epochs=2, every=1, rates={"model": 1e-2, "vectors": 0.0})]
    held = fine_tune(start(), make(tmp_path / "held", phases=still)).parameters
    assert torch.equal(held["vectors"], start()["vectors"])
    assert (held["table"] != start()["table"]).all()


def test_a_phase_that_trains_nothing_still_records_the_loss(tmp_path):
    result = fine_tune(start(), make(tmp_path, phases=[Phase(epochs=1, every=1, rates={})]))
    assert all(torch.equal(value, start()[name]) for name, value in result.parameters.items())
    windows = batches(0, 0)[0]
    for seed, rows in enumerate(result.rows):
        own = {name: value[seed] for name, value in start().items()}
        losses = [loss(own, windows[seed, step], 1.0)[1].item() for step in range(STEPS)]
        assert rows[1][3] == pytest.approx(sum(losses) / STEPS, rel=1e-6)


def test_training_is_that_of_plain_adamw(tmp_path):
    result = fine_tune(start(), make(tmp_path))
    own = {name: value[1].clone().requires_grad_() for name, value in start().items()}
    for index, groups in enumerate(([("vectors", 1e-2)], [("table", 1e-2), ("vectors", 2e-2)])):
        optimizer = torch.optim.AdamW(
            [{"params": [own[name]], "lr": rate} for name, rate in groups],
            weight_decay=0.1,
            foreach=False,
        )
        for epoch in range(PHASES[index].epochs):
            for batch in batches(index, epoch)[0][1]:
                optimizer.zero_grad()
                loss(own, batch, 1.0)[0].backward()
                optimizer.step()
    for name, value in own.items():
        torch.testing.assert_close(result.parameters[name][1], value, rtol=1e-5, atol=1e-6)


def test_a_cosine_brings_the_rate_of_its_group_down_and_of_no_other(tmp_path):
    phase = replace(PHASES[1], cosine=frozenset({"model"}))
    first, *_, last = fine_tune(start(), make(tmp_path, phases=[phase], weight_decay=0.0)).rows[0]
    constant = fine_tune(start(), make(tmp_path / "constant", phases=[PHASES[1]], weight_decay=0.0))
    assert first == constant.rows[0][0]
    assert last[4] != constant.rows[0][-1][4]
    # Adam's first step has the length of the rate, whatever the gradient.
    spans = []
    for done in (0.0, 0.5, 1.0):
        parameters = start()
        run = make(tmp_path, phases=[phase])
        optimizer = make_phase_optimizer(parameters, run, 0)
        set_rates(optimizer, phase, done)
        loss({n: v[0] for n, v in parameters.items()}, batches(0, 0)[0][0, 0], 1.0)[0].backward()
        optimizer.step()
        spans.append(
            [(parameters[n] - start()[n]).abs().max().item() for n in ("table", "vectors")]
        )
    table, vectors = zip(*spans, strict=True)
    assert table == pytest.approx((1e-2, 0.5e-2, 0.0), rel=0.3, abs=1e-6)
    assert vectors == pytest.approx((2e-2,) * 3, rel=0.3)


def test_the_scale_goes_along_a_straight_line(tmp_path):
    seen = []

    def spying(parameters, windows, scale):
        seen.append(scale)
        return loss(parameters, windows, scale)

    phase = replace(PHASES[1], scale=(1.0, 0.0))
    rows = fine_tune(start(), make(tmp_path, phases=[phase], loss=spying)).rows
    steps = 6 * STEPS
    trained = [scale for call, scale in enumerate(seen) if call % 9 != 8]
    assert trained == pytest.approx([1 - step / steps for step in range(steps)])
    assert seen[8::9] == pytest.approx([2 / 3, 1 / 3, 0.0])  # the last batch once more
    assert [row[2] for row in rows[0]] == pytest.approx([0.0, 2 / 3, 1 / 3, 0.0])


class KilledError(Exception):
    """The process ends here."""


def killed(tmp_path, at, **changes):
    def kill(done, _total, _note):
        if done == at:
            raise KilledError

    with pytest.raises(KilledError):
        fine_tune(start(), make(tmp_path, progress=kill, **changes))


@pytest.mark.parametrize("at", [1, 9, 16, 17, 31, 32])
def test_a_killed_run_ends_exactly_as_if_it_had_not_been(tmp_path, at):
    killed(tmp_path, at)
    seen = []
    run = make(tmp_path, progress=lambda *call: seen.append(call[0]))
    resumed = fine_tune(start(), run)
    assert seen[0] == (at - 1) // 8 * 8 + 1  # what was measured is not trained again
    assert seen[-1] == 32
    assert_same(resumed, fine_tune(start(), make(tmp_path / "whole")))


def test_what_evaluation_remembers_is_part_of_the_checkpoint(tmp_path):
    def remembering(memory):
        def measure(moment, parameters):
            if moment.phase < 1:
                memory["vectors"] = parameters["vectors"].detach().clone()
            return [[(float(memory["vectors"][seed].sum()),)] for seed in range(SEEDS)]

        return {"memory": memory, "evaluate": measure}

    killed(tmp_path, 20, **remembering({}))
    resumed = fine_tune(start(), make(tmp_path, **remembering({})))
    assert resumed.rows == fine_tune(start(), make(tmp_path / "w", **remembering({}))).rows
    assert resumed.rows[0][-1] == resumed.rows[0][1]


def test_a_finished_run_is_not_run_again(tmp_path):
    first = fine_tune(start(), make(tmp_path))
    seen = []
    run = make(tmp_path, progress=lambda *call: seen.append(call))
    assert_same(fine_tune(start(), run), first)
    assert not seen


@pytest.mark.parametrize("how", ["cut", "byte", "base", "identity"])
def test_a_checkpoint_that_cannot_be_used_is_passed_over_with_a_warning(tmp_path, how):
    killed(tmp_path, 20)
    file = tmp_path / "run.pt"
    run = make(tmp_path)
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-400])
    elif how == "byte":
        content = torch.load(file, weights_only=True)
        plane = content["state"]["parameters"]["table"]["planes"][0]
        plane[-1] ^= 1
        torch.save(content, file)
    elif how == "base":
        run = replace(run, base=BASE | {"table": BASE["table"] + 1})
    else:
        run = replace(run, identity="other")
    with pytest.warns(UserWarning, match=r"checkpoint run.pt ignored"):
        result = fine_tune(start(), run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = fine_tune(start(), make(tmp_path / "whole"))
    assert_same(result, whole)


def test_checkpoints_are_no_larger_than_full_ones(tmp_path):
    sizes = []

    def measure(moment, parameters):
        sizes.append(moment.stored_bytes)
        return evaluate(moment, parameters)

    fine_tune(start(), make(tmp_path, evaluate=measure))
    vectors, table = SEEDS * VOCAB * 4, SEEDS * VOCAB**2 * 4
    counters = 2 * 4
    assert sizes[0] == 0
    assert sizes[1] <= 3 * vectors + counters  # phase A leaves the model as it was
    assert max(sizes) <= 3 * (vectors + table) + counters
    assert (tmp_path / "run.pt").stat().st_size <= max(sizes) + 12_000


def test_a_seed_that_diverges_is_named_and_the_others_go_on(tmp_path):
    parameters = start()
    parameters["table"][1, 2, 3] = torch.nan
    result = fine_tune(parameters, make(tmp_path))
    assert result.status == ["finished", "diverged at step 1: loss is nan", "finished"]
    assert [len(rows) for rows in result.rows] == [5, 1, 5]
    whole = fine_tune(start(), make(tmp_path / "whole"))
    assert result.rows[0] == whole.rows[0]
    broken = {name: value * torch.nan for name, value in start().items()}
    seen = []
    run = make(tmp_path / "none", progress=lambda *call: seen.append(call[0]))
    assert fine_tune(broken, run).status == ["diverged at step 1: loss is nan"] * SEEDS
    assert max(seen) == 8  # nobody is left to train


def test_a_seed_whose_last_update_breaks_it_is_noticed_before_it_is_measured(tmp_path):
    def breaking(parameters, windows, scale):
        value, recorded = loss(parameters, windows, scale)
        far = parameters["vectors"].abs().max() > 10
        return value, torch.where(far, torch.inf, recorded)

    def measure(moment, parameters):
        assert all(value.isfinite().all() for value in parameters.values())
        assert parameters["vectors"].abs().max() < 10
        return evaluate(moment, parameters)

    parameters = start()
    parameters["vectors"][2] = 9.995
    phases = [Phase(epochs=1, every=1, rates={"vectors": 1e-2})]
    run = make(tmp_path, phases=phases, loss=breaking, evaluate=measure, steps=1, weight_decay=0.0)
    result = fine_tune(parameters, run)
    assert result.status == ["finished", "finished", "diverged at step 1: the loss after it is inf"]
    assert [len(rows) for rows in result.rows] == [2, 2, 1]


@pytest.mark.parametrize(("epochs", "every"), [(5, 2), (-1, 1), (3, 0)])
def test_every_must_divide_the_epochs(epochs, every):
    with pytest.raises(ValueError, match="every must be at least 1 and divide the epochs"):
        Phase(epochs=epochs, every=every, rates={})
