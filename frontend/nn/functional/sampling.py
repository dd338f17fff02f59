"""interpolate, affine_grid and grid_sample: weighted gathers along the spatial dims."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import full
from ingot._tensor.composites import composite
from ingot._tensor.extents import Extent
from ingot.functions.common import as_int
from ingot.ir.size import ShapeError
from ingot.nn.functional import adaptive_pooling


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
    positions = [np.clip(lo + k, 0, extent - 1).astype(int).tolist() for k in (-1, 0, 1, 2)]
    return positions, [w.tolist() for w in _cubic(t, real(-0.75))]


def _taps_at_run_time(mode: str, out: int, extent: int, scale: Any, align_corners: bool, dtype: Any) -> tuple[list, list]:
    """The same as tensors, for extents that are known at run time."""
    nearest = mode in ("nearest", "nearest-exact")
    at = ingot.arange(out, dtype=ingot.float32 if nearest else dtype)
    step = (extent - 1) / (out - 1 if out > 1 else 1) if align_corners else 1.0 / scale if scale else extent / out
    if nearest:
        at = (at + 0.5 if mode == "nearest-exact" else at) * step
        return [at.floor().long().clamp(max=extent - 1)], [None]
    if not align_corners:
        at = (at + 0.5) * step - 0.5
    else:
        at = at * step
    if mode == "linear":
        at = at if align_corners else at.clamp(min=0)
        lo = at.floor().long().clamp(max=extent - 1)
        frac = (at - lo.to(dtype)).clamp(0, 1)
        return [lo, (lo + 1).clamp(max=extent - 1)], [1 - frac, frac]
    low = at.floor()
    return [(low.long() + k).clamp(0, extent - 1) for k in (-1, 0, 1, 2)], _cubic(at - low)


def _near(d: Any, a: Any) -> Any:
    """Keys' cubic kernel at a distance d of at most 1."""
    return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0


def _far(d: Any, a: Any) -> Any:
    """Keys' cubic kernel at a distance d from 1 to 2."""
    return ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a


def _cubic(f: Any, a: Any = -0.75) -> list:
    """The weights of the four neighbours at distance f from the second."""
    return [_far(f + 1.0, a), _near(f, a), _near(1.0 - f, a), _far(2.0 - f, a)]


_KERNELS: dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {  # how far each reaches, and its value at a distance
    "linear": (1.0, lambda d: 1.0 - d),
    "cubic": (2.0, lambda d: np.where(d < 1, _near(d, -0.5), _far(d, -0.5))),
    "lanczos": (3.0, lambda d: np.sinc(d) * np.sinc(d / 3.0)),
}


def _antialiased(mode: str, out: int, extent: int, scale: float | None, align_corners: bool) -> np.ndarray:
    """(out, extent) weights: the kernel is as wide as an output pixel where that is wider than an input pixel."""
    reach, kernel = _KERNELS[mode]
    step = (extent - 1) / max(out - 1, 1) * (out > 1) if align_corners else 1.0 / scale if scale else extent / out
    width = max(step, 1.0)
    centre = step * (np.arange(out)[:, None] + 0.5)
    at = np.arange(extent)
    weights = kernel(np.abs((at + 0.5 - centre) / width))
    first, last = np.floor(centre - reach * width + 0.5), np.floor(centre + reach * width + 0.5)
    weights = np.where((at >= first) & (at < last), weights, 0.0)
    return weights / weights.sum(1, keepdims=True)


@composite
def _resample_antialiased(x: Tensor, sizes: tuple, mode: str, scales: tuple, align_corners: bool) -> Tensor:
    dtype = x.dtype
    x = x if dtype in (ingot.float32, ingot.float64) else x.float()
    for i in reversed(range(len(sizes))):
        dim = x.ndim - len(sizes) + i
        weights = ingot.tensor(_antialiased(mode, sizes[i], x.shape[dim], scales[i], align_corners).tolist(), dtype=x.dtype)
        x = ingot.matmul(x.transpose(dim, -1), weights.mT).transpose(dim, -1)
        x = (x + 0.5).floor().clamp(0, 255) if dtype is ingot.uint8 else x  # after each dim, halves up, as in torch
    return x.to(dtype)


@composite
def _resample(x: Tensor, sizes: tuple, mode: str, scales: tuple, align_corners: bool) -> Tensor:
    n, dtype = len(sizes), x.dtype
    weighted = mode in ("linear", "cubic")
    real = np.float64 if dtype is ingot.float64 else np.float32
    if weighted and dtype not in (ingot.float32, ingot.float64):
        x = x.float()
    for i in reversed(range(n)):
        size, dim = sizes[i], x.ndim - n + i
        extent = x.shape[dim]
        if Extent in (type(size), type(extent)):
            positions, weights = _taps_at_run_time(mode, size, extent, scales[i], align_corners, x.dtype)
        else:
            positions, weights = _taps(mode, size, extent, scales[i], align_corners, real)
        total: Any = None
        for at, w in zip(positions, weights):
            part = x.index_select(dim, ingot.as_tensor(at, dtype=ingot.int64))
            if w is not None:
                part = part * ingot.as_tensor(w, dtype=x.dtype).reshape((size,) + (1,) * (x.ndim - dim - 1))
            total = part if total is None else total + part
        x = (total + 0.5).floor().clamp(0, 255) if dtype is ingot.uint8 and weighted else total
    return x.to(dtype)


_MODES = {
    "nearest": "nearest",
    "nearest-exact": "nearest-exact",
    "linear": "linear",
    "bilinear": "linear",
    "trilinear": "linear",
    "bicubic": "cubic",
    "lanczos": "lanczos",
}
_DIMS = {"linear": 3, "bilinear": 4, "trilinear": 5, "bicubic": 4, "lanczos": 4}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the spatial dims of (N, C, *), to `size` or by `scale_factor`: one number, or one for each spatial dim.

    mode: nearest, nearest-exact, linear (3-D input), bilinear, bicubic (4-D), trilinear (5-D) or area; with antialias lanczos
    (4-D), too. align_corners: the corners' centres stay where they are, instead of the corners. recompute_scale_factor: take
    the factor from the sizes. antialias: in a smaller result all pixels count that it stands for, not the nearest alone.
    ValueError for arguments that do not go together, NotImplementedError for another mode or rank.

    >>> F.interpolate(ingot.tensor([[[0.0, 4.0]]]), scale_factor=2, mode="linear")
    tensor([[[0., 1., 3., 4.]]])
    """
    n = input.ndim - 2
    if n not in (1, 2, 3):
        raise NotImplementedError(f"interpolate: expected a 3-D, 4-D or 5-D input (N, C, *), but got shape {list(input.shape)}")
    if antialias and (mode not in ("bilinear", "bicubic", "lanczos") or n != 2):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input")
    if mode == "lanczos" and (not antialias or align_corners):
        raise ValueError("interpolate: mode lanczos needs antialias=True, and goes without align_corners")
    if mode != "area" and mode not in _MODES:
        raise NotImplementedError(f"interpolate: unknown mode {mode!r}; modes are area, {', '.join(_MODES)}")
    if _DIMS.get(mode, input.ndim) != input.ndim:
        raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {_DIMS[mode]}D input")
    if align_corners is not None and mode not in _DIMS:
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear")
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined, and one must be")
    if size is not None and recompute_scale_factor:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    scales: tuple[float | None, ...] = (None,) * n
    if size is not None:
        sizes = tuple(as_int(s) for s in size) if isinstance(size, (tuple, list)) else (as_int(size),) * n
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
        return getattr(adaptive_pooling, f"adaptive_avg_pool{n}d")(input, sizes)
    resample = _resample_antialiased if antialias else _resample
    return resample(input, sizes, _MODES[mode], scales, bool(align_corners))


def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None) -> Tensor:
    """`interpolate` under its older name.

    >>> F.upsample(ingot.tensor([[[0.0, 4.0]]]), 4)
    tensor([[[0., 0., 4., 4.]]])
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode="nearest".

    >>> F.upsample_nearest(ingot.tensor([[[0.0, 4.0]]]), 4)
    tensor([[[0., 0., 4., 4.]]])
    """
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode="bilinear" and align_corners=True.

    >>> F.upsample_bilinear(ingot.tensor([[[[0.0, 3.0]]]]), (1, 4))
    tensor([[[[0., 1., 2., 3.]]]])
    """
    return interpolate(input, size, scale_factor, "bilinear", True)


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid for `grid_sample` of affine maps theta (N, 2, 3), size (N, C, H, W): (N, H, W, 2), x and y in [-1, 1]; or in 3-D.

    In 3-D theta is (N, 3, 4), size (N, C, D, H, W) and the grid (N, D, H, W, 3). align_corners: -1 and 1 are the centres of the
    corner pixels, instead of their edges. ValueError for other shapes. Source: https://arxiv.org/abs/1506.02025.

    >>> F.affine_grid(ingot.eye(2, 3).unsqueeze(0), (1, 1, 1, 2), align_corners=True)
    tensor([[[[-1.,  0.],
              [ 1.,  0.]]]])
    """
    size = tuple(size)
    n = len(size) - 2
    if not theta.is_floating_point():
        raise ValueError(f"affine_grid: expected theta to have a floating-point dtype, but got {theta.dtype!r}")
    if n not in (2, 3) or tuple(theta.shape) != (size[0], n, n + 1):
        raise ValueError(
            "affine_grid: expected theta (N, 2, 3) and a size (N, C, H, W), or theta (N, 3, 4) and a size (N, C, D, H, W), "
            f"but got {list(theta.shape)} and {size}"
        )
    if min(size) <= 0:
        raise ValueError(f"affine_grid: expected positive sizes, but got {size}")

    def axis(n: int) -> np.ndarray:
        at = np.linspace(-1, 1, n) if n > 1 else np.zeros(n)
        return at if align_corners else at * (n - 1) / n

    places = np.meshgrid(*map(axis, size[2:]), indexing="ij")[::-1]  # x belongs to the last dim
    base = np.stack([*places, np.ones(size[2:])], -1).reshape(-1, n + 1)
    return ingot.matmul(ingot.tensor(base.tolist(), dtype=theta.dtype), theta.transpose(1, 2)).reshape((size[0], *size[2:], n))


def _fold(at: Tensor, extent: int, padding: str, align_corners: bool) -> Tensor:
    """Positions brought into [0, extent - 1] by the padding, NaN to 0; "zeros" leaves them."""
    if padding != "zeros":
        at = ingot.where(at == at, at, 0.0)
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


@composite
def _grid_sample(x: Tensor, grid: Tensor, mode: str, padding: str, align_corners: bool) -> Tensor:
    n, c = x.shape[:2]
    extents = tuple(x.shape[2:])
    shape = tuple(grid.shape[1:-1])
    flat, points = x.flatten(2), math.prod(shape)
    places = []
    for d, extent in enumerate(extents):  # the grid's last coordinate belongs to the first spatial dim
        g = grid[..., len(extents) - 1 - d]
        at = (g + 1.0) * (0.5 * (extent - 1)) if align_corners else ((g + 1.0) * extent - 1.0) * 0.5
        places.append(at if mode == "bicubic" else _fold(at, extent, padding, align_corners))

    def pick(at: tuple[Tensor, ...]) -> Tensor:
        if mode == "bicubic":
            at = tuple(_fold(p, e, padding, align_corners) for p, e in zip(at, extents))
        inside, index = None, None
        for p, extent in zip(at, extents):
            here = (p >= 0) & (p <= extent - 1)
            inside = here if inside is None else inside & here
            step = p.clamp(0, extent - 1).long()
            index = step if index is None else index * extent + step
        assert index is not None and inside is not None
        taken = flat.gather(2, index.reshape((n, 1, points)).expand(n, c, points)).reshape((n, c, *shape))
        return ingot.where(inside.unsqueeze(1), taken, 0.0)

    if mode == "nearest":
        return pick(tuple(ingot.round(p) for p in places))
    lows = [ingot.floor(p) for p in places]
    parts = [p - low for p, low in zip(places, lows)]
    first = -1 if mode == "bicubic" else 0
    weights = [_cubic(f) if mode == "bicubic" else [1.0 - f, f] for f in parts]
    total = None
    for steps in itertools.product(range(len(weights[0])), repeat=len(extents)):
        weight = weights[0][steps[0]]
        for w, k in zip(weights[1:], steps[1:]):
            weight = weight * w[k]
        term = pick(tuple(low + float(k + first) for low, k in zip(lows, steps))) * weight.unsqueeze(1)
        total = term if total is None else total + term
    assert total is not None
    return total


@full
def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Sample (N, C, H, W) at grid (N, H', W', 2), x and y in [-1, 1] -> (N, C, H', W'); or 5-D at (N, D', H', W', 3), x, y and z.

    mode: bilinear (of 5-D input: trilinear), nearest, or bicubic (4-D only). padding_mode: what stands outside: zeros, border
    or reflection. align_corners as of `affine_grid`. ShapeError where the shapes do not fit.

    >>> x = ingot.tensor([[[[0.0, 4.0]]]])
    >>> F.grid_sample(x, ingot.tensor([[[[-0.5, 0.0], [0.0, 0.0]]]]), align_corners=False)
    tensor([[[[0., 2.]]]])
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(f"grid_sample: expected mode to be bilinear, nearest or bicubic, but got {mode!r}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: expected padding_mode to be zeros, border or reflection, but got {padding_mode!r}")
    if input.ndim not in (4, 5) or grid.ndim != input.ndim or grid.shape[-1] != input.ndim - 2 or input.shape[0] != grid.shape[0]:
        raise ShapeError(
            "grid_sample: expected input (N, C, H, W) and grid (N, H', W', 2), or (N, C, D, H, W) and (N, D', H', W', 3), "
            f"but got {list(input.shape)} and {list(grid.shape)}"
        )
    if mode == "bicubic" and input.ndim == 5:
        raise RuntimeError("grid_sample: bicubic interpolation only supports 4D input")
    if 0 in input.shape[2:]:
        raise RuntimeError(f"grid_sample: expected input to have non-empty spatial dimensions, but got {list(input.shape)}")
    return _grid_sample(input, grid, mode, padding_mode, bool(align_corners))
