"""Pooling to a given size: windows that cover the input, on the window ops where they are even and else on gathers."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import full
from ingot._tensor.composites import composite
from ingot.functions.common import refuse
from ingot.ir.size import ShapeError
from ingot.nn.functional.pooling import avg_pool_nd, max_pool_nd, with_indices


def _sizes(name: str, input: Tensor, output_size: Any, n: int) -> tuple[int, ...]:
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * n
    if len(given) != n:
        raise ShapeError(f"{name}: output_size must have {n} entries, but got {tuple(given)}")
    sizes = tuple(input.shape[input.ndim - n + i] if s is None else int(s) for i, s in enumerate(given))
    if any(s < 0 for s in sizes):
        raise RuntimeError(f"{name}: output sizes must be non-negative, but got {sizes}")
    return sizes


def _windows(extent: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """(out, longest) positions of each adaptive window, and which of them belong to it."""
    start = np.arange(out) * extent // out
    end = -(-(np.arange(1, out + 1) * extent) // out)
    at = start[:, None] + np.arange(np.max(end - start))
    return np.minimum(at, extent - 1), at < end[:, None]


def _gather_windows(x: Tensor, dim: int, at: np.ndarray) -> Tensor:
    """`dim` replaced by (windows, positions)."""
    y = x.index_select(dim, ingot.tensor(at.reshape(-1).tolist(), dtype=ingot.int64))
    return y.reshape((*x.shape[:dim], *at.shape, *x.shape[dim + 1 :]))


def _along(mask: np.ndarray, after: int) -> Tensor:
    return ingot.tensor(mask.tolist(), dtype=ingot.bool).reshape(mask.shape + (1,) * after)


@composite
def _adaptive_avg(x: Tensor, sizes: tuple[int, ...]) -> Tensor:
    for i, size in enumerate(sizes):
        dim = x.ndim - len(sizes) + i
        at, inside = _windows(x.shape[dim], size)
        after = x.ndim - dim - 1
        count = ingot.tensor(inside.sum(1).tolist(), dtype=x.dtype).reshape((size,) + (1,) * after)
        x = ingot.where(_along(inside, after), _gather_windows(x, dim, at), 0.0).sum(dim + 1) / count
    return x


def _even(input: Tensor, sizes: tuple[int, ...]) -> bool:
    extents = input.shape[input.ndim - len(sizes) :]
    return all(s > 0 and e % s == 0 and e > 0 for e, s in zip(extents, sizes))


def _adaptive_avg_nd(name: str, n: int, input: Tensor, output_size: Any) -> Tensor:
    if input.ndim <= n and isinstance(output_size, (tuple, list)):
        raise ValueError(f"{name}: input dimension should be at least {n + 1}, but got shape {list(input.shape)}")
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(f"{name}: expected {n + 1}D or {n + 2}D input, but got shape {list(input.shape)}")
    if input.dtype.kind != "f":
        raise refuse(name, input.dtype)
    sizes = _sizes(name, input, output_size, n)
    if all(s == 1 for s in sizes):
        return input.mean(tuple(range(-n, 0)), keepdim=True)
    if 0 in sizes:
        return input.new_zeros((*input.shape[:-n], *sizes))
    if _even(input, sizes):
        kernel = tuple(e // s for e, s in zip(input.shape[-n:], sizes))
        return avg_pool_nd(name, n, input, kernel, None, 0, False, True)
    return _adaptive_avg(input, sizes)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` windows that cover L of (N, C, L) or (C, L): window i is [i * L // n, ceil((i + 1) * L / n)).

    >>> F.adaptive_avg_pool1d(ingot.arange(5.0).reshape(1, 5), 2)
    tensor([[1., 3.]])
    """
    return _adaptive_avg_nd("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means of a grid of windows that covers (N, C, H, W) or (C, H, W), see `adaptive_avg_pool1d`.

    output_size: (H', W') or one int for both; None keeps an extent. ShapeError (a RuntimeError) for another rank.

    >>> F.adaptive_avg_pool2d(ingot.ones(1, 2, 7, 5), (3, None)).shape
    ingot.Size([1, 2, 3, 5])
    """
    return _adaptive_avg_nd("adaptive_avg_pool2d", 2, input, output_size)


@full
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The means of a grid of windows that covers (N, C, D, H, W) or (C, D, H, W), see `adaptive_avg_pool1d`.

    output_size: (D', H', W') or one int for all; None keeps an extent.

    >>> F.adaptive_avg_pool3d(ingot.ones(1, 2, 4, 6, 5), 2).shape
    ingot.Size([1, 2, 2, 2, 2])
    """
    return _adaptive_avg_nd("adaptive_avg_pool3d", 3, input, output_size)


def _stacked_windows(x: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, np.ndarray]:
    """(..., *sizes, positions) with -inf outside, and the flat input position of each."""
    n, extents = len(sizes), x.shape[x.ndim - len(sizes) :]
    flat, inside = np.zeros((1,) * (2 * n), np.int64), np.ones((1,) * (2 * n), bool)
    for i, (extent, size) in enumerate(zip(extents, sizes)):
        at, here = _windows(extent, size)
        shape = [1] * (2 * n)
        shape[i], shape[n + i] = at.shape
        flat = flat * extent + at.reshape(shape)
        inside = inside & here.reshape(shape)
    flat = np.broadcast_to(flat, inside.shape).reshape(*sizes, -1)
    inside = inside.reshape(*sizes, -1)
    lead = tuple(x.shape[: x.ndim - n])
    picked = (
        x.reshape((*lead, -1)).index_select(-1, ingot.tensor(flat.reshape(-1).tolist(), dtype=ingot.int64)).reshape((*lead, *flat.shape))
    )
    return ingot.where(_along(inside, 0), picked, float("-inf")), flat


@composite
def _adaptive_max(x: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    stacked, flat = _stacked_windows(x, sizes)
    best = stacked.argmax(-1, keepdim=True)
    where = ingot.tensor(flat.tolist(), dtype=ingot.int64).expand(stacked.shape)
    return stacked.gather(-1, best).squeeze(-1), where.gather(-1, best).squeeze(-1)


def _adaptive_max_nd(name: str, n: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    if input.ndim <= n and isinstance(output_size, (tuple, list)):
        raise ValueError(f"{name}: input dimension should be at least {n + 1}, but got shape {list(input.shape)}")
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(f"{name}: expected {n + 1}D or {n + 2}D input, but got shape {list(input.shape)}")
    sizes = _sizes(name, input, output_size, n)
    if _even(input, sizes):
        kernel = tuple(e // s for e, s in zip(input.shape[-n:], sizes))
        return max_pool_nd(name, n, input, kernel, None, 0, 1, False, return_indices)
    if 0 in sizes:
        empty = input.new_zeros((*input.shape[:-n], *sizes))
        return (empty, empty.long()) if return_indices else empty
    out, indices = _adaptive_max(input, sizes)
    return (out, indices) if return_indices else out


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of `output_size` windows that cover (N, C, L) or (C, L), see `adaptive_avg_pool1d`.

    With `return_indices` also their places in L (int64).

    >>> F.adaptive_max_pool1d(ingot.arange(5.0).reshape(1, 5), 2)
    tensor([[2., 4.]])
    """
    return _adaptive_max_nd("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of a grid of windows that covers (N, C, H, W) or (C, H, W), see `adaptive_avg_pool2d`.

    With `return_indices` also their places in H * W (int64).

    >>> F.adaptive_max_pool2d(ingot.ones(1, 2, 7, 5), (3, None)).shape
    ingot.Size([1, 2, 3, 5])
    """
    return _adaptive_max_nd("adaptive_max_pool2d", 2, input, output_size, return_indices)


@full
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of a grid of windows that covers (N, C, D, H, W) or (C, D, H, W), see `adaptive_avg_pool3d`.

    With `return_indices` also their places in D * H * W (int64).

    >>> F.adaptive_max_pool3d(ingot.ones(1, 2, 4, 6, 5), 2).shape
    ingot.Size([1, 2, 2, 2, 2])
    """
    return _adaptive_max_nd("adaptive_max_pool3d", 3, input, output_size, return_indices)


adaptive_max_pool1d_with_indices = with_indices(adaptive_max_pool1d, "ingot.ones(1, 2, 6), 2")
adaptive_max_pool2d_with_indices = with_indices(adaptive_max_pool2d, "ingot.ones(1, 2, 4, 4), 2")
adaptive_max_pool3d_with_indices = with_indices(adaptive_max_pool3d, "ingot.ones(1, 2, 4, 4, 6), 2")
