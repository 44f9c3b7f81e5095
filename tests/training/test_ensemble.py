import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from decouple.models.moe import build_moe
from decouple.models.moe_config import MoEConfig
from decouple.training.ensemble import (
    copy_parameters,
    make_optimizer,
    stack_parameters,
    train_steps,
)

VOCAB, CONFIG = 13, MoEConfig(width=8, context=6, n_layers=2)


def make(seed):
    return build_moe(CONFIG, VOCAB, torch.Generator().manual_seed(seed))


TEMPLATE = make(0)


def loss(parameters, windows):
    logits = functional_call(TEMPLATE, parameters, (windows[:, :-1],)).logits
    value = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    return value, value


def windows(seed, steps=5):
    generator = torch.Generator().manual_seed(100 + seed)
    return torch.randint(VOCAB, (steps, 4, CONFIG.context + 1), generator=generator)


def train(seeds, frozen=(), poison=None):
    parameters = stack_parameters([make(seed) for seed in seeds], frozen=frozen)
    if poison is not None:
        with torch.no_grad():
            parameters["tokens"][poison].fill_(torch.nan)
    optimizer = make_optimizer(parameters, learning_rate=1e-2, weight_decay=0.1)
    batches = torch.stack([windows(seed) for seed in seeds])
    return parameters, train_steps(parameters, optimizer, loss, batches)


def test_a_seed_in_a_group_trains_as_it_does_alone():
    parameters, losses = train([0, 1, 2])
    assert losses.shape == (5, 3)
    for position, seed in enumerate([0, 1, 2]):
        alone, own_losses = train([seed])
        torch.testing.assert_close(losses[:, position], own_losses[:, 0])
        for name, value in parameters.items():
            torch.testing.assert_close(value[position], alone[name][0], rtol=1e-4, atol=1e-5)


def test_a_stack_trains_as_a_plain_module_and_torchs_default_adamw():
    model = make(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1, foreach=False)
    for batch in windows(1):
        logits = model(batch[:, :-1]).logits
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
        optimizer.step()
    parameters, _ = train([1])
    for name, value in model.named_parameters():
        torch.testing.assert_close(parameters[name][0], value, rtol=1e-4, atol=1e-5)


def test_the_same_group_gives_the_same_bits():
    (first, first_losses), (second, second_losses) = train([3, 4]), train([3, 4])
    assert torch.equal(first_losses, second_losses)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_seed_that_breaks_leaves_the_others_alone():
    broken, losses = train([0, 1, 2], poison=1)
    whole, whole_losses = train([0, 1, 2])
    assert losses[:, 1].isnan().all()
    for seed in (0, 2):
        assert torch.equal(losses[:, seed], whole_losses[:, seed])
        assert all(torch.equal(broken[name][seed], whole[name][seed]) for name in whole)


def test_frozen_parameters_do_not_move_not_even_by_decay():
    parameters, _ = train([0], frozen=("router",))
    start = stack_parameters([make(0)])
    moved = {name for name in start if not torch.equal(start[name], parameters[name])}
    assert moved == {name for name in start if ".router." not in name}


def test_an_unknown_frozen_name_is_refused():
    with pytest.raises(ValueError, match=r"frozen must name submodules .*router.*, got \['gate'\]"):
        stack_parameters([TEMPLATE], frozen=("gate",))


def test_an_empty_stack_is_refused():
    with pytest.raises(ValueError, match="models must hold at least one model, got none"):
        stack_parameters([])


def test_copies_are_repeated_trainable_and_independent():
    parameters = stack_parameters([make(0), make(1)], frozen=("router",))
    copies = copy_parameters(parameters, times=2)
    for name, value in copies.items():
        assert value.is_leaf
        assert value.requires_grad == parameters[name].requires_grad
        assert torch.equal(value[:2], parameters[name])
        assert torch.equal(value[2:], parameters[name])
    with torch.no_grad():
        copies["tokens"].zero_()
    assert parameters["tokens"].abs().min() > 0


def test_steps_are_reported_as_they_are_done():
    parameters = stack_parameters([make(0)])
    optimizer = make_optimizer(parameters, learning_rate=0.0, weight_decay=0.1)
    seen = []
    losses = train_steps(parameters, optimizer, loss, windows(0)[None], on_step=seen.append)
    assert seen == [1, 2, 3, 4, 5]
    assert torch.equal(parameters["tokens"][0], make(0).tokens)  # nothing moves at rate 0
    assert not losses.requires_grad
