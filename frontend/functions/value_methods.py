"""Methods that fill a tensor with a number, and `backward`."""

from __future__ import annotations

from typing import Any

from ingot.functions.common import Tensor, apply, cast, dtypes, filler, is_number, scalar, store
from ingot.functions.numpy_names import methods

__all__: list[str] = []


def _fill_(self: Tensor, value: Any) -> Tensor:
    """Fill with a number or a 0-d tensor, in place. RuntimeError for a tensor with dims."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
        fill = cast(value, self.dtype)
    elif is_number(value):
        fill = filler(value, self.dtype)
    else:
        raise TypeError(f"fill_(): argument 'value' (position 1) must be Number, not {type(value).__name__}")
    part = self
    for d, (n, step) in enumerate(zip(self.shape, self.stride() if self._storage is not None else ())):
        if step == 0 and n > 1:  # an expanded dim is one element in memory
            part = part.narrow(d, 0, 1)  # type: ignore[attr-defined]
    store(part, apply("broadcast", fill, attrs=(tuple(part.shape),)))
    return self


def _zero_(self: Tensor) -> Tensor:
    """Fill with zeros, in place."""
    return _fill_(self, 0)


def _fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Fill the main diagonal of a matrix, in place; with `wrap`, again after each square of a tall one."""
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    n, m = self.shape[0], self.shape[-1]
    if self.ndim > 2:
        if len(set(self.shape)) > 1:
            raise RuntimeError("all dimensions of input must be of equal length")
        place = apply("iota", attrs=(dtypes.i64, tuple(self.shape), 0))
        here = apply("eq", place, place)
        for d in range(1, self.ndim):
            same = apply("eq", place, apply("iota", attrs=(dtypes.i64, tuple(self.shape), d)))
            here = apply("logical_and", here, same)
    else:
        flat = apply("iota", attrs=(dtypes.i64, (n * m,), 0))
        here = apply("eq", apply("remainder", flat, scalar(m + 1, dtypes.i64)), scalar(0, dtypes.i64))
        if not wrap:
            here = apply("logical_and", here, apply("lt", flat, scalar(m * m, dtypes.i64)))
        here = apply("reshape", here, attrs=((n, m),))
    return store(self, apply("select", here, scalar(fill_value, self.dtype), self))


def _backward(self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None) -> None:
    """Add the gradients of this tensor to the `.grad` of the leaves (or of `inputs` only).

    `gradient` may be left out for a tensor of one element. RuntimeError if nothing here requires gradients.
    """
    from ingot.autograd import engine

    engine.backward(self, gradient, retain_graph, create_graph, inputs)


METHODS = methods(fill_=_fill_, zero_=_zero_, fill_diagonal_=_fill_diagonal_, backward=_backward)
