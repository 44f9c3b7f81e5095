"""Training steps of GPT-2, beside the `transformers.Trainer` that one would otherwise use.

`make benchmarks` gives both in one run: steps of one seed per second, their ratio, and the part of
this machine's arithmetic that they make use of, which is their matrix products at the speed of one
large product. All train the shipped stand-in on the same windows in the same order with the same
optimiser, and the first test holds that they come to the same end.
"""

import time
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call
from torch.utils.data import Dataset, SequentialSampler
from torch.utils.flop_counter import FlopCounterMode

from decouple.models.gpt2 import final_logits, final_states, load_base
from decouple.models.gpt2_config import parse_base
from decouple.training.ensemble import make_optimizer, stack_parameters, train_steps
from decouple.training.numerics import cpu_numerics

# Libraries that warn about each other.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

BATCH, LENGTH, STEPS, RATE = 8, 32, 40, 1e-3
BASE = parse_base("stand-in:smoke")


class Row(NamedTuple):
    name: str
    per_second: float
    """Steps of one seed per second."""
    of_peak: float
    ratio: float
    """How often faster than the Trainer."""

    def __str__(self):
        return (
            f"{self.name:<20}{self.per_second:>9.1f} steps of a seed per second"
            f"{self.of_peak:>8.1%} of peak arithmetic{self.ratio:>7.2f} x Trainer"
        )


def windows(seeds):
    """The same windows for each seed: (S, steps, B, T + 1)."""
    generator = torch.Generator().manual_seed(7)
    drawn = torch.randint(512, (STEPS, BATCH, LENGTH + 1), generator=generator)
    return drawn.expand(seeds, *drawn.shape)


def loss_of(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def train_stacked(seeds, steps=STEPS):
    """As the experiments do it."""
    model = load_base(BASE)
    parameters = stack_parameters([model] * seeds)
    optimizer = make_optimizer(parameters, learning_rate=RATE, weight_decay=0.0)

    def loss(parameters, batch):
        states = final_states(model, batch[:, :-1], parameters)
        cross_entropy = loss_of(final_logits(model, states.after, parameters), batch[:, 1:])
        return cross_entropy, cross_entropy

    batches = windows(seeds)[:, :steps]
    started = time.perf_counter()
    train_steps(parameters, optimizer, loss, batches)
    taken = time.perf_counter() - started
    return {name: value[0].detach() for name, value in parameters.items()}, taken


class Windows(Dataset):
    def __init__(self, steps):
        self.windows = windows(1)[0, :steps].flatten(0, 1)

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, index):
        return {"input_ids": self.windows[index, :-1], "labels": self.windows[index, 1:]}


def train_with_trainer(folder, steps=STEPS):
    """As its documentation has it, with everything off that costs time."""
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainerCallback, TrainingArguments  # noqa: PLC0415  (seconds to import)

    class InOrder(Trainer):
        def _get_train_sampler(self, *arguments):
            return SequentialSampler(self.train_dataset)

    class Clock(TrainerCallback):
        def on_train_begin(self, *arguments, **states):
            self.started = time.perf_counter()  # what the Trainer sets up before does not count

        def on_train_end(self, *arguments, **states):
            self.taken = time.perf_counter() - self.started

    model, clock = load_base(BASE), Clock()
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        max_steps=steps,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=0.0,
        optim="adamw_torch_fused",
        use_cpu=True,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = InOrder(
        model=model,
        args=arguments,
        train_dataset=Windows(steps),
        callbacks=[clock],
        compute_loss_func=lambda outputs, labels, num_items_in_batch: loss_of(
            outputs.logits, labels
        ),
    )
    trainer.train()
    return {name: value.detach() for name, value in model.named_parameters()}, clock.taken


def peak_flops():
    """Arithmetic per second of one large matrix product here and now."""
    left = torch.randn(512, 512)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        left @ left
        times.append(time.perf_counter() - started)
    return 2 * 512**3 / min(times)


def step_flops():
    """Arithmetic of the matrix products of one step of one seed."""
    model, batch = load_base(BASE), windows(1)[0, 0]
    with FlopCounterMode(display=False) as counter:
        loss_of(model(batch[:, :-1]).logits, batch[:, 1:]).backward()
    return counter.get_total_flops()


def test_all_loops_train_the_same(tmp_path, benchmark):
    if benchmark.disabled:
        pytest.skip("the Trainer takes seconds to import; run the benchmarks")
    model, tokens = load_base(BASE), windows(1)[0, 0]

    # Compared by what they compute: the bias of the keys has no gradient but rounding, which the
    # optimiser scales up, and no effect.
    def logits(parameters):
        return functional_call(model, parameters, (tokens,)).logits

    with cpu_numerics(1):
        start = logits(dict(model.named_parameters()))
        plain = logits(train_with_trainer(tmp_path, steps=5)[0])
        assert (plain - start).abs().max() > 0.1
        for seeds in (1, 5):
            ours = logits(train_stacked(seeds, steps=5)[0])
            torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-3)
    benchmark.pedantic(train_stacked, args=(1, 5), rounds=1)


def test_steps_per_second_beside_the_trainer(tmp_path, benchmark, capsys):
    """Interleaved, so that what else the machine does falls on all."""
    if benchmark.disabled:
        pytest.skip("a comparison of times means something only where times are measured")
    contenders = {
        "Trainer": (1, lambda: train_with_trainer(tmp_path)[1]),
        "ours, 1 seed": (1, lambda: train_stacked(1)[1]),
        "ours, 5 seeds": (5, lambda: train_stacked(5)[1]),
    }
    with cpu_numerics(1):
        peak = peak_flops()
        times = {name: [] for name in contenders}
        for _ in range(5):
            for name, (_, train) in contenders.items():
                times[name].append(train())
        benchmark.pedantic(train_stacked, args=(5,), rounds=1)
    speed = {name: seeds * STEPS / min(times[name]) for name, (seeds, _) in contenders.items()}
    rows = [
        Row(name, value, value * step_flops() / peak, value / speed["Trainer"])
        for name, value in speed.items()
    ]
    benchmark.extra_info.update({row.name: row._asdict() for row in rows})
    with capsys.disabled():
        print("", f"peak {peak / 1e9:.1f} GFLOP/s on one thread", *rows, sep="\n")
    assert speed["ours, 5 seeds"] > 1.2 * speed["Trainer"]
