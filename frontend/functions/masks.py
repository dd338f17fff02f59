"""Reading and writing where a mask is True."""

from __future__ import annotations

from typing import Any

from ingot._tensor.composites import composite
from ingot.functions.chosen import chosen
from ingot.functions.common import (
    ShapeError,
    Tensor,
    apply,
    broadcast_shapes,
    cast,
    check_tensor,
    dtype_name,
    dtypes,
    emit_out,
    filler,
    is_number,
    scalar,
)
from ingot.functions.index import taken, untouched

__all__ = ["masked_fill", "masked_scatter", "masked_select"]


def _need_mask(name: str, mask: Any) -> None:
    check_tensor(name, mask, "mask", 2)
    if mask.dtype.kind != "b":
        raise RuntimeError(f"{name} only supports boolean masks, but got mask with dtype {mask.dtype.torch_name}")


def masked_fill(input: Tensor, mask: Tensor, value: Tensor | complex) -> Tensor:
    """`input` with `value` (a number or 0-d tensor) where `mask` is True; both broadcast. The dtype of `input`.

    Fractions are cut off by integers. RuntimeError unless the mask is bool, or for a value that the dtype cannot hold.

        >>> ingot.masked_fill(ingot.zeros(2), ingot.tensor([True, False]), 1.0)
        tensor([1., 0.])
    """
    check_tensor("masked_fill", input)
    _need_mask("masked_fill", mask)
    if isinstance(value, Tensor):
        if value.ndim:
            raise ShapeError(f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
        if value.dtype.kind == "c" and input.dtype.kind not in "bc":
            raise RuntimeError(f"value cannot be converted to type {input.dtype.torch_name} without overflow")
        fill = cast(value, input.dtype)
    elif is_number(value):
        fill = filler(value, input.dtype)
    else:
        raise TypeError(f"masked_fill(): argument 'value' (position 3) must be Tensor or Number, not {type(value).__name__}")
    return apply("select", mask, fill, input)


def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements of `input` where `mask` is True, as a vector; both broadcast. Reads the mask's values.

    >>> ingot.masked_select(ingot.tensor([1, 2, 3]), ingot.tensor([True, False, True]))
    tensor([1, 3])
    """
    check_tensor("masked_select", input)
    if not isinstance(mask, Tensor) or mask.dtype.kind != "b":
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    x, m = (t if tuple(t.shape) == shape else apply("broadcast", t, attrs=(shape,)) for t in (input, mask))
    return emit_out(taken(x, chosen(m)), out)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`input` with the places where `mask` is True filled from the elements of `source`, in order; the mask broadcasts.

    RuntimeError when `source` has too few elements (or another dtype).
    """
    check_tensor("masked_scatter", input)
    _need_mask("masked_scatter", mask)
    check_tensor("masked_scatter", source, "source", 3)
    if input.dtype is not source.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got" f"{dtype_name(input.dtype)} and "
            f"{dtype_name(source.dtype)}"
        )
    shape = broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    if not source.numel():
        if bool(mask.any()):
            raise ShapeError("masked_scatter: the source has fewer elements than the mask has places")
        return untouched(apply("broadcast", input, attrs=(shape,)), source)
    return _masked_scatter(apply("broadcast", input, attrs=(shape,)), apply("broadcast", mask, attrs=(shape,)), source)


@composite
def _masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    n = x.numel()
    flat = apply("reshape", mask, attrs=((n,),))
    place = apply("cumsum", cast(flat, dtypes.i64), attrs=(0, False)) - 1
    place = apply("select", flat, place, scalar(0, dtypes.i64))  # out of range where the source is too short: an error at run time
    taken = apply("index_get", apply("reshape", source, attrs=((source.numel(),),)), place, attrs=((0,),))
    return apply("select", mask, apply("reshape", taken, attrs=(tuple(x.shape),)), x)
