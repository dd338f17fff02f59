"""Running sums, products and extrema; differences; the trapezoid rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingot._tensor.composites import composite, keeps
from ingot.functions import numpy_names
from ingot.functions.binary import logaddexp
from ingot.functions.common import (
    Number,
    ShapeError,
    Tensor,
    apply,
    cast,
    cast_out,
    check_tensor,
    dtypes,
    emit_out,
    float_dtype,
    one_dim,
    refuse,
    scalar,
    static_int,
    upcast,
)
from ingot.functions.extrema import ValuesIndices
from ingot.functions.join import cat
from ingot.functions.reduce import accumulator
from ingot.ir.facts import Kept

__all__ = [
    "cummax", "cummin", "cumprod", "cumsum", "cumulative_trapezoid", "diff", "gradient", "logcumsumexp", "trapezoid", "trapz",
]  # fmt: skip


def _running(name: str, input: Any, dim: int, dtype: dtypes.DType | None, out: Any) -> Tensor:
    check_tensor(name, input)
    axis = one_dim(dim, input.ndim)
    result = accumulator(input, dtype, out)
    if result.kind == "b":
        raise refuse(name, result)
    return cast_out(_run(input, name, axis, result), out)


@composite
def _run(x: Tensor, op: str, axis: int, dtype: dtypes.DType) -> Tensor:
    x = cast(x, dtype)
    if not x.ndim:
        return apply("reshape", x, attrs=((),))
    return apply(op, x, attrs=(axis, False))


def cumsum(input: Tensor, dim: int, *, dtype: dtypes.DType | None = None, out: Tensor | None = None) -> Tensor:
    """Running sums along `dim`; integers and bools give int64, `dtype` casts first.

    >>> ingot.cumsum(ingot.tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    return _running("cumsum", input, dim, dtype, out)


def cumprod(input: Tensor, dim: int, *, dtype: dtypes.DType | None = None, out: Tensor | None = None) -> Tensor:
    """Running products along `dim`; integers and bools give int64, `dtype` casts first.

    >>> ingot.cumprod(ingot.tensor([1, 2, 3]), 0)
    tensor([1, 2, 6])
    """
    return _running("cumprod", input, dim, dtype, out)


@composite
def _cumextreme(x: Tensor, op: str, axis: int) -> tuple[Tensor, Tensor]:
    y = cast(x, dtypes.u8) if x.dtype.kind == "b" else x
    shape = tuple(x.shape)
    if not shape:
        y = apply("reshape", y, attrs=((1,),))
    values, indices = apply(op, y, attrs=(axis,))
    return cast(apply("reshape", values, attrs=(shape,)), x.dtype), apply("reshape", indices, attrs=(shape,))


def cummax(input: Tensor, dim: int, *, out: tuple | None = None) -> ValuesIndices:
    """Running maxima along `dim`, as (values, indices): the last index of equals; NaN stays.

    >>> ingot.cummax(ingot.tensor([1.0, 3.0, 2.0]), 0).values
    tensor([1., 3., 3.])
    """
    check_tensor("cummax", input)
    return emit_out(ValuesIndices(*_cumextreme(input, "cummax", one_dim(dim, input.ndim))), out)


def cummin(input: Tensor, dim: int, *, out: tuple | None = None) -> ValuesIndices:
    """Running minima along `dim`, as (values, indices): the last index of equals; NaN stays."""
    check_tensor("cummin", input)
    return emit_out(ValuesIndices(*_cumextreme(input, "cummin", one_dim(dim, input.ndim))), out)


def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """log of the running sums of exp along `dim`, without overflow. Floating and complex dtypes only (RuntimeError)."""
    check_tensor("logcumsumexp", input)
    if input.dtype.kind not in "fc":
        raise NotImplementedError(f'"logcumsumexp_out_cpu" not implemented for {input.dtype!r}')
    return emit_out(_logcumsumexp(input, one_dim(dim, input.ndim)), out)


@composite
@keeps(Kept.BOTH)
def _logcumsumexp(x: Tensor, axis: int) -> Tensor:
    if not x.ndim:
        return apply("reshape", x, attrs=((),))
    y, n, step = upcast(x), x.shape[axis], 1
    lowest = scalar(float("-inf"), y.dtype)
    zeros = (0,) * x.ndim
    while step < n:  # doubling: after k rounds each element holds the sum of the 2**k before it
        stops = tuple(d - step if i == axis else d for i, d in enumerate(x.shape))
        early = apply("slice", y, attrs=(zeros, stops, (1,) * x.ndim))
        low = tuple(step if i == axis else 0 for i in range(x.ndim))
        y = logaddexp(y, apply("pad", early, lowest, attrs=(low, zeros, zeros)))
        step *= 2
    return cast(y, x.dtype)


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The `n`-th difference of neighbours along `dim`, `prepend` and `append` put around first; bools by exclusive or.

    >>> ingot.diff(ingot.tensor([1, 4, 9]))
    tensor([3, 5])
    """
    check_tensor("diff", input)
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    n = static_int(n, "n")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = one_dim(dim, input.ndim)
    x = input
    if n and (prepend is not None or append is not None):

        x = cat([t for t in (prepend, input, append) if t is not None], axis)
    return cast_out(_diff(x, min(n, x.shape[axis]), axis), out)


@composite
def _diff(x: Tensor, n: int, axis: int) -> Tensor:
    one = (1,) * x.ndim
    if not n:
        return apply("reshape", x, attrs=(tuple(x.shape),))
    for _ in range(n):
        starts = tuple(1 if i == axis else 0 for i in range(x.ndim))
        stops = tuple(d - 1 if i == axis else d for i, d in enumerate(x.shape))
        right = apply("slice", x, attrs=(starts, tuple(x.shape), one))
        left = apply("slice", x, attrs=((0,) * x.ndim, stops, one))
        x = apply("logical_xor" if x.dtype.kind == "b" else "sub", right, left)
    return x


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral of `y` along `dim` by the trapezoid rule, with points `x` or the spacing `dx`.

    >>> ingot.trapezoid(ingot.tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    areas, axis = _trapezoids("trapezoid", y, x, dx, dim)
    return areas.sum(axis)


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The running integral of `y` along `dim` by the trapezoid rule: one element fewer than `y`.

    >>> ingot.cumulative_trapezoid(ingot.tensor([1.0, 2.0, 3.0]))
    tensor([1.5000, 4.0000])
    """
    areas, axis = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return areas.cumsum(axis)


def _trapezoids(name: str, y: Any, x: Tensor | None, dx: float, dim: int) -> tuple[Tensor, int]:
    check_tensor(name, y, "y")
    axis = one_dim(dim, y.ndim)
    for what, t in (("y", y), ("x", x)):
        if t is not None and t.dtype.kind == "b":
            raise RuntimeError(f"{name}: received a bool input for `{what}`, but bool is not supported")
    if y.dtype.kind in "iu":
        y = cast(y, float_dtype(y.dtype))
    if x is not None and x.dtype.kind in "iu":
        x = cast(x, dtypes.i64)  # differences of small integers leave their dtype
    means = _neighbour_mean(y, axis)
    if x is None:
        return means * dx, axis
    if x.ndim == 1:
        if x.shape[0] != y.shape[axis]:
            raise ShapeError(f"{name}(): There must be one `x` value for each sample point, got {x.shape[0]} and {y.shape[axis]}")
        x = apply("reshape", x, attrs=((x.shape[0],) + (1,) * (y.ndim - 1 - axis),))
        return means * _diff(x, 1, 0), axis
    return means * _diff(x, 1, one_dim(dim, x.ndim)), axis


@composite
def _neighbour_mean(y: Tensor, axis: int) -> Tensor:
    if y.shape[axis] < 2:
        return apply("slice", y, attrs=((0,) * y.ndim, tuple(0 if i == axis else d for i, d in enumerate(y.shape)), (1,) * y.ndim))
    starts = tuple(1 if i == axis else 0 for i in range(y.ndim))
    stops = tuple(d - 1 if i == axis else d for i, d in enumerate(y.shape))
    one = (1,) * y.ndim
    return (apply("slice", y, attrs=(starts, tuple(y.shape), one)) + apply("slice", y, attrs=((0,) * y.ndim, stops, one))) * 0.5


trapz = trapezoid


def gradient(
    input: Tensor, *, spacing: Number | Sequence[Any] | None = None, dim: int | Sequence[int] | None = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The derivative of samples along each of `dim` (all dims when None), by second-order differences; one tensor per dim.

    spacing: the distance of samples (1 when None), one for all dims or a list of one per dim; or a list of vectors with their coordinates.
    edge_order: the order of the differences at both ends, 1 or 2. RuntimeError where a dim has too few samples.

        >>> ingot.gradient(ingot.tensor([1.0, 4.0, 9.0, 16.0]))
        (tensor([3., 4., 6., 7.]),)
    """
    check_tensor("gradient", input)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    given = range(input.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    axes = [one_dim(d, input.ndim) for d in given]
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"dim {next(d for d in axes if axes.count(d) > 1)} appears multiple times in the list of dims")
    many = isinstance(spacing, (tuple, list))
    steps = list(spacing) if many else [1 if spacing is None else spacing] * len(axes)  # type: ignore[arg-type]
    if len(steps) != len(axes):
        raise RuntimeError(f"torch.gradient expected spacing to be unspecified, a scalar, or a list of {len(axes)}, got {len(steps)}")
    x = input if input.dtype.kind == "f" else cast(input, float_dtype(input.dtype))
    for axis, step in zip(axes, steps):
        if x.shape[axis] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
        if isinstance(step, Tensor) and step.ndim and (step.ndim != 1 or step.shape[0] != x.shape[axis]):
            raise RuntimeError(f"torch.gradient expected the coordinates of dim {axis} to be a vector of {x.shape[axis]} elements")
    return tuple(
        _gradient_by(x, step, axis, edge_order) if isinstance(step, Tensor) and step.ndim else _gradient(x, axis, edge_order) / step
        for axis, step in zip(axes, steps)
    )


def _at(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    starts = tuple(start if i == axis else 0 for i in range(x.ndim))
    stops = tuple(stop if i == axis else d for i, d in enumerate(x.shape))
    return apply("slice", x, attrs=(starts, stops, (1,) * x.ndim))


@composite
def _gradient(x: Tensor, axis: int, edge_order: int) -> Tensor:
    n = x.shape[axis]
    a, b, y, z = (_at(x, axis, i, i + 1) for i in (0, 1, n - 2, n - 1))
    first, last = b - a, z - y
    if edge_order == 2:
        first = a * -1.5 + b * 2.0 + _at(x, axis, 2, 3) * -0.5
        last = z * 1.5 + y * -2.0 + _at(x, axis, n - 3, n - 2) * 0.5
    middle = (_at(x, axis, 2, n) - _at(x, axis, 0, n - 2)) * 0.5
    return apply("concatenate", first, middle, last, attrs=(axis,))


@composite
def _gradient_by(x: Tensor, coordinates: Tensor, axis: int, edge_order: int) -> Tensor:
    n = x.shape[axis]
    h = cast(_diff(coordinates, 1, 0), x.dtype)
    h = apply("reshape", h, attrs=((n - 1,) + (1,) * (x.ndim - 1 - axis),))

    def gap(i: int) -> Tensor:
        return _at(h, 0, i, i + 1)

    a, b, y, z = (_at(x, axis, i, i + 1) for i in (0, 1, n - 2, n - 1))
    first, last = (b - a) / gap(0), (z - y) / gap(n - 2)
    if edge_order == 2:
        p, q = gap(0), gap(1)
        first = -(2.0 * p + q) / (p * (p + q)) * a + (p + q) / (p * q) * b - p / (q * (p + q)) * _at(x, axis, 2, 3)
        p, q = gap(n - 3), gap(n - 2)
        last = q / (p * (p + q)) * _at(x, axis, n - 3, n - 2) - (p + q) / (p * q) * y + (2.0 * q + p) / (q * (p + q)) * z
    left, right = _at(h, 0, 0, n - 2), _at(h, 0, 1, n - 1)
    total = left + right
    middle = (
        _at(x, axis, 0, n - 2) * (-right / (left * total))
        + _at(x, axis, 1, n - 1) * ((right - left) / (left * right))
        + _at(x, axis, 2, n) * (left / (right * total))
    )
    return apply("concatenate", first, middle, last, attrs=(axis,))


numpy_names.install(globals(), __all__)
