"""A CUDA device that is not there: its tensors have a shape and a device, and no values.

Tensors on the CPU are real and computed; tensors on `cuda` are torch's fake ones. What would fail
on a GPU fails here too: devices mixed in one operation, and a generator of another device. What
would make the host wait for the GPU is written down with the functions that were at it, and
answered with made-up values: ones, true, or token 0.

It cannot see what only values decide, nor kernels, compilers, CUDA graphs and memory; and a single
number on the CPU passes in every operation, where a GPU takes it in most.
"""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._device import DeviceContext
from torch.utils._pytree import tree_leaves, tree_map

import decouple

PACKAGE = str(Path(decouple.__file__).parent)
CUDA = torch.device("cuda", 0)
ASKED_FROM_C = torch.device("meta")
"""What torch's own C++ is told, where a torch without CUDA has no streams for autograd."""

aten = torch.ops.aten


class Generator(torch._C.Generator):
    """A generator that can say it lives on the device."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        made.where = torch.device(device)
        return made

    @property
    def device(self):
        return self.where


class FakeCuda(FakeTensorMode):
    """Runs operations on the CPU as they are, and those on the device without values."""

    def __init__(self):
        super().__init__(allow_non_fake_inputs=True)
        self.waits = []
        """For each time that the host waited, the functions of the project it was in."""
        self.answers = {}
        """Function of the project to what it gets to see; the others see ones, trues, zero ids."""
        self.within = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.prim.device.default:
            return ASKED_FROM_C
        kwargs = dict(kwargs or {})
        kwargs.pop("pin_memory", None)
        touched = any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs)))
        asked_from_c = touched or func is not aten._to_copy.default  # else meta is what is meant
        if kwargs.get("device") == ASKED_FROM_C and asked_from_c:
            kwargs["device"] = CUDA
        there = touched or torch.device(kwargs.get("device") or "cpu").type == "cuda"
        if not there:
            return func(*args, **kwargs)
        if self.within:  # how torch works out the shape of an operation is no operation
            return super().__torch_dispatch__(func, types, args, kwargs)
        if touched and (answer := self._read(func, args, kwargs)) is not None:
            return answer
        copied = {aten._to_copy.default: 0, aten.copy_.default: 1}.get(func)
        if copied is not None and not isinstance(args[copied], FakeTensor):
            self._wait()  # the host's memory is not pinned, so a copy from it is waited for
        self.within = True
        try:
            return super().__torch_dispatch__(func, types, args, kwargs)
        finally:
            self.within = False

    def _read(self, func, args, kwargs):
        """What the host gets to see; None for an operation that stays on the device."""
        if func is aten._local_scalar_dense.default:
            return self.values(args[0]).item()
        if func is aten._to_copy.default and torch.device(kwargs.get("device") or CUDA) != CUDA:
            return self.values(args[0]).to(kwargs.get("dtype") or args[0].dtype)
        if func is aten.copy_.default and not isinstance(args[0], FakeTensor):
            asynchronous = kwargs.get("non_blocking") or (len(args) > 2 and args[2])
            return args[0].copy_(self.values(args[1], waits=not asynchronous))
        if func in (aten.nonzero.default, aten.masked_select.default, aten.equal.default):
            raise NotImplementedError(f"{func} waits for the device: say here what it answers")
        if func in (aten.index.Tensor, aten.index_put_.default) and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        ):
            self._wait()
            with self:
                return func(args[0], _places(args[1]), *args[2:], **kwargs)
        return None

    def values(self, tensor, *, waits=True):
        """Made-up values of a tensor on the device."""
        if waits:
            self._wait()
        told = [
            answer for each, answer in self.answers.items() if each.__qualname__ in _stack()[:1]
        ]
        number = told[0] if told else tensor.dtype != torch.int64
        return torch.full(tensor.shape, number, dtype=tensor.dtype)

    def _wait(self):
        self.waits.append(_stack())

    def waited_in(self, *functions):
        """Where the host waited somewhere below one of these functions."""
        names = {function.__qualname__ for function in functions}
        return [stack for stack in self.waits if names & set(stack)]


def _stack():
    """The functions of the project that run now, the innermost first."""
    frame, names = sys._getframe(2), []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return tuple(names)


def _device_from_c(cls, func, types, args=(), kwargs=None):
    if func is torch.ops.prim.device.default:
        return ASKED_FROM_C
    return _DISPATCH(cls, func, types, args, kwargs or {})


_DISPATCH = FakeTensor.__torch_dispatch__.__func__


def _without_weights(context, func, types, args=(), kwargs=None):
    """Within `with torch.device("meta")` an architecture is made; the device is not asked."""
    with unset_fake_temporarily():
        return _IN_CONTEXT(context, func, types, args, kwargs)


_IN_CONTEXT = DeviceContext.__torch_function__


class Calls(TorchFunctionMode):
    """What a call says in Python and torch's own C++ would not pass on.

    A generator must be of the device of what is drawn. `cuda` becomes `cuda:0`, for a torch without
    CUDA does not know which device is current.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func == torch.Tensor.is_cuda.__get__:
            return args[0].device.type == "cuda"
        args, kwargs = tree_map(_numbered, (args, dict(kwargs or {})))
        generator = kwargs.get("generator")
        if generator is not None:
            drawn = next((each for each in args if isinstance(each, torch.Tensor)), None)
            device = torch.device(
                kwargs.get("device") or (drawn.device if drawn is not None else "cpu")
            )
            if device.type != generator.device.type:
                raise RuntimeError(f"generator is on {generator.device}, drawn is on {device}")
            if device.type == "cuda":
                del kwargs["generator"]
        return func(*args, **kwargs)


def _numbered(value):
    return CUDA if isinstance(value, str | torch.device) and str(value) == "cuda" else value


def _places(indices):
    """Indices that a mask stands for, made up: as many as it has rows."""
    places = []
    for index in indices:
        if index is not None and index.dtype == torch.bool:
            zeros = torch.zeros(len(index), dtype=torch.int64, device=index.device)
            places += [zeros] * index.dim()
        else:
            places.append(index)
    return places


def _apply(module, change, recurse=True):
    """What moves modules. Tied parameters stay tied, as they do between true devices."""
    changed = {}
    for child in module.modules():
        for name, value in child._parameters.items():
            if value is not None:
                if value not in changed:
                    new = change(value.detach())
                    changed[value] = nn.Parameter(new, requires_grad=value.requires_grad)
                child._parameters[name] = changed[value]
        for name, value in child._buffers.items():
            child._buffers[name] = None if value is None else change(value)
    return module


@pytest.fixture
def cuda(monkeypatch):
    """The device, entered."""
    mode = FakeCuda()
    save, load = torch.save, torch.load

    def put(content, file):
        seen = tree_map(lambda v: mode.values(v) if isinstance(v, FakeTensor) else v, content)
        with unset_fake_temporarily():
            save(seen, file)

    def get(file, map_location, **options):
        with unset_fake_temporarily():
            content = load(file, map_location="cpu", **options)
        return tree_map(lambda v: v.to(map_location) if isinstance(v, torch.Tensor) else v, content)

    monkeypatch.setattr(FakeTensor, "__torch_dispatch__", classmethod(_device_from_c))
    monkeypatch.setattr(DeviceContext, "__torch_function__", _without_weights)
    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch, "save", put)
    monkeypatch.setattr(torch, "load", get)
    monkeypatch.setattr(nn.Module, "_apply", _apply)
    monkeypatch.setattr(torch.cuda, "Event", _Event)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with mode, Calls():
        yield mode
    torch.set_num_threads(before)


class _Event:
    """An event that has always happened."""

    def record(self):
        pass

    def query(self):
        return True
