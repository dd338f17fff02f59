"""The largest and the smallest: their values, and where they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ingot._tensor.composites import composite
from ingot.functions import binary
from ingot.functions.common import (
    Tensor,
    apply,
    check_tensor,
    dim_list,
    dtypes,
    emit_out,
    is_number,
    one_dim,
    scalar,
)
from ingot.functions.reduce import kept_shape, reduced

__all__ = ["ValuesIndices", "amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]

Dims = int | Sequence[int] | None


class ValuesIndices(NamedTuple):
    """What `max`, `min`, `median`, `kthvalue`, `sort`, `topk`, `cummax` and `cummin` give along a dim."""

    values: Tensor
    indices: Tensor


# --- extrema ----------------------------------------------------------------------------------------------------------

_BOOL = {"reduce_max": "reduce_or", "reduce_min": "reduce_and"}


def _nonempty(name: str, x: Tensor, axes: tuple[int, ...], whole: bool, error: type[Exception] = IndexError) -> None:
    if x.numel() and math.prod(x.shape) or not x.ndim:
        return
    if whole:
        if not x.numel():
            raise error(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' "
                "argument."
            )
        return
    for a in axes:
        if x.shape[a] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {a} to have non-zero size.")


def _extreme(name: str, op: str, input: Any, dim: Any, keepdim: bool) -> Tensor:
    check_tensor(name, input)
    axes = dim_list(dim, input.ndim)
    whole = dim is None or (isinstance(dim, (tuple, list)) and not dim)
    _nonempty(name, input, axes, whole, RuntimeError if name in ("max", "min") else IndexError)
    return reduced(_BOOL[op] if input.dtype.kind == "b" else op, input, axes, bool(keepdim))


def amax(input: Tensor, dim: Dims = (), keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The largest element over `dim` (all by default); NaN wins. Ties share the gradient. IndexError over no elements.

    >>> ingot.amax(ingot.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1)
    tensor([5., 3.])
    """
    return emit_out(_extreme("amax", "reduce_max", input, dim, keepdim), out)


def amin(input: Tensor, dim: Dims = (), keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The smallest element over `dim` (all by default); NaN wins. Ties share the gradient. IndexError over no elements.

    >>> ingot.amin(ingot.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1)
    tensor([1., 2.])
    """
    return emit_out(_extreme("amin", "reduce_min", input, dim, keepdim), out)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """(`amin`, `amax`) over one `dim`, or over all."""
    return amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim)


def _arg(name: str, op: str, input: Any, dim: Any, keepdim: bool) -> Tensor:
    check_tensor(name, input)
    if input.dtype.kind == "b":
        raise RuntimeError(f"{name}(): does not support bool input")
    axes = dim_list(None if dim is None else one_dim(dim, input.ndim), input.ndim)
    _nonempty(name, input, axes, dim is None)
    return _arg_of(input, op, None if dim is None else (axes[0] if axes else 0), bool(keepdim))


@composite
def _arg_of(x: Tensor, op: str, axis: int | None, keepdim: bool) -> Tensor:
    rank = x.ndim
    if axis is None or not rank:
        y = apply(op, apply("reshape", x, attrs=((x.numel(),),)), attrs=(0,))
        return apply("reshape", y, attrs=((1,) * rank if keepdim else (),))
    y = apply(op, x, attrs=(axis,))
    return apply("reshape", y, attrs=(kept_shape(x.shape, (axis,), keepdim),))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Index of the largest element along `dim`, or in the flattened tensor. The first of equals; int64.

    RuntimeError for bool, IndexError over no elements.

        >>> ingot.argmax(ingot.tensor([1.0, 5.0, 3.0]))
        tensor(1)
    """
    return emit_out(_arg("argmax", "argmax", input, dim, keepdim), out)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Index of the smallest element along `dim`, or in the flattened tensor. The first of equals; int64.

    RuntimeError for bool, IndexError over no elements.

        >>> ingot.argmin(ingot.tensor([1.0, 5.0, 3.0]))
        tensor(0)
    """
    return emit_out(_arg("argmin", "argmin", input, dim, keepdim), out)


@composite
def _value_and_index(x: Tensor, arg: str, axis: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """Values through a gather, so that the gradient goes to the chosen element alone."""
    if not x.ndim:
        return apply("reshape", x, attrs=((),)), scalar(0, dtypes.i64)
    index = apply(arg, x, attrs=(axis,))
    index = apply("reshape", index, attrs=(kept_shape(x.shape, (axis,), True),))
    values = apply("gather", x, index, attrs=(axis,))
    shape = kept_shape(x.shape, (axis,), keepdim)
    return apply("reshape", values, attrs=(shape,)), apply("reshape", index, attrs=(shape,))


def _max_or_min(name: str, input: Any, dim: Any, keepdim: bool, out: Any) -> Any:
    check_tensor(name, input)
    if dim is None:
        return emit_out(_extreme(name, f"reduce_{name}", input, None, False), out)
    if isinstance(dim, Tensor) or (is_number(dim) and isinstance(dim, float)):
        return getattr(binary, f"{name}imum")(input, dim, out=out)
    axis = one_dim(dim, input.ndim)
    _nonempty(name, input, (axis,) if input.ndim else (), False)
    return emit_out(ValuesIndices(*_value_and_index(input, f"arg{name}", axis, bool(keepdim))), out)


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None, out: Any = None) -> Any:
    """The largest element; with `dim`, (values, indices) along it; with a Tensor, the elementwise maximum.

    RuntimeError over no elements, IndexError for an empty dim.

        >>> ingot.max(ingot.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1).indices
        tensor([1, 0])
    """
    return _max_or_min("max", input, dim if other is None else other, keepdim, out)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None, out: Any = None) -> Any:
    """The smallest element; with `dim`, (values, indices) along it; with a Tensor, the elementwise minimum.

    RuntimeError over no elements, IndexError for an empty dim.

        >>> ingot.min(ingot.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1).values
        tensor([1., 2.])
    """
    return _max_or_min("min", input, dim if other is None else other, keepdim, out)
