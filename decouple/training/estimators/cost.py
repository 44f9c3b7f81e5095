"""What an estimate costs, in the unit that all estimators share: the force evaluation.

One unit is one real evaluation of the force for the whole batch. A product with the linearised
Jacobian or its transpose costs one (its attention a little more), reverse differentiation with
respect to state and weights costs two, a complex evaluation two (its attention four). The head is
counted beside: how it compares with the block depends on the vocabulary.
"""

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from decouple.models.equilibrium_config import EquilibriumConfig


class Evaluations(NamedTuple):
    """Work done, each field in evaluations for the whole batch; add two with `plus`."""

    forces: float = 0
    """Evaluations of the force, a complex one counted as two."""

    jacobian_products: float = 0
    """Products with the linearised Jacobian."""

    transposed_products: float = 0
    """Products with its transpose."""

    reversals: float = 0
    """Reverse differentiations of one force with respect to state and weights."""

    heads: float = 0
    """Closed-form cost gradients: logits and their way back, two products with the head."""

    def plus(self, **more: float) -> "Evaluations":
        """Add to the fields named."""
        return self._replace(**{name: getattr(self, name) + value for name, value in more.items()})

    @property
    def total(self) -> float:
        """Force evaluations in all, the head apart."""
        products = self.jacobian_products + self.transposed_products
        return self.forces + products + 2 * self.reversals


def arithmetic(
    evaluations: Evaluations, config: EquilibriumConfig, vocab_size: int, batch: int, length: int
) -> float:
    """Floating-point operations of the matrix products behind a count of evaluations.

    Args:
        evaluations: What was evaluated, without complex forces, whose attention costs more.
        config: Shape of the model.
        vocab_size: Rows of the head.
        batch: B.
        length: T.
    """
    tokens = batch * length
    maps = 2 * tokens * (4 + 2 * config.expansion) * config.width**2
    attention = 4 * tokens * length * config.width  # all T² scores, as the block computes them
    products = evaluations.jacobian_products + evaluations.transposed_products
    block = (
        evaluations.forces * (maps + attention)
        + products * (maps + 2 * attention)
        + evaluations.reversals * 2 * (maps + attention)
    )
    return block + evaluations.heads * 4 * tokens * config.width * vocab_size


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of tensors made while it is entered: how many live at once, at most.

    Storages are counted when an operation returns them and forgotten when they are freed, so saved
    activations count and what lived before does not. Works the same on every device.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation, then count what it returned."""
        result = func(*args, **(kwargs or {}))
        given = {
            leaf.untyped_storage()._cdata
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, Tensor)
        }
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given:
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def forget(_: object) -> None:
            self.live -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)
