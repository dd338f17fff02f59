"""interpolate, affine_grid and grid_sample: weighted gathers along the spatial dims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.composite import composite
from ingot.ir.types import ShapeError


def _source(out: int, extent: int, scale: float | None, align_corners: bool, real: Any, clamp: bool = True) -> np.ndarray:
    """Where in the input each of `out` outputs lies, in the precision `real` that torch computes it in."""
    at = np.arange(out, dtype=real)
    if align_corners:
        step = real((extent - 1) / (out - 1)) if out > 1 else real(0)
        return at * step
    step = real(1.0 / scale) if scale else real(extent / out)
    centre = (at + real(0.5)) * step - real(0.5)
    return np.maximum(centre, real(0)) if clamp else centre


def _taps(mode: str, out: int, extent: int, scale: float | None, align_corners: bool, real: Any) -> tuple[list, list]:
    """(positions, weights) lists: output i is the sum over taps t of weights[t][i] * input[positions[t][i]]."""
    if mode == "nearest":
        step = np.float32(1.0 / scale) if scale else np.float32(extent / out)
        return [np.minimum(np.floor(np.arange(out, dtype=np.float32) * step).astype(int), extent - 1).tolist()], [None]
    if mode == "nearest-exact":
        step = np.float32(1.0 / scale) if scale else np.float32(extent / out)
        return [np.minimum(np.floor((np.arange(out, dtype=np.float32) + np.float32(0.5)) * step).astype(int), extent - 1).tolist()], [None]
    if mode == "linear":
        at = _source(out, extent, scale, align_corners, real)
        lo = np.minimum(np.floor(at).astype(int), extent - 1)
        frac = np.clip(at - lo, 0, 1)
        return [lo.tolist(), np.minimum(lo + 1, extent - 1).tolist()], [(1 - frac).tolist(), frac.tolist()]
    at = _source(out, extent, scale, align_corners, real, clamp=False)  # cubic, with A = -0.75
    lo = np.floor(at)
    t = at - lo
    a = real(-0.75)

    def near(x: np.ndarray) -> np.ndarray:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: np.ndarray) -> np.ndarray:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    positions = [np.clip(lo + k, 0, extent - 1).astype(int).tolist() for k in (-1, 0, 1, 2)]
    return positions, [far(t + 1).tolist(), near(t).tolist(), near(1 - t).tolist(), far(2 - t).tolist()]


@composite
def _resample(x: Tensor, sizes: tuple, mode: str, scales: tuple, align_corners: bool) -> Tensor:
    n, dtype = len(sizes), x.dtype
    weighted = mode in ("linear", "cubic")
    real = np.float64 if dtype is ingot.float64 else np.float32
    if weighted and dtype not in (ingot.float32, ingot.float64):
        x = x.float()
    for i in reversed(range(n)):
        size, dim = sizes[i], x.ndim - n + i
        positions, weights = _taps(mode, size, x.shape[dim], scales[i], align_corners, real)
        total: Any = None
        for at, w in zip(positions, weights):
            part = x.index_select(dim, ingot.tensor(at, dtype=ingot.int64))
            if w is not None:
                part = part * ingot.tensor(w, dtype=x.dtype).reshape((size,) + (1,) * (x.ndim - dim - 1))
            total = part if total is None else total + part
        x = total.round().clamp(0, 255) if dtype is ingot.uint8 and weighted else total
    return x.to(dtype)


_MODES = {
    "nearest": "nearest",
    "nearest-exact": "nearest-exact",
    "linear": "linear",
    "bilinear": "linear",
    "trilinear": "linear",
    "bicubic": "cubic",
}
_DIMS = {"linear": 3, "bilinear": 4, "trilinear": 5, "bicubic": 4}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the spatial dims of (N, C, *): give size or scale_factor.

    mode: nearest, nearest-exact, linear (3-D input), bilinear, bicubic (4-D), trilinear (5-D) or area.
    """
    n = input.ndim - 2
    if n not in (1, 2, 3):
        raise NotImplementedError(f"interpolate: expected a 3-D, 4-D or 5-D input (N, C, *), but got shape {list(input.shape)}")
    if antialias:
        raise ValueError("interpolate: antialias=True is not supported")
    if mode != "area" and mode not in _MODES:
        raise NotImplementedError(f"interpolate: unknown mode {mode!r}; modes are area, {', '.join(_MODES)}")
    if _DIMS.get(mode, input.ndim) != input.ndim:
        raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {_DIMS[mode]}D input")
    if align_corners is not None and mode not in _DIMS:
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear")
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined, and one must be")
    scales: tuple[float | None, ...] = (None,) * n
    if size is not None:
        sizes = tuple(int(s) for s in size) if isinstance(size, (tuple, list)) else (int(size),) * n
    else:
        factors = tuple(float(s) for s in scale_factor) if isinstance(scale_factor, (tuple, list)) else (float(scale_factor),) * n
        if len(factors) != n:
            raise ValueError(f"interpolate: expected {n} scale factors, but got {len(factors)}")
        sizes = tuple(math.floor(e * f) for e, f in zip(input.shape[2:], factors))
        scales = scales if recompute_scale_factor else factors
    if len(sizes) != n:
        raise ValueError(f"Input and output must have the same number of spatial dimensions, but got {n} and {len(sizes)}")
    if any(s < 1 for s in sizes) or 0 in input.shape[2:]:
        raise RuntimeError(f"interpolate: input and output sizes should be greater than 0, but got {list(input.shape[2:])} and {sizes}")
    if mode == "area":
        return getattr(ingot.nn.functional, f"adaptive_avg_pool{n}d")(input, sizes)
    return _resample(input, sizes, _MODES[mode], scales, bool(align_corners))


def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None) -> Tensor:
    """`interpolate` under its older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The sampling grid of 2-D affine maps: theta (N, 2, 3), size (N, C, H, W) -> (N, H, W, 2) in [-1, 1]."""
    if theta.ndim != 3 or tuple(theta.shape[1:]) != (2, 3) or len(size) != 4:
        raise ValueError(f"affine_grid: expected theta (N, 2, 3) and a size (N, C, H, W), but got {list(theta.shape)} and {tuple(size)}")

    def axis(n: int) -> Tensor:
        at = np.linspace(-1, 1, n) if n > 1 else np.zeros(n)
        return ingot.tensor((at if align_corners else at * (n - 1) / n).tolist(), dtype=theta.dtype)

    h, w = size[2], size[3]
    x, y = axis(w).reshape((1, w)).expand(h, w), axis(h).reshape((h, 1)).expand(h, w)
    base = ingot.stack([x, y, ingot.ones((h, w), dtype=theta.dtype)], -1).reshape((1, h * w, 3))
    return ingot.matmul(base.expand(theta.shape[0], h * w, 3), theta.transpose(1, 2)).reshape((theta.shape[0], h, w, 2))


@composite
def _grid_sample(x: Tensor, grid: Tensor, mode: str, padding: str, align_corners: bool) -> Tensor:
    n, c, h, w = x.shape

    def place(g: Tensor, extent: int) -> Tensor:
        at = (g + 1.0) * (0.5 * (extent - 1)) if align_corners else ((g + 1.0) * extent - 1.0) * 0.5
        if padding == "border":
            return at.clamp(0, extent - 1)
        if padding == "reflection":
            lo, span = (0.0, float(extent - 1)) if align_corners else (-0.5, float(extent))
            if span == 0:
                return at * 0.0
            folded = ingot.abs(at - lo)
            flips = ingot.floor(folded / span)
            extra = folded - flips * span
            return ingot.where(flips - 2.0 * ingot.floor(flips / 2.0) == 0, extra + lo, span - extra + lo).clamp(0, extent - 1)
        return at

    gx, gy = place(grid[..., 0], w), place(grid[..., 1], h)
    flat = x.reshape((n, c, h * w))
    out_h, out_w = gx.shape[1], gx.shape[2]

    def pick(ix: Tensor, iy: Tensor) -> Tensor:
        inside = (ix >= 0) & (ix <= w - 1) & (iy >= 0) & (iy <= h - 1)
        index = iy.clamp(0, h - 1).long() * w + ix.clamp(0, w - 1).long()
        taken = flat.gather(2, index.reshape((n, 1, -1)).expand(n, c, out_h * out_w)).reshape((n, c, out_h, out_w))
        return ingot.where(inside.unsqueeze(1), taken, 0.0)

    if mode == "nearest":
        return pick(ingot.round(gx), ingot.round(gy))
    x0, y0 = ingot.floor(gx), ingot.floor(gy)
    fx, fy = (gx - x0).unsqueeze(1), (gy - y0).unsqueeze(1)
    top = pick(x0, y0) * (1.0 - fx) + pick(x0 + 1, y0) * fx
    bottom = pick(x0, y0 + 1) * (1.0 - fx) + pick(x0 + 1, y0 + 1) * fx
    return top * (1.0 - fy) + bottom * fy


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Sample (N, C, H, W) at grid (N, H', W', 2), x and y in [-1, 1] -> (N, C, H', W')."""
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"grid_sample: expected mode to be bilinear or nearest, but got {mode!r}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: expected padding_mode to be zeros, border or reflection, but got {padding_mode!r}")
    if input.ndim != 4 or grid.ndim != 4 or grid.shape[-1] != 2 or input.shape[0] != grid.shape[0]:
        raise ShapeError(
            f"grid_sample: expected input (N, C, H, W) and grid (N, H', W', 2), but got {list(input.shape)} and {list(grid.shape)}"
        )
    return _grid_sample(input, grid, mode, padding_mode, bool(align_corners))
