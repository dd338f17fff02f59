"""The sparse gradients of embeddings: rows of the weight and what they get, instead of a dense tensor that is zero but there."""

from __future__ import annotations

from collections.abc import Sequence

import ingot
from ingot._tensor import Tensor, wrap
from ingot._tensor.recording import inplace
from ingot.ir.types import TensorType
from ingot.runtime.recorder import here
from ingot.runtime.tape import GradSlot, Identity, Leaf, Node, Pair
from ingot.sparse.tensors import SparseTensor, coo

__all__ = ["possible", "with_sparse_gradient"]


class RowsLeaf(Leaf):
    """The end of the tape at rows of a leaf: adds a sparse gradient to the slot of the whole."""

    __slots__ = ("index", "padding")

    def __init__(self, slot: GradSlot, index: Tensor, padding: int | None, rows: TensorType):
        Node.__init__(self, (), (rows,))
        self.seq = 0
        self.slot = slot
        self.index = index
        self.padding = padding

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        if grads[0] is None:
            return ()
        shape, index = self.slot.type.shape, self.index
        rows = wrap(grads[0] if create_graph else (grads[0][0], None)).reshape((-1, *shape[1:]))
        if self.padding is not None:
            keep = (index != self.padding).nonzero().reshape(-1)
            index, rows = index[keep], rows[keep]
        held = here.recorder.read_grad(self.slot)
        if held is None:
            here.recorder.write_grad(self.slot, coo(index.unsqueeze(0), rows, shape))
        elif isinstance(held, SparseTensor):  # in place, so that aliases of `.grad` see it
            held._i, held._v = ingot.cat([held._i, index.unsqueeze(0)], 1), ingot.cat([held._v, rows])
            held._coalesced = False
        else:
            inplace(held, held.index_add(0, index, rows))
        owner = self.slot.owner() if self.slot.owner is not None and self.slot.post_hooks else None
        for hook in list((self.slot.post_hooks or {}).values()) if owner is not None else ():
            hook(owner)
        return ()


def possible(weight: Tensor) -> bool:
    """Whether the gradient of `weight` may become sparse: a leaf, in eager code. Elsewhere gradients are dense."""
    rec = here.recorder
    return rec.grad_enabled and not rec.tracing and not rec.level and weight.requires_grad and weight.is_leaf


def with_sparse_gradient(weight: Tensor, index: Tensor, rows: Tensor, padding: int | None) -> Tensor:
    """`rows`, which are those of the leaf `weight` at `index` (...), so that its gradient is sparse; the row `padding` gets none."""
    value = rows._owned()[0]
    leaf = RowsLeaf(weight._grad_slot(), index.reshape(-1), padding, value.type)
    return wrap((value, (Identity("EmbeddingBackward0", (leaf, 0), value.type), 0)))
