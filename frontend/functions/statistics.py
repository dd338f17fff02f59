"""Statistics: the mode, covariance and correlation, histograms."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ingot._tensor.composites import composite
from ingot.functions import numpy_names
from ingot.functions.common import Tensor, apply, cast, check_tensor, dtypes, emit_out, float_dtype, one_dim, scalar
from ingot.functions.complex import complex
from ingot.functions.creation import linspace
from ingot.functions.extrema import ValuesIndices
from ingot.functions.reduce import kept_shape
from ingot.functions.search import searchsorted
from ingot.functions.sort import _sort
from ingot.runtime.recorder import here

__all__ = ["corrcoef", "cov", "histogram", "mode"]


def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: tuple | None = None) -> ValuesIndices:
    """The most frequent element along `dim` (the smallest of several), as (values, indices): the last index where it stands.

    IndexError for a dim out of range or of extent 0.

        >>> ingot.mode(ingot.tensor([2, 0, 2, 1])).values
        tensor(2)
    """
    check_tensor("mode", input)
    axis = one_dim(dim, input.ndim)
    if input.ndim and not input.shape[axis]:
        raise IndexError(f"mode(): Expected reduction dim {axis} to have non-zero size.")
    return emit_out(ValuesIndices(*_mode(input, axis, bool(keepdim))), out)


@composite
def _mode(x: Tensor, axis: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    if not x.ndim:
        return apply("reshape", x, attrs=((),)), apply("broadcast", scalar(0, dtypes.i64), attrs=((),))
    values, indices = _sort(x, axis, False)
    shape = tuple(x.shape)
    place = apply("iota", attrs=(dtypes.i64, shape, axis))
    one, none = (1,) * x.ndim, (0,) * x.ndim
    right = apply("slice", values, attrs=(tuple(int(d == axis) for d in range(x.ndim)), shape, one))
    left = apply("slice", values, attrs=(none, tuple(m - (d == axis) for d, m in enumerate(shape)), one))
    new = apply("pad", right != left, scalar(True, dtypes.bool_), attrs=(tuple(int(d == axis) for d in range(x.ndim)), none, none))
    start, _ = apply("cummax", apply("select", new, place, scalar(0, dtypes.i64)), attrs=(axis,))
    length = place - start  # of the run of equals that ends here, less one
    if x.dtype.kind == "f":
        length = length * 2 + cast(values != values, dtypes.i64)  # NaN, which equals nothing, is the first of single elements
    best = apply("argmax", length, attrs=(axis,))
    best = apply("reshape", best, attrs=(kept_shape(shape, (axis,), True),))
    found = apply("gather", values, best, attrs=(axis,)), apply("gather", indices, best, attrs=(axis,))
    if keepdim:
        return found
    shape = kept_shape(shape, (axis,), False)
    return apply("reshape", found[0], attrs=(shape,)), apply("reshape", found[1], attrs=(shape,))


def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """The covariance matrix of the variables in the rows of `input` (a vector is one variable).

    fweights: how often each observation counts (integers); aweights: how much it weighs. RuntimeError for other ranks and shapes.

        >>> ingot.cov(ingot.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    check_tensor("cov", input)
    if input.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions")
    if input.dtype.kind == "b":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape((1, -1)) if input.ndim < 2 else input
    n = x.shape[1]
    for name, w, kinds in (("fweights", fweights, "iu"), ("aweights", aweights, "f")):
        if w is None:
            continue
        check_tensor("cov", w, name)
        if w.ndim > 1:
            raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {w.ndim} dimensions")
        if w.dtype.kind not in kinds:
            what = "integral" if kinds == "iu" else "floating point"
            raise RuntimeError(f"cov(): expected {name} to have {what} dtype but got {name} with {w.dtype} dtype")
        if w.numel() != n:
            raise RuntimeError(f"cov(): expected {name} to have the same numel as there are observations but got {w.numel()} != {n}")
        if not here.recorder.tracing and w.numel() and bool((w.detach() < 0).any()):
            raise RuntimeError(f"cov(): {name} cannot be negative")
    dtype = float_dtype(x.dtype)
    x = cast(x, dtype)
    weights = None
    if fweights is not None:
        weights = fweights.reshape(-1)
    if aweights is not None:
        weights = aweights.reshape(-1) if weights is None else weights * aweights.reshape(-1)
    if weights is None:
        centred = x - x.mean(1, keepdim=True)
        c = (centred @ centred.transpose(0, 1).conj()) / float(max(n - correction, 0))
    else:
        total = weights.sum()
        average = (x * weights).sum(1, keepdim=True) / total
        centred = x - average
        if aweights is None or correction == 0:
            norm = total - (correction if aweights is None else 0)
        else:
            square = (weights * aweights.reshape(-1)).sum()
            norm = total - correction * square / total
        norm = cast(norm, dtype.to_real())
        c = ((centred * weights) @ centred.transpose(0, 1).conj()) / apply("select", norm < 0, scalar(0, norm.dtype), norm)
    return c.reshape(()) if c.numel() == 1 else c


def corrcoef(input: Tensor) -> Tensor:
    """The matrix of Pearson's correlation coefficients of the variables in the rows of `input`, in [-1, 1].

    >>> ingot.corrcoef(ingot.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    check_tensor("corrcoef", input)
    if input.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions")
    c = cov(input)
    if not c.ndim:
        return c / c
    deviation = c.diagonal().real.sqrt()
    c = c / deviation.unsqueeze(1) / deviation
    return complex(c.real.clip(-1, 1), c.imag.clip(-1, 1)) if c.dtype.kind == "c" else c.clip(-1, 1)


class HistogramDD(NamedTuple):
    """The result of `histogramdd`."""

    hist: Tensor
    bin_edges: tuple[Tensor, ...]


class Histogram(NamedTuple):
    """What `histogram` returns."""

    hist: Tensor
    bin_edges: Tensor


def histogram(
    input: Tensor, bins: int | Tensor, *, range: tuple[float, float] | None = None, weight: Tensor | None = None, density: bool = False,
    out: tuple | None = None,
) -> Histogram:  # fmt: skip
    """(hist, bin_edges): how many elements (or how much `weight`) each bin holds; the last bin includes its right edge.

    bins: a number of equal bins over `range` (by default from the smallest to the largest element, which reads the values),
    or their edges. `density`: the integral is 1. RuntimeError for integers, or edges that are not a vector.

        >>> ingot.histogram(ingot.tensor([1.0, 2.0, 1.0]), bins=4, range=(0.0, 3.0)).hist
        tensor([0., 2., 1., 0.])
    """

    check_tensor("histogram", input)
    if input.dtype.kind != "f":
        raise NotImplementedError(f'"histogram_cpu" not implemented for {input.dtype}')
    x = input.reshape(-1)
    edges: Any
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or not bins.numel():
            raise RuntimeError(f"histogram(): bins tensor should be a vector with at least one element, got {bins.ndim} dimensions")
        if bins.dtype is not input.dtype:
            raise RuntimeError(f"histogram(): input tensor and bins tensors should have the same dtype, got {input.dtype} and {bins.dtype}")
        edges = bins
    else:
        if bins <= 0:
            raise RuntimeError(f"histogram(): bins must be > 0, but got {bins}")
        low, high = range if range is not None else ((float(x.min()), float(x.max())) if x.numel() else (0.0, 1.0))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"torch.histogram: dimension 0's range [{low}, {high}] is not finite")
        if low > high:
            raise RuntimeError(f"histogram(): min should not exceed max, but got min {low} max {high}")
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = linspace(low, high, bins + 1, dtype=input.dtype)
    n = edges.numel() - 1
    at = searchsorted(edges, x, right=True) - 1
    at = apply("select", x == edges[-1], scalar(n - 1, dtypes.i64), at)
    inside = apply("logical_and", at >= 0, at < n)
    if weight is not None:
        if tuple(weight.shape) != tuple(input.shape):
            raise RuntimeError("histogram(): if weight tensor is provided it should have the same shape as the input tensor")
        counted = cast(weight.reshape(-1), input.dtype)
    else:
        counted = apply("broadcast", scalar(1, input.dtype), attrs=(tuple(x.shape),))
    counted = apply("select", inside, counted, scalar(0, input.dtype))
    hist = input.new_zeros(n)
    if n:
        hist = hist.index_add(0, apply("select", inside, at, scalar(0, dtypes.i64)), counted)
    if density:
        hist = hist / hist.sum() / edges.diff()
    return emit_out(Histogram(hist, edges), out)


numpy_names.install(globals(), __all__)
