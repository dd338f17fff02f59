"""The part of Tensor that deals with gradients."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ingot.runtime import epoch
from ingot.runtime.array import Array
from ingot.runtime.hooks import Handle
from ingot.runtime.recorder import here
from ingot.runtime.storage import Storage
from ingot.runtime.tape import Edge, GradSlot, Leaf, Version
from ingot.runtime.views import Detach, LeafStep, Movement, Step, renewed

if TYPE_CHECKING:
    from ingot._tensor.state import Tensor

__all__ = ["Differentiable", "places"]


def places(t: Any) -> list[Step]:
    """The steps from a tensor's storage that say where its elements lie."""
    return [s for s in t._steps if isinstance(s, Movement)]


class Differentiable:
    """requires_grad, grad, backward, detach, hooks."""

    if TYPE_CHECKING:
        _array: Array
        _edge: Edge | None
        _storage: Storage | None
        _steps: tuple[Step, ...]
        _generation: float
        _version_cell: Version | None
        _slot: GradSlot | None
        _now: Callable[[], Array]
        _here: Callable[[], Tensor]
        _present: Callable[[], Tensor]
        _alias: Callable[..., Tensor]
        _base: Any
        shape: Any
        dtype: Any
    else:
        __slots__ = ()

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are put on the tape. Only leaves can be set."""
        return self._present()._edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start (or stop) recording operations on this leaf. RuntimeError for integer tensors and for non-leaves."""
        t = self._present()
        if bool(requires_grad) is (t._edge is not None):
            return self  # type: ignore[return-value]
        t._changes()
        if not requires_grad:
            if not isinstance(t._edge[0], Leaf):  # type: ignore[index]
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph "
                    "that doesn't require differentiation use var_no_grad = var.detach()."
                )
            t._edge = None
            if t._storage is not None:
                t._steps = tuple(s for s in t._steps if not (isinstance(s, LeafStep) and s.leaf.slot is self._slot))
            return self  # type: ignore[return-value]
        if self.dtype.kind not in "fc":
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        leaf = Leaf(self._grad_slot())
        t._edge = (leaf, 0)
        if t._storage is not None:
            t._steps += (LeafStep(leaf),)
        return self  # type: ignore[return-value]

    def _grad_slot(self) -> GradSlot:
        slot = self._slot
        if slot is None:
            slot = self._slot = GradSlot(self._array.type)
            slot.owner = weakref.ref(self)
            if here.recorder.tracing and self._here() is self:
                here.recorder.inner_slots.add(slot)
        return slot

    @property
    def is_leaf(self) -> bool:
        """Whether the user made this tensor, rather than an operation on tensors that require gradients."""
        edge = self._present()._edge
        return edge is None or isinstance(edge[0], Leaf)

    @property
    def grad_fn(self) -> Any:
        """The tape's node that made this tensor, or None for a leaf."""
        edge = self._present()._edge
        return None if edge is None or isinstance(edge[0], Leaf) else edge[0]

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` this is."""
        edge = self._present()._edge
        return 0 if edge is None else edge[1]

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward()` has accumulated, or None."""
        rec = here.recorder
        slot = self._slot
        if slot is None:
            if not rec.tracing:
                return None
            slot = self._grad_slot()  # a trace notes that it was looked at
        return rec.read_grad(slot)

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Differentiable):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value)}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value._array.type.shape != self._array.type.shape:
                raise RuntimeError(
                    f"assigned grad has data of a different size: {list(value.shape)}, the tensor has {list(self.shape)}"
                )
            if value.dtype is not self.dtype:
                raise RuntimeError(f"assigned grad has data of a different type: {value.dtype}, the tensor has {self.dtype}")
        rec = here.recorder
        slot = self._slot
        if slot is None:
            if value is None and not rec.tracing:
                return
            slot = self._grad_slot()
        rec.write_grad(slot, value)

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    def detach(self) -> Tensor:
        """The same memory without its history."""
        rec = here.recorder
        if rec.derives:
            return rec.detach(self)
        return self._alias((Detach(),), (rec.with_edge(self._now(), None), None))

    def detach_(self) -> Tensor:
        """Forget this tensor's history: it becomes a leaf. RuntimeError for a view."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        t = self._present()
        if t._edge is not None:
            t._changes()
            if t._storage is not None and not any(isinstance(s, Detach) for s in t._steps):
                t._storage.detach()
                t._generation = t._storage.generation
            t._steps = renewed([s for s in t._steps if not isinstance(s, LeafStep)])
        t._array, t._edge = here.recorder.with_edge(t._array, None), None
        return self  # type: ignore[return-value]

    def _changes(self) -> None:
        """Told before its memory, what it shows of that or whether it requires gradients changes: compiled functions may have seen it."""
        if self._storage is not None and self._storage.watched:
            epoch.bump()

    @property
    def data(self) -> Tensor:
        """The same memory without its history, as `detach()`; in-place writes through it are not seen by autograd."""
        return self._alias((Detach(True),), (here.recorder.with_edge(self._now(), None), None))

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Differentiable):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self.grad_fn is not None:
            raise RuntimeError("cannot set the data of a tensor that an operation made")
        rec = here.recorder
        t: Any = self
        if rec.tracing:
            now: Any = self._present()
            if value._storage is not None and value._storage is now._storage and places(value) == places(now):
                return  # its own memory, as it is
            t = rec.will_rebind(self, value)
        t._changes()
        edge = t._edge
        src = value.detach()
        t._array, t._storage = src._array, src._storage
        t._generation, t._version_cell = src._generation, None if src._storage is None else src._storage.version
        t._edge = edge
        t._steps = (*places(src), Detach() if edge is None else LeafStep(edge[0]))
        if t._slot is not None and t._slot.grad is None:
            t._slot.type = t._array.type
            if edge is not None:
                edge[0].out_types = (t._array.type,)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Handle:
        """Call `hook(grad)` whenever this tensor's gradient is computed; a Tensor that it returns takes its place."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        node, index = self._present()._edge  # type: ignore[misc]
        if node.pre_hooks is None:
            node.pre_hooks = {}
        if isinstance(node, Leaf):
            epoch.bump()  # a compiled function may have captured the leaf
        return Handle(node.pre_hooks, (index, hook))

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> Handle:
        """Call `hook(tensor)` after this leaf's `.grad` was added to. RuntimeError for a non-leaf."""
        if not self.requires_grad or not self.is_leaf:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        slot = self._grad_slot()
        if slot.post_hooks is None:
            slot.post_hooks = {}
        epoch.bump()
        return Handle(slot.post_hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in `.grad`."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.is_leaf:
            return
        node, index = self._present()._edge  # type: ignore[misc]
        if node.retained is None:
            node.retained = {}
        node.retained[index] = self._grad_slot()

    @property
    def retains_grad(self) -> bool:
        """Whether this is a non-leaf whose gradient is kept."""
        return self.grad_fn is not None and bool(self.grad_fn.retained) and self.output_nr in self.grad_fn.retained
