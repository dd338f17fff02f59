"""The largest and the smallest: their values, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ingot._tensor.composites import composite, keeps
from ingot.functions import binary, numpy_names, reduce
from ingot.functions.common import (
    OPS,
    Tensor,
    apply,
    check_tensor,
    dtypes,
    emit_out,
    is_number,
    one_dim,
    scalar,
)
from ingot.functions.reduce import kept_shape, need_elements, op_for, reduced
from ingot.ir.facts import Kept
from ingot.ir.public import Reduce

__all__ = ["aminmax", "max", "min"]

Dims = int | Sequence[int] | None


class ValuesIndices(NamedTuple):
    """What `max`, `min`, `median`, `kthvalue`, `sort`, `topk`, `cummax` and `cummin` give along a dim."""

    values: Tensor
    indices: Tensor


class Extremes(NamedTuple):
    """What `aminmax` gives."""

    min: Tensor
    max: Tensor


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False, out: tuple | None = None) -> tuple[Tensor, Tensor]:
    """(min, max): `amin` and `amax` over one `dim`, or over all."""
    found = Extremes(reduce.amin(input, dim, keepdim), reduce.amax(input, dim, keepdim))  # type: ignore[attr-defined]
    return emit_out(found, out)


@composite
@keeps(Kept.NOTHING)
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
        axes = tuple(range(input.ndim))
        need_elements(name, input, axes, True, RuntimeError)
        op = OPS[f"reduce_{name}"]
        assert isinstance(op.public, Reduce)
        return emit_out(reduced(op_for(name, op, op.public, input), input, axes, False), out)
    if isinstance(dim, Tensor) or (is_number(dim) and isinstance(dim, float)):
        return getattr(binary, f"{name}imum")(input, dim, out=out)
    axis = one_dim(dim, input.ndim)
    need_elements(name, input, (axis,) if input.ndim else (), False)
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


numpy_names.install(globals(), __all__)
