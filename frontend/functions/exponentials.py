"""logsumexp and softmax: exponentials of what is left when the largest is taken away, so that none overflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingot._tensor.composites import composite, keeps
from ingot.functions import numpy_names
from ingot.functions.common import (
    Tensor,
    apply,
    cast,
    cast_out,
    check_tensor,
    dim_list,
    dtypes,
    emit_out,
    float_dtype,
    one_dim,
    refuse,
    scalar,
    stop_gradient,
    upcast,
)
from ingot.functions.reduce import count, kept_shape, reduced
from ingot.ir.facts import Kept

__all__ = ["log_softmax", "logsumexp", "softmax"]


def _finite_max(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The maximum over `axes` (kept), infinite ones as 0, without gradient: shifting by it changes no result."""
    top = apply("reduce_max", stop_gradient(x), attrs=(axes,))
    return apply("select", apply("isinf", top), scalar(0, x.dtype), top)


def logsumexp(input: Tensor, dim: int | Sequence[int], keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """log(sum(exp(input))) over `dim`, without overflow. Integers give the default float dtype.

    >>> ingot.logsumexp(ingot.tensor([1000.0, 1000.0]), 0)
    tensor(1000.6932)
    """
    check_tensor("logsumexp", input)
    x = cast(input, float_dtype(input.dtype))
    return cast_out(_logsumexp(x, dim_list(dim, input.ndim), bool(keepdim)), out)


@composite
@keeps(Kept.BOTH)
def _logsumexp(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    y = upcast(x)
    if not axes and y.dtype.kind != "c":  # of a complex number the imaginary part comes back between -pi and pi
        return cast(y, x.dtype)
    if not count(x.shape, axes):
        return cast(apply("log", reduced("reduce_sum", apply("exp", y), axes, keepdim)), x.dtype)
    top = cast(_finite_max(apply("real", y) if y.dtype.kind == "c" else y, axes), y.dtype)
    total = apply("log", reduced("reduce_sum", apply("exp", y - top), axes, True)) + top
    return cast(apply("reshape", total, attrs=(kept_shape(x.shape, axes, keepdim),)), x.dtype)


def _soft(name: str, input: Any, dim: Any, dtype: Any) -> tuple[Tensor, int]:
    check_tensor(name, input)
    x = input if dtype is None else cast(input, dtype)
    if x.dtype.kind != "f":
        raise refuse(name, x.dtype)
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1  # torch's deprecated implicit choice
    return x, one_dim(dim, x.ndim)


def softmax(input: Tensor, dim: int | None = None, dtype: dtypes.DType | None = None, *, out: Tensor | None = None) -> Tensor:
    """exp(input) normalised to sum 1 along `dim`, without overflow. RuntimeError unless floating (or cast by `dtype`).

    >>> ingot.softmax(ingot.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([0.0900, 0.2447, 0.6652])
    """
    return emit_out(_softmax(*_soft("softmax", input, dim, dtype)), out)


def log_softmax(input: Tensor, dim: int | None = None, dtype: dtypes.DType | None = None, *, out: Tensor | None = None) -> Tensor:
    """log(softmax(input)) along `dim`, computed without the intermediate underflow.

    >>> ingot.log_softmax(ingot.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([-2.4076, -1.4076, -0.4076])
    """
    return emit_out(_log_softmax(*_soft("log_softmax", input, dim, dtype)), out)


def _shifted(x: Tensor, axis: int) -> Tensor:
    y = upcast(x)
    return y - apply("reduce_max", stop_gradient(y), attrs=((axis,),))


@composite
@keeps(Kept.RESULTS)
def _softmax(x: Tensor, axis: int) -> Tensor:
    shape = tuple(x.shape)
    if shape and not shape[axis]:
        return apply("reshape", x, attrs=(shape,))
    if not shape:
        x = apply("reshape", x, attrs=((1,),))
    e = apply("exp", _shifted(x, axis))
    y = cast(e / apply("reduce_sum", e, attrs=((axis,),)), x.dtype)
    return y if shape else apply("reshape", y, attrs=((),))


@composite
@keeps(Kept.RESULTS)
def _log_softmax(x: Tensor, axis: int) -> Tensor:
    shape = tuple(x.shape)
    if shape and not shape[axis]:
        return apply("reshape", x, attrs=(shape,))
    if not shape:
        x = apply("reshape", x, attrs=((1,),))
    z = _shifted(x, axis)
    y = cast(z - apply("log", apply("reduce_sum", apply("exp", z), attrs=((axis,),))), x.dtype)
    return y if shape else apply("reshape", y, attrs=((),))


numpy_names.install(globals(), __all__)
