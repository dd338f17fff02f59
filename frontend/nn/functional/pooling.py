"""Max, average and adaptive pooling, on the window ops and (adaptive, uneven) on gathers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot._tensor.recording import record
from ingot.ir.op import OPS
from ingot.ir.types import ShapeError
from ingot.nn.functional.sizes import ntuple


def _batched(name: str, input: Tensor, n: int) -> tuple[Tensor, bool]:
    if input.ndim == n + 1:
        return input.unsqueeze(0), True
    if input.ndim != n + 2:
        raise ShapeError(f"{name}: expected {n + 1}D or {n + 2}D input, but got shape {list(input.shape)}")
    return input, False


def _pads(name: str, extents: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, ceil_mode: bool) -> tuple:
    """((lo, hi), ...) such that every window counts: with ceil_mode the end is padded for a last partial window."""
    out = []
    for n, k, s, p, d in zip(extents, kernel, stride, padding, dilation):
        if k <= 0 or s <= 0 or d <= 0:
            raise RuntimeError(f"{name}: kernel size, stride and dilation must be greater than zero, but got {k}, {s}, {d}")
        if p < 0 or p * 2 > d * (k - 1) + 1:
            raise RuntimeError(f"{name}: pad should be at most half of effective kernel size, but got pad={p} and kernel_size={k}")
        free = n + 2 * p - d * (k - 1) - 1
        count = (-(-free // s) if ceil_mode else free // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:  # a window must start inside the input or its left padding
            count -= 1
        if count < 1:
            raise ShapeError(f"{name}: the output would be empty: kernel {k}, input extent {n}, padding {p}")
        reach = (count - 1) * s + d * (k - 1) + 1
        out.append((p, max(reach - n - p, 0)))
    return tuple(out)


# ---- max


@composite
def _max_pool(x: Tensor, kernel: tuple, stride: tuple, pads: tuple, dilation: tuple) -> Tensor:
    return record(OPS["window_max"], (x,), (kernel, stride, pads, dilation))


@composite
def _max_pool_indices(x: Tensor, kernel: tuple, stride: tuple, pads: tuple, dilation: tuple) -> Tensor:
    return record(OPS["window_argmax"], (x,), (kernel, stride, pads, dilation))


def _max_pool_nd(
    name: str, n: int, input: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, return_indices: bool
) -> Any:
    x, unbatched = _batched(name, input, n)
    kernel = ntuple(kernel_size, n, "kernel_size")
    stride = kernel if stride is None or stride == () or stride == [] else ntuple(stride, n, "stride")
    dilation = ntuple(dilation, n, "dilation")
    pads = _pads(name, tuple(x.shape[2:]), kernel, stride, ntuple(padding, n, "padding"), dilation, ceil_mode)
    out = _max_pool(x, kernel, stride, pads, dilation)
    out = out.squeeze(0) if unbatched else out
    if not return_indices:
        return out
    indices = _max_pool_indices(x.detach(), kernel, stride, pads, dilation)
    return out, indices.squeeze(0) if unbatched else indices


def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of (N, C, L) or (C, L), as (N, C, L'); with `return_indices` also its place in L (int64).

    L' = (L + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1, rounded up with `ceil_mode`; stride None is kernel_size;
    padding counts as -inf. RuntimeError for a padding of more than half a window, or an empty result.

    >>> x = ingot.tensor([[1.0, 3.0, 2.0, 5.0, 4.0]])
    >>> F.max_pool1d(x, 3, stride=1)
    tensor([[3., 5., 5.]])
    >>> F.max_pool1d(x, 2, return_indices=True)
    (tensor([[3., 5.]]), tensor([[1, 3]]))
    """
    return _max_pool_nd("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of (N, C, H, W) or (C, H, W); with `return_indices` also its place in H * W (int64).

    Sizes are ints or pairs; extents, defaults and errors as of `max_pool1d`.

    >>> x = ingot.arange(16.0).reshape(1, 1, 4, 4)
    >>> F.max_pool2d(x, 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    return _max_pool_nd("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of (N, C, D, H, W) or (C, D, H, W); with `return_indices` also its place in D * H * W.

    Sizes are ints or triples; extents, defaults and errors as of `max_pool1d`.

    >>> F.max_pool3d(ingot.ones(1, 2, 4, 4, 6), 2, stride=(2, 2, 3)).shape
    ingot.Size([1, 2, 2, 2, 2])
    """
    return _max_pool_nd("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _with_indices(fn: Callable, example: str) -> Callable[..., tuple[Tensor, Tensor]]:
    @functools.wraps(fn)
    def with_indices(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        kwargs["return_indices"] = True
        return fn(*args, **kwargs)

    name = fn.__name__ + "_with_indices"
    with_indices.__name__ = with_indices.__qualname__ = name
    with_indices.__doc__ = (
        f"`{fn.__name__}` with return_indices=True: (values, indices).\n\n"
        f"    >>> values, indices = F.{name}({example})\n    >>> values.shape == indices.shape\n    True\n    "
    )
    return with_indices


max_pool1d_with_indices = _with_indices(max_pool1d, "ingot.ones(1, 2, 6), 2")
max_pool2d_with_indices = _with_indices(max_pool2d, "ingot.ones(1, 2, 4, 4), 2")
max_pool3d_with_indices = _with_indices(max_pool3d, "ingot.ones(1, 2, 4, 4, 6), 2")


# ---- average


def _counts(extent: int, kernel: int, stride: int, lo: int, hi: int, include: bool, padding: int) -> np.ndarray:
    """How many elements each window of one dim averages over: torch counts padding, but nothing ceil_mode added."""
    n = (extent + lo + hi - kernel) // stride + 1
    start = np.arange(n) * stride - lo
    end = np.minimum(start + kernel, extent + padding)
    return end - start if include else np.minimum(end, extent) - np.maximum(start, 0)


@composite
def _avg_pool(x: Tensor, kernel: tuple, stride: tuple, pads: tuple, divisor: float | None, counts: tuple) -> Tensor:
    dtype, half = x.dtype, x.dtype.torch_name in ("float16", "bfloat16")
    total = record(OPS["window_sum"], (x.float() if half else x,), (kernel, stride, pads, (1,) * len(kernel)))
    if dtype.kind != "f":  # torch keeps the integers, rounded towards zero
        return ingot.div(total, _window_sizes(divisor, counts, dtype), rounding_mode="trunc")
    out = total / (divisor if divisor is not None else _window_sizes(divisor, counts, total.dtype))
    return out.to(dtype) if half else out


def _window_sizes(divisor: float | None, counts: tuple, dtype: Any) -> Tensor:
    per = np.ones((), np.int64) if divisor is None else np.asarray(divisor)
    for c in counts:
        per = np.multiply.outer(per, np.asarray(c))
    return ingot.tensor(per.tolist(), dtype=dtype)


def _avg_pool_nd(
    name: str,
    n: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    include: bool,
    divisor: int | None = None,
) -> Tensor:
    x, unbatched = _batched(name, input, n)
    kernel = ntuple(kernel_size, n, "kernel_size")
    stride = kernel if stride is None or stride == () or stride == [] else ntuple(stride, n, "stride")
    padding = ntuple(padding, n, "padding")
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    extents = tuple(x.shape[2:])
    pads = _pads(name, extents, kernel, stride, padding, (1,) * n, ceil_mode)
    counts = [_counts(e, k, s, lo, hi, include, p) for e, k, s, (lo, hi), p in zip(extents, kernel, stride, pads, padding)]
    if divisor is None and all((c == k).all() for c, k in zip(counts, kernel)):
        divisor = int(np.prod(kernel))
    out = _avg_pool(x, kernel, stride, pads, divisor, () if divisor is not None else tuple(tuple(c.tolist()) for c in counts))
    return out.squeeze(0) if unbatched else out


def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L). Integers are rounded towards zero.

    Extents and errors as of `max_pool1d`. Padding counts as zeros, and is left out of the mean without `count_include_pad`.

    >>> F.avg_pool1d(ingot.tensor([[1.0, 3.0, 2.0, 5.0]]), 2, padding=1, count_include_pad=False)
    tensor([[1.0000, 2.5000, 5.0000]])
    """
    return _avg_pool_nd("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of (N, C, H, W) or (C, H, W). Sizes are ints or pairs.

    Extents and errors as of `max_pool1d`. Padding counts as zeros, and is left out of the mean without `count_include_pad`;
    divisor_override: divide the sum by this instead. RuntimeError if it is 0.

    >>> F.avg_pool2d(ingot.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 2.5000,  4.5000],
              [10.5000, 12.5000]]]])
    """
    return _avg_pool_nd("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W). Sizes are ints or triples; the rest as of `avg_pool2d`.

    >>> F.avg_pool3d(ingot.ones(1, 2, 4, 4, 6), 2, stride=(2, 2, 3)).shape
    ingot.Size([1, 2, 2, 2, 2])
    """
    return _avg_pool_nd("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _lp_pool(x: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool, n: int) -> Tensor:
    kernel = ntuple(kernel_size, n, "kernel_size")
    fn = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}[n]
    mean = fn(x**norm_type, kernel, stride, 0, ceil_mode)
    return (ingot.sign(mean) * ingot.relu(ingot.abs(mean)) * float(np.prod(kernel))) ** (1.0 / norm_type)


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """sum(x ** norm_type) ** (1 / norm_type) of each window of (N, C, L) or (C, L); arguments as of `avg_pool1d`.

    >>> F.lp_pool1d(ingot.tensor([[3.0, 4.0, 6.0, 8.0]]), 2, 2)
    tensor([[ 5., 10.]])
    """
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """sum(x ** norm_type) ** (1 / norm_type) of each window of (N, C, H, W) or (C, H, W); arguments as of `avg_pool2d`.

    >>> F.lp_pool2d(ingot.ones(1, 1, 4, 4), 2, 2)
    tensor([[[[2., 2.],
              [2., 2.]]]])
    """
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """sum(x ** norm_type) ** (1 / norm_type) of each window of (N, C, D, H, W) or (C, D, H, W); arguments as of `avg_pool3d`.

    >>> F.lp_pool3d(ingot.ones(1, 1, 2, 2, 2), 3, 2)
    tensor([[[[[2.]]]]])
    """
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)


# ---- adaptive


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
    at = start[:, None] + np.arange((end - start).max())
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
    sizes = _sizes(name, input, output_size, n)
    if all(s == 1 for s in sizes):
        return input.mean(tuple(range(-n, 0)), keepdim=True)
    if 0 in sizes:
        return input.new_zeros((*input.shape[:-n], *sizes))
    if _even(input, sizes):
        kernel = tuple(e // s for e, s in zip(input.shape[-n:], sizes))
        return _avg_pool_nd(name, n, input, kernel, None, 0, False, True)
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
        return _max_pool_nd(name, n, input, kernel, None, 0, 1, False, return_indices)
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


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of a grid of windows that covers (N, C, D, H, W) or (C, D, H, W), see `adaptive_avg_pool3d`.

    With `return_indices` also their places in D * H * W (int64).

    >>> F.adaptive_max_pool3d(ingot.ones(1, 2, 4, 6, 5), 2).shape
    ingot.Size([1, 2, 2, 2, 2])
    """
    return _adaptive_max_nd("adaptive_max_pool3d", 3, input, output_size, return_indices)


adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d, "ingot.ones(1, 2, 6), 2")
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d, "ingot.ones(1, 2, 4, 4), 2")
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d, "ingot.ones(1, 2, 4, 4, 6), 2")


# ---- unpooling


def _max_unpool(name: str, n: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Tensor:
    x, unbatched = _batched(name, input, n)
    kernel = ntuple(kernel_size, n, "kernel_size")
    stride = kernel if stride is None or stride == () or stride == [] else ntuple(stride, n, "stride")
    padding = ntuple(padding, n, "padding")
    spatial = tuple((e - 1) * s - 2 * p + k for e, s, p, k in zip(x.shape[2:], stride, padding, kernel))
    if output_size is not None:
        spatial = _unpool_size(name, spatial, stride, tuple(output_size))
    if tuple(indices.shape) != tuple(input.shape):
        raise ShapeError(f"{name}: expected indices of the shape of the input {list(input.shape)}, but got {list(indices.shape)}")
    if indices.dtype != ingot.int64:
        raise RuntimeError(f"{name}: elements in indices should be type int64 but got: {indices.dtype}")
    total = int(np.prod(spatial))
    flat = ingot.zeros((x.shape[0], x.shape[1], total), dtype=x.dtype)
    out = flat.scatter(-1, indices.reshape((x.shape[0], x.shape[1], -1)), x.reshape((x.shape[0], x.shape[1], -1)))
    out = out.reshape((x.shape[0], x.shape[1], *spatial))
    return out.squeeze(0) if unbatched else out


def _unpool_size(name: str, usual: tuple, stride: tuple, given: tuple) -> tuple:
    """The extents asked for. ValueError unless each is less than a stride away from the usual one."""
    n = len(usual)
    if len(given) not in (n, n + 2):
        raise ValueError(f"{name}: output_size should have {n} or {n + 2} elements, but it has {len(given)}")
    given = given[-n:]
    for d, (size, want, step) in enumerate(zip(given, usual, stride)):
        if not want - step < size < want + step:
            raise ValueError(f"{name}: invalid output_size {given} (dim {d} must be between {want - step} and {want + step})")
    return given


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """The maxima of `max_pool1d` where its `return_indices` says they were, in (N, C, L); zeros elsewhere.

    L = (L' - 1) * stride - 2 * padding + kernel_size, or what `output_size` says, less than a stride away (else ValueError).
    RuntimeError for indices that are not int64 or not of the input's shape.

    >>> y, at = F.max_pool1d(ingot.tensor([[[1.0, 3.0, 2.0, 5.0]]]), 2, return_indices=True)
    >>> F.max_unpool1d(y, at, 2)
    tensor([[[0., 3., 0., 5.]]])
    """
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """The maxima of `max_pool2d` where its `return_indices` says they were, zeros elsewhere; arguments as of `max_unpool1d`.

    >>> y, at = F.max_pool2d(ingot.arange(16.0).reshape(1, 1, 4, 4), 2, return_indices=True)
    >>> F.max_unpool2d(y, at, 2)[0, 0]
    tensor([[ 0.,  0.,  0.,  0.],
            [ 0.,  5.,  0.,  7.],
            [ 0.,  0.,  0.,  0.],
            [ 0., 13.,  0., 15.]])
    """
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """The maxima of `max_pool3d` where its `return_indices` says they were, zeros elsewhere; arguments as of `max_unpool1d`.

    >>> y, at = F.max_pool3d(ingot.arange(8.0).reshape(1, 1, 2, 2, 2), 2, return_indices=True)
    >>> F.max_unpool3d(y, at, 2)[0, 0, 1]
    tensor([[0., 0.],
            [0., 7.]])
    """
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)
