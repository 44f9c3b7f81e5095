"""The device that is not there refuses what a GPU would, and notes what makes the host wait."""

import pytest
import torch
from torch import nn


def test_devices_cannot_be_mixed(cuda):
    with pytest.raises(RuntimeError, match="devices"):
        torch.ones(3, device="cuda") + torch.ones(3)
    assert (torch.ones(3) + torch.ones(3)).tolist() == [2, 2, 2]


def test_a_generator_belongs_to_its_device(cuda):
    drawn = torch.rand(3, device="cuda", generator=torch.Generator("cuda").manual_seed(0))
    assert drawn.device.type == "cuda"
    with pytest.raises(RuntimeError, match="generator is on cpu"):
        torch.rand(3, device="cuda", generator=torch.Generator())
    with pytest.raises(RuntimeError, match="generator is on cuda"):
        torch.rand(3, generator=torch.Generator("cuda"))


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x.tolist(),
        lambda x: x.cpu().numpy(),
        lambda x: x.to("cpu"),
        lambda x: x[x > 0],
        lambda x: float(x.sum()),
        lambda x: x.copy_(torch.zeros(3)),
        lambda x: torch.tensor([1.0, 2.0], device="cuda"),
    ],
)
def test_whatever_makes_the_host_wait_is_noted(cuda, read):
    x = torch.ones(3, device="cuda")
    (x * 2).double().mean()
    assert not cuda.waits
    read(x)
    assert cuda.waits


def test_training_on_the_device_makes_nothing_wait(cuda):
    layer = nn.Linear(3, 1).to("cuda")
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    cuda.waits.clear()
    for _ in range(2):
        layer(torch.ones(2, 3, device="cuda")).sum().backward()
        optimizer.step()
    assert layer.weight.device.type == "cuda"
    assert not cuda.waits


def test_tied_parameters_stay_tied(cuda):
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    model.to("cuda")
    assert model["b"].weight is model["a"].weight
    assert model["b"].weight.device.type == "cuda"
