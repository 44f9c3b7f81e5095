import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decouple.training import difference_checkpoint
from decouple.training.difference_checkpoint import (
    DamagedTensorError,
    pack,
    packed_bytes,
    unpack,
)


def normal(*shape, seed=0, std=1.0):
    return std * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def same_bits(first, second):
    return (first.shape, first.dtype) == (second.shape, second.dtype) and torch.equal(
        first.contiguous().flatten().view(torch.int32),
        second.contiguous().flatten().view(torch.int32),
    )


def assert_restored(values, base):
    packed = pack(values, base)
    restored = unpack(packed, base)
    assert restored.keys() == values.keys()
    assert all(same_bits(restored[name], value) for name, value in values.items())
    full = sum(value.numel() * value.itemsize for value in values.values())
    assert packed_bytes(packed) <= full
    return packed


@given(
    scale=st.floats(1e-12, 1e12),
    move=st.floats(0, 1),
    shape=st.sampled_from([(), (1,), (5, 7), (3, 2, 300)]),
    seed=st.integers(0, 10**6),
)
def test_every_bit_comes_back_and_no_more_room_is_taken(scale, move, shape, seed):
    base = {"a": normal(*shape, seed=seed, std=scale)}
    values = {"a": base["a"] + normal(*shape, seed=seed + 1, std=scale * move)}
    assert_restored(values, base)
    assert_restored(values, {})


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=20))
def test_any_bits_come_back(patterns):
    """Among them NaNs with a payload, infinities, denormals and minus zero."""
    bits = torch.tensor(patterns, dtype=torch.int32).view(torch.float32)
    assert_restored({"a": bits}, {"a": bits.flip(0)})
    assert_restored({"a": bits}, {})


def test_special_numbers_come_back():
    special = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 0.0, 1e-45])
    assert_restored({"a": special}, {"a": torch.zeros(6)})


def test_what_did_not_change_takes_no_room():
    base = {"a": normal(50, 20), "b": normal(9)}
    packed = assert_restored({"a": base["a"].expand(3, 50, 20), "b": base["b"]}, base)
    assert packed_bytes(packed) == 0


def test_a_small_step_from_the_base_is_smaller_than_the_tensor():
    base = {"a": normal(200, 300)}
    moved = {"a": base["a"] + normal(2, 200, 300, seed=1, std=1e-3)}
    packed = assert_restored(moved, base)
    assert packed_bytes(packed) < 0.8 * moved["a"].numel() * 4


def test_noise_is_stored_as_it_is():
    bits = torch.randint(
        -(2**31), 2**31 - 1, (400,), generator=torch.Generator().manual_seed(0)
    ).to(torch.int32)
    packed = assert_restored({"a": bits.view(torch.float32)}, {"a": torch.zeros(400)})
    assert packed_bytes(packed) == 1600


def test_the_same_tensors_give_the_same_bytes():
    base = {"a": normal(100, 100)}
    values = {"a": base["a"] * 1.001}
    first, second = (pack(values, base)["a"]["planes"] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_threads_pack_the_same(monkeypatch):
    base = {"a": normal(100, 100), "b": normal(30, 90), "c": normal(5)}
    values = {name: value * 1.001 for name, value in base.items()} | {"d": normal(3)}
    alone = pack(values, base)
    monkeypatch.setattr(difference_checkpoint, "LARGE", 0)
    together = assert_restored(values, base)
    assert list(together) == list(alone)
    for name, each in alone.items():
        assert each["kind"] == together[name]["kind"]
        pairs = zip(each["planes"], together[name]["planes"], strict=True)
        assert all(torch.equal(*pair) for pair in pairs)


def test_tensors_of_another_type_are_refused():
    with pytest.raises(TypeError, match=r"values must be of torch.float32 or .* of torch.int64"):
        pack({"a": torch.zeros(2, dtype=torch.int64)}, {})


def test_double_precision_comes_back_too():
    base = {"a": normal(70, 30).double()}
    moved = {"a": base["a"] * (1 + 1e-9), "b": torch.tensor(math.pi, dtype=torch.float64)}
    packed = assert_restored(moved, base)
    assert packed_bytes(packed) < 0.8 * 70 * 30 * 8


@pytest.mark.parametrize("std", [1e-4, 1.0])
def test_an_altered_byte_is_noticed(std):
    base = {"a": normal(300, 40)}
    value = base["a"] + normal(300, 40, seed=1, std=std)
    harmless = 0
    for plane in range(4):
        packed = pack({"a": value}, base)
        data = packed["a"]["planes"][plane]
        data[len(data) // 2] ^= 1
        try:
            restored = unpack(packed, base)["a"]
        except DamagedTensorError:
            continue
        # A compressed plane may say the same in other bytes.
        assert same_bits(restored, value)
        harmless += 1
    assert harmless <= 1


def test_another_base_is_noticed():
    base = {"a": normal(8)}
    packed = pack({"a": base["a"] + 1e-3}, base)
    with pytest.raises(DamagedTensorError, match="'a' is not what was stored: its checksum"):
        unpack(packed, {"a": normal(8, seed=5)})
    with pytest.raises(DamagedTensorError, match="the base has no 'a'"):
        unpack(packed, {})
    with pytest.raises(DamagedTensorError, match="'a' cannot be restored"):
        unpack(packed, {"a": normal(9)})
    cut = {"a": packed["a"] | {"planes": packed["a"]["planes"][:3]}}
    with pytest.raises(DamagedTensorError, match="'a' "):
        unpack(cut, base)
