"""Tensors stored as bitwise differences from known ones: smaller on disk, restored bit for bit.

Fine-tuning moves most weights by a small part of themselves. Sign, exponent and leading mantissa
bits then stay as they were, and the integer difference of the bit patterns is a small number: its
leading bytes are nearly all zero and compress to almost nothing, while its trailing bytes are noise
and are stored as they are. What did not change at all takes no room.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import torch
from torch import Tensor

Packed: TypeAlias = dict[str, Any]
"""One stored tensor: tensors of bytes, numbers and strings only, so that reading runs no code."""

SAMPLE = 1 << 16
"""Bytes of a plane that are compressed to see whether the whole plane is worth the time."""

WORTH = 0.75
"""A plane is stored as it is unless its sample shrinks below this part of its size."""

SHORT = 1 << 10
"""Planes of fewer bytes are stored as they are: there is nothing to gain."""


LARGE = 1 << 26
"""Bytes from which on tensors are packed by several threads."""

_TYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64)}


class DamagedTensorError(ValueError):
    """A stored tensor that is not, bit for bit, what was stored."""


def pack(values: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Packed]:
    """Store tensors as differences from the base where that is smaller, in full where it is not.

    Args:
        values: Tensors by name, of float32 or float64.
        base: Tensors by name that a reader will have, each of the type of the value and of a shape
            that broadcasts to its; a name that is not there has nothing to be a difference from.

    Returns:
        For each name what `unpack` needs; never more bytes than the tensor itself.

    Raises:
        TypeError: A tensor is of another type.
    """

    def one(name: str) -> Packed:
        return _pack(name, values[name], base.get(name))

    if sum(value.nbytes for value in values.values()) < LARGE:
        return {name: one(name) for name in values}
    with ThreadPoolExecutor() as pool:  # compression and copies hold no lock of the interpreter
        return dict(zip(values, pool.map(one, values), strict=True))


def unpack(
    packed: Mapping[str, Packed], base: Mapping[str, Tensor], *, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Restore the tensors that were packed with the same base, bit for bit.

    Raises:
        DamagedTensorError: The stored bytes, or the base, are not those of `pack`.
    """
    return {name: _unpack(name, each, base.get(name)).to(device) for name, each in packed.items()}


def packed_bytes(packed: Mapping[str, Packed]) -> int:
    """Bytes that the stored tensors take, names and shapes not counted."""
    return sum(len(plane) for each in packed.values() for plane in each["planes"])


def _pack(name: str, value: Tensor, base: Tensor | None) -> Packed:
    if str(value.dtype) not in _TYPES:
        raise TypeError(f"values must be of {' or '.join(_TYPES)}, got {name!r} of {value.dtype}")
    # The exact bits, so that -0 and the payload of a NaN survive; a scalar has no other view.
    bits = value.detach().cpu().contiguous().flatten().view(torch.int32)
    stored: Packed = {"shape": list(value.shape), "dtype": str(value.dtype), "crc": _crc(bits)}
    if base is None:
        return stored | {"kind": "full", "planes": _planes(bits)}
    like = _bits_of(base, value.shape)
    if torch.equal(bits, like):
        return stored | {"kind": "unchanged", "planes": []}
    # Wraps around, hence reversible; the sign moves into the lowest bit ("zigzag").
    difference = bits - like
    planes = _planes((difference << 1) ^ (difference >> 31))
    return stored | {"kind": "difference", "planes": planes}


def _unpack(name: str, stored: Packed, base: Tensor | None) -> Tensor:
    shape, dtype = torch.Size(stored["shape"]), _TYPES[stored["dtype"]]
    words = shape.numel() * dtype.itemsize // 4
    try:
        if stored["kind"] == "full":
            bits = _from_planes(stored["planes"], words)
        else:
            if base is None:
                raise DamagedTensorError(f"{name!r} is a difference, and the base has no {name!r}")
            bits = _bits_of(base, shape)
            if stored["kind"] == "difference":
                zigzag = _from_planes(stored["planes"], words)
                bits = bits + (((zigzag >> 1) & 0x7FFFFFFF) ^ -(zigzag & 1))
    except (RuntimeError, zlib.error) as error:  # another shape, cut or altered bytes
        raise DamagedTensorError(f"{name!r} cannot be restored: {error}") from error
    if _crc(bits) != stored["crc"]:
        raise DamagedTensorError(f"{name!r} is not what was stored: its checksum differs")
    return bits.view(dtype).reshape(shape)


def _bits_of(base: Tensor, shape: torch.Size) -> Tensor:
    return base.detach().cpu().expand(shape).contiguous().flatten().view(torch.int32)


def _planes(bits: Tensor) -> list[Tensor]:
    """The four bytes of every word, each plane of its own, compressed where it pays."""
    return [_shrunk(plane.contiguous()) for plane in bits.view(torch.uint8).view(-1, 4).T]


def _from_planes(planes: list[Tensor], words: int) -> Tensor:
    grown = [
        plane
        if len(plane) == words
        else _bytes_tensor(zlib.decompress(plane.cpu().numpy().tobytes()))
        for plane in planes
    ]
    return torch.stack([plane.cpu() for plane in grown], dim=1).flatten().view(torch.int32)


def _shrunk(plane: Tensor) -> Tensor:
    """The plane compressed, or itself: told apart by the length, which is then the plane's own."""
    if len(plane) < SHORT:
        return plane
    raw = plane.numpy().tobytes()
    middle = max(0, (len(raw) - SAMPLE) // 2)
    sample = raw[middle : middle + SAMPLE]
    if len(zlib.compress(sample, 1)) >= WORTH * len(sample):
        return plane
    data = zlib.compress(raw, 1)
    return _bytes_tensor(data) if len(data) < len(raw) else plane


def _bytes_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _crc(bits: Tensor) -> int:
    return zlib.crc32(bits.numpy().tobytes())
