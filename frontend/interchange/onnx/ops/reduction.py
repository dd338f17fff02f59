"""Reductions over axes, running sums, extrema and sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.functions.chosen import chosen, computed, distinct
from ingot.interchange.onnx.ops.movement import axis_of, ints
from ingot.interchange.onnx.rules import Call, op

__all__: list[str] = []

Reduce = Callable[[Tensor, tuple[int, ...], bool], Tensor]


def _same_type(f: Callable) -> Reduce:
    return lambda x, axes, keep: f(x, axes, keep).to(x.dtype)


def _prod(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for a in sorted(axes, reverse=True):
        x = ingot.prod(x, a, keepdim=keep).to(x.dtype)
    return x


def _extreme(name: str) -> Reduce:
    def f(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
        if x.dtype is ingot.bool:
            return (ingot.any if name == "amax" else ingot.all)(x, axes, keepdim=keep)
        if any(x.shape[a] == 0 for a in axes):  # the smallest, or largest, value of the type
            info: Any = (ingot.finfo if x.is_floating_point() else ingot.iinfo)(x.dtype)
            end = info.min if name == "amax" else info.max
            if x.is_floating_point():
                end = float("-inf") if name == "amax" else float("inf")
            shape = [1 if i in axes else d for i, d in enumerate(x.shape) if keep or i not in axes]
            return ingot.full(shape, end, dtype=x.dtype)
        return getattr(ingot, name)(x, axes, keepdim=keep)

    return f


def _mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    if x.is_floating_point():
        return ingot.mean(x, axes, keepdim=keep)
    total: Any = ingot.sum(x, axes, keepdim=keep).to(x.dtype)
    n = 1
    for a in axes:
        n = n * x.shape[a]
    return ingot.div(total, n, rounding_mode="trunc").to(x.dtype)


_sum: Reduce = _same_type(lambda x, axes, keep: ingot.sum(x, axes, keepdim=keep))
_REDUCTIONS: dict[str, Reduce] = {
    "ReduceSum": _sum,
    "ReduceProd": _prod,
    "ReduceMean": _mean,
    "ReduceMax": _extreme("amax"),
    "ReduceMin": _extreme("amin"),
    "ReduceL1": lambda x, axes, keep: _sum(ingot.abs(x), axes, keep),
    "ReduceL2": lambda x, axes, keep: _root(_sum(_wide(x) * _wide(x), axes, keep)).to(x.dtype),
    "ReduceSumSquare": lambda x, axes, keep: _sum(x * x, axes, keep),
    "ReduceLogSum": lambda x, axes, keep: ingot.log(_sum(x, axes, keep)),
    "ReduceLogSumExp": lambda x, axes, keep: ingot.logsumexp(x, axes, keepdim=keep),
}


def _wide(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.double()


def _root(x: Tensor) -> Tensor:
    return ingot.sqrt(x)


def _reduced(f: Reduce, x: Tensor, axes: list[int] | None, keepdims: int, noop: int) -> Tensor:
    if not axes:
        if noop:
            return f(x.unsqueeze(-1), (x.ndim,), False)  # over one element each
        axes = list(range(x.ndim))
    over = tuple(sorted(axis_of(a, x.ndim) for a in axes))
    return f(x, over, bool(keepdims)) if over else f(x.reshape((1,)), (0,), False)


for _name, _f in _REDUCTIONS.items():

    def _by_attribute(x: Tensor, *, axes: list[int] | None = None, keepdims: int = 1, _f: Any = _f) -> Tensor:
        return _reduced(_f, x, axes, keepdims, 0)

    def _by_input(x: Tensor, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0, _f: Any = _f) -> Tensor:
        return _reduced(_f, x, None if axes is None else ints(axes), keepdims, noop_with_empty_axes)

    op(_name)(_by_attribute)
    op(_name, since=13 if _name == "ReduceSum" else 18, known=("axes",))(_by_input)


def _arg(f: Callable, x: Tensor, axis: int, keepdims: int, last: int) -> Tensor:
    if not last:
        return f(x, axis, keepdim=bool(keepdims))
    return x.shape[axis] - 1 - f(x.flip(axis), axis, keepdim=bool(keepdims))


@op("ArgMax")
def arg_max(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    return _arg(ingot.argmax, x, axis, keepdims, select_last_index)


@op("ArgMin")
def arg_min(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    return _arg(ingot.argmin, x, axis, keepdims, select_last_index)


def _running(f: Callable, x: Tensor, axis: np.ndarray, reverse: int, exclusive: int, start: int) -> Tensor:
    a = axis_of(int(axis.reshape(-1)[0]), x.ndim)
    if reverse:
        x = x.flip(a)
    if exclusive:
        first = ingot.full([1 if i == a else d for i, d in enumerate(x.shape)], start, dtype=x.dtype)
        x = ingot.cat([first, ingot.narrow(x, a, 0, x.shape[a] - 1)], a)
    out = f(x, a).to(x.dtype)
    return out.flip(a) if reverse else out


@op("CumSum", known=("axis",))
def cum_sum(x: Tensor, axis: np.ndarray, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    return _running(ingot.cumsum, x, axis, reverse, exclusive, 0)


@op("CumProd", known=("axis",))
def cum_prod(x: Tensor, axis: np.ndarray, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    return _running(ingot.cumprod, x, axis, reverse, exclusive, 1)


@op("TopK")
def top_k_attribute(x: Tensor, *, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    return tuple(ingot.topk(x, k, axis))  # type: ignore[return-value]


@op("TopK", since=10, known=("k",))
def top_k(x: Tensor, k: np.ndarray, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Tensor, Tensor]:
    """Of equal values, the first come first."""
    n = int(k.reshape(-1)[0])
    values, at = ingot.sort(x, dim=axis, descending=bool(largest), stable=True)
    return ingot.narrow(values, axis, 0, n), ingot.narrow(at, axis, 0, n)


@op("Unique")
def unique(c: Call, x: Tensor, *, axis: int | None = None, sorted: int = 1) -> tuple[Any, ...]:
    if axis is None and sorted and not x.is_floating_point() and computed(x):  # NaNs are one here
        values, number, counts = distinct(x, None, True)
        places = ingot.arange(number.numel(), device=x.device)
        first = ingot.full((values.shape[0],), number.numel()).scatter_reduce(0, number.reshape((-1,)), places, "amin")
        return values, first, number.reshape((-1,)), counts
    array = c.known(x, "the input of Unique")
    found, at, back, count = np.unique(array, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    if not sorted:
        order = np.argsort(at, kind="stable")
        moved = np.empty_like(order)
        moved[order] = np.arange(len(order))
        found = np.take(found, order, axis=axis or 0)
        at, count, back = at[order], count[order], moved[back]
    return found, at.astype(np.int64), back.reshape(-1).astype(np.int64), count.astype(np.int64)


@op("NonZero")
def non_zero(x: Tensor) -> Tensor:
    return ingot.nonzero(x).T


@op("Compress")
def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    return ingot.index_select(x.reshape((-1,)) if axis is None else x, axis or 0, chosen(condition))
