import pytest
import torch

from decouple.training.numerics import cpu_numerics


def tiny():
    return (torch.full((1,), 1e-30) * torch.full((1,), 1e-10)).item()  # a denormal, 1e-40


def test_settings_hold_inside_and_are_put_back():
    before = torch.get_num_threads()
    assert tiny() > 0
    with cpu_numerics(before + 1):
        assert torch.get_num_threads() == before + 1
        assert tiny() == 0
    assert torch.get_num_threads() == before
    assert tiny() > 0


def test_settings_are_put_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), cpu_numerics(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before
    assert tiny() > 0


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"), cpu_numerics(0):
        pass
