"""Max, average and power-mean pooling, on the window ops."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import full
from ingot._tensor.composites import composite
from ingot._tensor.extents import Extent
from ingot._tensor.recording import record
from ingot.functions.common import emit_out
from ingot.ir.op import OPS
from ingot.ir.size import ShapeError
from ingot.nn.functional.sizes import batched, ntuple


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
        if type(n) is Extent and not ceil_mode:  # as many windows for every remainder, and nothing of it counts
            out.append((p, p))
        else:
            out.append((p, max(reach - n - p, 0)))
    return tuple(out)


# ---- max


@composite
def _max_pool(x: Tensor, kernel: tuple, stride: tuple, pads: tuple, dilation: tuple) -> Tensor:
    return record(OPS["window_max"], (x,), (kernel, stride, pads, dilation))


@composite
def _max_pool_indices(x: Tensor, kernel: tuple, stride: tuple, pads: tuple, dilation: tuple) -> Tensor:
    return record(OPS["window_argmax"], (x,), (kernel, stride, pads, dilation))


def max_pool_nd(
    name: str, n: int, input: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, return_indices: bool
) -> Any:
    x, unbatched = batched(name, input, n)
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
    return max_pool_nd("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


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
    return max_pool_nd("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@full
def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of (N, C, D, H, W) or (C, D, H, W); with `return_indices` also its place in D * H * W.

    Sizes are ints or triples; extents, defaults and errors as of `max_pool1d`.

    >>> F.max_pool3d(ingot.ones(1, 2, 4, 4, 6), 2, stride=(2, 2, 3)).shape
    ingot.Size([1, 2, 2, 2, 2])
    """
    return max_pool_nd("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def with_indices(fn: Callable, example: str, place: int | None = None) -> Callable[..., tuple[Tensor, Tensor]]:
    """A max pool with return_indices=True, under torch's name, which takes and ignores that argument; `example`: arguments of a call."""
    place = len(inspect.signature(fn).parameters) - 1 if place is None else place  # of return_indices, the last where None

    @functools.wraps(fn)
    def pair(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        kwargs["return_indices"] = True
        return fn(*args[:place], *args[place + 1 :], **kwargs)

    name = fn.__name__ + "_with_indices"
    pair.__name__ = pair.__qualname__ = name
    pair.__doc__ = (
        f"`{fn.__name__}` with return_indices=True: (values, indices).\n\n"
        f"    >>> values, indices = F.{name}({example})\n    >>> values.shape == indices.shape\n    True\n    "
    )
    return pair


max_pool1d_with_indices = with_indices(max_pool1d, "ingot.ones(1, 2, 6), 2")
max_pool2d_with_indices = with_indices(max_pool2d, "ingot.ones(1, 2, 4, 4), 2")
max_pool3d_with_indices = with_indices(max_pool3d, "ingot.ones(1, 2, 4, 4, 6), 2")


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


def avg_pool_nd(
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
    x, unbatched = batched(name, input, n)
    kernel = ntuple(kernel_size, n, "kernel_size")
    stride = kernel if stride is None or stride == () or stride == [] else ntuple(stride, n, "stride")
    padding = ntuple(padding, n, "padding")
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    extents = tuple(x.shape[2:])
    pads = _pads(name, extents, kernel, stride, padding, (1,) * n, ceil_mode)
    whole = not ceil_mode and (include or not any(padding))  # all windows are
    counts = []
    if not whole:
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
    return avg_pool_nd("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None, *, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of (N, C, H, W) or (C, H, W). Sizes are ints or pairs.

    Extents and errors as of `max_pool1d`. Padding counts as zeros, and is left out of the mean without `count_include_pad`;
    divisor_override: divide the sum by this instead. RuntimeError if it is 0.

    >>> F.avg_pool2d(ingot.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 2.5000,  4.5000],
              [10.5000, 12.5000]]]])
    """
    made = avg_pool_nd("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return emit_out(made, out)


@full
def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None, *, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W). Sizes are ints or triples; the rest as of `avg_pool2d`.

    >>> F.avg_pool3d(ingot.ones(1, 2, 4, 4, 6), 2, stride=(2, 2, 3)).shape
    ingot.Size([1, 2, 2, 2, 2])
    """
    made = avg_pool_nd("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return emit_out(made, out)


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
