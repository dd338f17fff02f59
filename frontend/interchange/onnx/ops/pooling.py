"""Pooling over windows: maxima with places, means, norms; also over all that there is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.convolution import paddings
from ingot.interchange.onnx.rules import Call, op
from ingot.nn import functional as F

__all__: list[str] = []

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class _Windows:
    """Where the windows lie: padding before and after, and how far beyond the end `ceil_mode` goes."""

    def __init__(self, sizes: Any, kernel: list[int], strides: Any, dilations: Any, pads: Any, auto_pad: str, ceil_mode: int):
        self.kernel, self.sizes = kernel, list(sizes)
        self.strides, self.dilations, self.before, self.after = paddings(sizes, kernel, strides, dilations, pads, auto_pad)
        self.out, self.beyond = [], []
        for n, k, s, d, b, a in zip(sizes, kernel, self.strides, self.dilations, self.before, self.after):
            span = (k - 1) * d + 1
            left = n + b + a - span
            count = (-(-left // s) if ceil_mode else left // s) + 1
            if ceil_mode and (count - 1) * s >= n + b:
                count -= 1
            self.out.append(count)
            self.beyond.append(max((count - 1) * s + span - n - b - a, 0))

    def padded(self, x: Tensor, value: Any) -> Tensor:
        flat = [p for b, a, e in zip(reversed(self.before), reversed(self.after), reversed(self.beyond)) for p in (b, a + e)]
        return F.pad(x, flat, value=value) if any(flat) else x

    def index(self, at: tuple[int, ...]) -> tuple[slice, ...]:
        """The elements at one place of every window."""
        return tuple(slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, n, s in zip(at, self.dilations, self.out, self.strides))


def _lowest(x: Tensor) -> Any:
    return float("-inf") if x.is_floating_point() else ingot.iinfo(x.dtype).min


@op("MaxPool")
def max_pool(
    c: Call, x: Tensor, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Any = None, kernel_shape: list[int], pads: Any = None,
    storage_order: int = 0, strides: Any = None,
) -> Any:  # fmt: skip
    k = len(kernel_shape)
    w = _Windows(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    if not c.wants(1) and k in _MAX and x.is_floating_point():
        return _MAX[k](w.padded(x, _lowest(x)), tuple(kernel_shape), tuple(w.strides), 0, tuple(w.dilations))
    y = w.padded(x, _lowest(x))
    views = [y[(slice(None), slice(None)) + w.index(at)] for at in np.ndindex(*kernel_shape)]
    windows = ingot.stack(views, -1)
    best = ingot.amax(windows, -1)
    if not c.wants(1):
        return best
    place = ingot.argmax(windows, -1)
    total: Any = 0
    coordinates = []
    for axis in range(k):
        per = math.prod(kernel_shape[axis + 1 :])
        shape = [1] * x.ndim
        shape[2 + axis] = -1
        starts = ingot.arange(w.out[axis]).reshape(shape) * w.strides[axis] - w.before[axis]
        inside = ingot.div(place, per, rounding_mode="floor") % kernel_shape[axis]
        coordinates.append(starts + inside * w.dilations[axis])
    order = range(k) if not storage_order else reversed(range(k))
    for axis in order:
        total = total * x.shape[2 + axis] + coordinates[axis]
    channels = ingot.arange(x.shape[0] * x.shape[1]).reshape((x.shape[0], x.shape[1], *(1,) * k))
    return best, total + channels * math.prod(x.shape[2:])


@op("AveragePool")
def average_pool(
    x: Tensor, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0, dilations: Any = None, kernel_shape: list[int],
    pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    k = len(kernel_shape)
    w = _Windows(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    plain = all(d == 1 for d in w.dilations) and not any(w.beyond)
    if plain and k in _AVG and (not any(w.before + w.after) or count_include_pad):
        return _AVG[k](w.padded(x, 0), tuple(kernel_shape), tuple(w.strides))
    total = _window_sum(w, w.padded(x, 0))
    inside = ingot.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    if count_include_pad:
        inside = F.pad(inside, [p for b, a in zip(reversed(w.before), reversed(w.after)) for p in (b, a)], value=1)
        counts = F.pad(inside, [p for e in reversed(w.beyond) for p in (0, e)])
    else:
        counts = w.padded(inside, 0)
    return total / _window_sum(w, counts)


def _window_sum(w: _Windows, y: Tensor) -> Tensor:
    total: Any = None
    for at in np.ndindex(*w.kernel):
        view = y[(slice(None), slice(None)) + w.index(at)]
        total = view if total is None else total + view
    return total


@op("LpPool")
def lp_pool(
    x: Tensor, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Any = None, kernel_shape: list[int], p: float = 2,
    pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    w = _Windows(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return _window_sum(w, w.padded(ingot.abs(x) ** p, 0)) ** (1.0 / p)


def _everywhere(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@op("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    return ingot.mean(x, _everywhere(x), keepdim=True) if x.ndim > 2 else x


@op("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    return ingot.amax(x, _everywhere(x), keepdim=True) if x.ndim > 2 else x


@op("GlobalLpPool")
def global_lp_pool(x: Tensor, *, p: float = 2) -> Tensor:
    return ingot.sum(ingot.abs(x) ** p, _everywhere(x), keepdim=True) ** (1.0 / p)


@op("MaxUnpool", known=("output_shape",))
def max_unpool(
    x: Tensor, indices: Tensor, output_shape: np.ndarray | None = None, *, kernel_shape: list[int], pads: Any = None, strides: Any = None
) -> Tensor:
    """The indices are places in the whole tensor that was pooled, whose shape follows from the attributes."""
    k = len(kernel_shape)
    strides, pads = strides or [1] * k, pads or [0] * 2 * k
    pooled = [(n - 1) * s - pads[i] - pads[i + k] + w for i, (n, s, w) in enumerate(zip(x.shape[2:], strides, kernel_shape))]
    shape = list(x.shape[:2]) + pooled
    flat = ingot.zeros(math.prod(shape), dtype=x.dtype)
    out = ingot.scatter(flat, 0, indices.reshape((-1,)).to(ingot.int64), x.reshape((-1,))).reshape(shape)
    if output_shape is None:
        return out
    wanted = output_shape.reshape(-1).tolist()
    return F.pad(out, [p for n, m in zip(reversed(wanted), reversed(shape)) for p in (0, n - m)][: 2 * k])
