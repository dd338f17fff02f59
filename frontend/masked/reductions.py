"""Reductions, running ones and normalisations of the elements that a mask keeps: what it leaves out takes no part.

`mask` is a bool tensor that broadcasts with `input` (which it may be left out for, or come with: a MaskedTensor). True keeps an element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import dim_list, dtypes, one_dim
from ingot.masked.tensor import MaskedTensor

__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean", "median", "norm",
    "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip

Dims = int | Sequence[int] | None


def _parts(input: Any, mask: Tensor | None, dtype: Any) -> tuple[Tensor, Tensor | None]:
    """The values, in `dtype`, and what is kept of them, in their shape; None: all."""
    if isinstance(input, MaskedTensor):
        own = input.get_mask()
        mask = own if mask is None else own.logical_and(mask)
        input = input.get_data()
    if not isinstance(input, Tensor):
        raise TypeError(f"expected a Tensor or a MaskedTensor, got {type(input).__name__}")
    x = input if dtype is None else input.to(dtype)
    return x, None if mask is None else mask.to(dtypes.bool_).expand(*x.shape)


def _filled(x: Tensor, mask: Tensor | None, value: Any) -> Tensor:
    """The values, and `value` where nothing is kept; its derivative does not reach what is left out."""
    return x if mask is None else ingot.where(mask, x, ingot.full((), value, dtype=x.dtype))


def _result(input: Any, value: Tensor, dims: Dims, keepdim: bool, mask: Tensor | None) -> Any:
    """`value`, as a MaskedTensor if `input` is one: kept is what has an element that is."""
    if not isinstance(input, MaskedTensor):
        return value
    assert mask is not None
    return MaskedTensor(value, _any(mask, dims, keepdim))


def _any(mask: Tensor, dims: Dims, keepdim: bool) -> Tensor:
    axes = dim_list(dims, mask.ndim)
    return mask.any(dim=axes, keepdim=keepdim) if axes else mask


def _integral(x: Tensor) -> Tensor:
    """Small integers as int64, bools too: in what torch adds and multiplies them."""
    return x.to(dtypes.i64) if x.dtype.kind in "iub" else x


def _least(dtype: Any) -> Any:
    return -math.inf if dtype.kind == "f" else ingot.iinfo(dtype).min if dtype.kind in "iu" else False


def _most(dtype: Any) -> Any:
    return math.inf if dtype.kind == "f" else ingot.iinfo(dtype).max if dtype.kind in "iu" else True


def sum(input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Any:
    """The sum of what is kept, 0 of nothing.

    >>> ingot.masked.sum(ingot.tensor([1.0, 2.0, 4.0]), mask=ingot.tensor([True, False, True]))
    tensor(5.)
    """
    x, kept = _parts(input, mask, dtype)
    return _result(input, _filled(_integral(x), kept, 0).sum(dim, keepdim), dim, keepdim, kept)


def prod(input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Any:
    """The product of what is kept, 1 of nothing."""
    x, kept = _parts(input, mask, dtype)
    y = _filled(_integral(x), kept, 1)
    for d in sorted(dim_list(dim, y.ndim), reverse=True):
        y = y.prod(d, keepdim=keepdim)
    return _result(input, y, dim, keepdim, kept)


def amax(input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Any:
    """The largest of what is kept, the least number there is of nothing."""
    x, kept = _parts(input, mask, dtype)
    return _result(input, _filled(x, kept, _least(x.dtype)).amax(dim_list(dim, x.ndim), keepdim), dim, keepdim, kept)


def amin(input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Any:
    """The least of what is kept, the largest number there is of nothing."""
    x, kept = _parts(input, mask, dtype)
    return _result(input, _filled(x, kept, _most(x.dtype)).amin(dim_list(dim, x.ndim), keepdim), dim, keepdim, kept)


def argmax(input: Any, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Any:
    """Where the largest of what is kept is, the first of equals, in the dtype of the input as in torch; 0 for nothing."""
    x, kept = _parts(input, mask, dtype)
    return _result(input, _filled(x, kept, _least(x.dtype)).argmax(dim, keepdim).to(x.dtype), dim, keepdim, kept)


def argmin(input: Any, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Any:
    """Where the least of what is kept is, the first of equals, in the dtype of the input as in torch; 0 for nothing."""
    x, kept = _parts(input, mask, dtype)
    return _result(input, _filled(x, kept, _most(x.dtype)).argmin(dim, keepdim).to(x.dtype), dim, keepdim, kept)


def _count(x: Tensor, kept: Tensor | None, axes: tuple[int, ...], keepdim: bool) -> Any:
    if kept is None:
        return math.prod(x.shape[a] for a in axes)
    return kept.to(dtypes.i64).sum(axes, keepdim) if axes else kept.to(dtypes.i64)


def mean(input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Any:
    """The mean of what is kept, NaN of nothing. RuntimeError for integers.

    >>> ingot.masked.mean(ingot.tensor([1.0, 2.0, 4.0]), mask=ingot.tensor([True, False, True]))
    tensor(2.5000)
    """
    x, kept = _parts(input, mask, dtype)
    if x.dtype.kind not in "fc":
        raise RuntimeError(f"masked.mean: expected a floating-point dtype, got {x.dtype}; pass dtype=")
    axes = dim_list(dim, x.ndim)
    total = _filled(x, kept, 0).sum(axes, keepdim) if axes else _filled(x, kept, 0)
    return _result(input, total / _count(x, kept, axes, keepdim), dim, keepdim, kept)


def var(
    input: Any, dim: Dims = None, unbiased: bool | None = None, *, correction: float | None = None, keepdim: bool = False,
    dtype: Any = None, mask: Tensor | None = None,
) -> Any:  # fmt: skip
    """The variance of what is kept, with its number less `correction` (1, or 0 if not `unbiased`) for a divisor."""
    if unbiased is not None and correction is not None:
        raise ValueError("Only one of unbiased and correction may be given")
    less = (1 if unbiased is not False else 0) if correction is None else correction
    x, kept = _parts(input, mask, dtype)
    x = x if x.dtype.kind in "fc" else x.to(ingot.get_default_dtype())
    axes = dim_list(dim, x.ndim)
    middle = _filled(x, kept, 0).sum(axes, True) / _count(x, kept, axes, True)
    gap = _filled(x - middle, kept, 0)
    n = _count(x, kept, axes, keepdim)
    over = max(n - less, 0) if isinstance(n, int) else (n - less).clamp_min(0)
    return _result(input, ((gap * gap.conj()).real.sum(axes, keepdim) / over).to(x.dtype), dim, keepdim, kept)


def std(
    input: Any, dim: Dims = None, unbiased: bool | None = None, *, correction: float | None = None, keepdim: bool = False,
    dtype: Any = None, mask: Tensor | None = None,
) -> Any:  # fmt: skip
    """The root of `var`."""
    found = var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask)
    return found.sqrt()


def norm(input: Any, ord: float | None = 2.0, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The vector norm of what is kept."""
    x, kept = _parts(input, mask, dtype)
    order = 2.0 if ord is None else float(ord)
    y = ingot.linalg.vector_norm(_filled(x, kept, math.inf if order == -math.inf else 0), order, dim_list(dim, x.ndim), keepdim)
    return _result(input, y, dim, keepdim, kept)


def median(input: Any, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Any:
    """The lower median of what is kept along `dim`, NaN of nothing. ValueError for integers with a mask."""
    x, kept = _parts(input, mask, dtype)
    if kept is not None and x.dtype.kind != "f":
        raise ValueError(f"masked median expects a floating-point tensor, got {x.dtype}")
    return _result(input, ingot.nanmedian(_filled(x, kept, math.nan), dim, keepdim)[0], dim, keepdim, kept)


def logsumexp(input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Any:
    """The logarithm of the sum of exp of what is kept, -infinity of nothing; of integers as one, towards zero, the least one of nothing.

    NotImplementedError for bools.
    """
    x, kept = _parts(input, mask, dtype)
    if x.dtype.kind == "b":
        raise NotImplementedError("identity of logsumexp on bool input")
    y = x if x.dtype.kind in "fc" else x.to(ingot.get_default_dtype())
    return _result(input, ingot.logsumexp(_filled(y, kept, -math.inf), dim_list(dim, x.ndim), keepdim).to(x.dtype), dim, keepdim, kept)


def logaddexp(input: Any, other: Any, *, dtype: Any = None, input_mask: Tensor | None = None, other_mask: Tensor | None = None) -> Any:
    """log(exp(input) + exp(other)); what a mask leaves out counts as -infinity."""
    (a, k), (b, m) = _parts(input, input_mask, dtype), _parts(other, other_mask, dtype)
    value = ingot.logaddexp(_filled(a, k, -math.inf), _filled(b, m, -math.inf))
    if not isinstance(input, MaskedTensor):
        return value
    assert k is not None
    return MaskedTensor(value, k if m is None else k.logical_or(m))


def _along(name: str, fn: Callable[[Tensor, int], Tensor], fill: Any, doc: str) -> Callable[..., Any]:
    def function(input: Any, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Any:
        x, kept = _parts(input, mask, dtype)
        made = fn(_filled(x, kept, fill), one_dim(dim, x.ndim))
        return MaskedTensor(made, kept) if isinstance(input, MaskedTensor) and kept is not None else made

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


cumsum = _along("cumsum", lambda x, dim: ingot.cumsum(x, dim, dtype=x.dtype), 0, "The running sums of what is kept along `dim`.")
cumprod = _along("cumprod", lambda x, dim: ingot.cumprod(x, dim, dtype=x.dtype), 1, "The running products of what is kept along `dim`.")
softmax = _along("softmax", ingot.softmax, -math.inf, """exp(x) / sum exp(x) of what is kept along `dim`: 0 elsewhere, NaN of nothing.

    >>> ingot.masked.softmax(ingot.tensor([1.0, 5.0, 1.0]), 0, mask=ingot.tensor([True, False, True]))
    tensor([0.5000, 0.0000, 0.5000])
    """)  # fmt: skip
log_softmax = _along("log_softmax", ingot.log_softmax, -math.inf, "The logarithm of `softmax`: -infinity elsewhere.")
softmin = _along("softmin", lambda x, dim: ingot.softmax(-x, dim), math.inf, "`softmax` of -x.")


def normalize(
    input: Any, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Tensor | None = None
) -> Any:
    """What is kept, divided by its norm along `dim` (by `eps`, if that is more); 0 elsewhere."""
    x, kept = _parts(input, mask, dtype)
    y = _filled(x, kept, 0)
    y = y / norm(x, ord, dim, keepdim=True, mask=kept).clamp_min(eps)
    return MaskedTensor(y, kept) if isinstance(input, MaskedTensor) and kept is not None else y


for _name in __all__:
    if _name not in ("logaddexp", "normalize"):
        setattr(MaskedTensor, _name, globals()[_name])
