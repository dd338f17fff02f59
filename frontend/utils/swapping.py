"""`swap_tensors`: two tensors change places, and whoever refers to one finds the other."""

from __future__ import annotations

from weakref import ref

from ingot._tensor import Tensor
from ingot.runtime.recorder import here

__all__ = ["swap_tensors"]

_PARTS = ("_array", "_edge", "_storage", "_steps", "_generation", "_version_cell", "_slot", "_weak", "__class__", "__dict__")


def swap_tensors(t1: Tensor, t2: Tensor) -> None:
    """Swap two tensors, in place: values, memory, history, gradient, class and attributes (torch.utils.swap_tensors).

    They may differ in all of that. What refers to one of them (a module, an optimizer) has the other's from then on.
    TypeError for what is no tensor; CaptureError inside of a compiled function.

        >>> a, b = ingot.zeros(2), ingot.ones(3)
        >>> ingot.utils.swap_tensors(a, b)
        >>> a
        tensor([1., 1., 1.])
    """
    for t in (t1, t2):
        if not isinstance(t, Tensor):
            raise TypeError(f"swap_tensors: expected two Tensors, got {type(t).__name__}")
    here.recorder.only_outside("a compiled function cannot swap tensors: later calls would not do it again", "swap their values, or .data")
    for t in (t1, t2):
        t._changes()
    for part in _PARTS:
        first, second = getattr(t1, part), getattr(t2, part)
        setattr(t1, part, second)
        setattr(t2, part, first)
    for t in (t1, t2):
        if t._slot is not None:
            t._slot.owner = ref(t)
