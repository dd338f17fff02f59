"""Resize and Upsample: a few weighted neighbours per axis, whose places and weights are known from the sizes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.movement import axis_of
from ingot.interchange.onnx.rules import op

__all__: list[str] = []


def _places(n: int, out: int, scale: float, mode: str, roi: tuple[float, float]) -> np.ndarray:
    """Where the outputs lie in the input."""
    at = np.arange(out, dtype=np.float64)
    length = scale * n
    if mode == "align_corners":
        return at * (n - 1) / (length - 1) if length != 1 else at * 0
    if mode == "asymmetric":
        return at / scale
    if mode == "tf_crop_and_resize":
        first, last = roi
        if length == 1:
            return at * 0 + (last - first) * (n - 1) / 2 + first * (n - 1)
        return at * (last - first) * (n - 1) / (length - 1) + first * (n - 1)
    if mode == "tf_half_pixel_for_nn":
        return (at + 0.5) / scale
    if mode == "pytorch_half_pixel" and length == 1:
        return at * 0 - 0.5
    places = (at + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        return places + n / 2 * (1 - out / length)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return places
    raise ValueError(f"the coordinate transformation {mode!r}")


def _nearest(places: np.ndarray, mode: str) -> np.ndarray:
    if mode == "floor":
        return np.floor(places)
    if mode == "ceil":
        return np.ceil(places)
    if mode == "round_prefer_ceil":
        return np.floor(places + 0.5)
    if mode in ("round_prefer_floor", "simple"):
        return np.ceil(places - 0.5)
    raise ValueError(f"the nearest mode {mode!r}")


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _taps(places: np.ndarray, n: int, scale: float, mode: str, a: float, antialias: int, exclude: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights (taps, out) of a linear or cubic kernel, widened by the scale where it makes smaller."""
    shrink = min(scale, 1.0) if antialias else 1.0
    reach = (1 if mode == "linear" else 2) / shrink
    first = np.ceil(places - reach).astype(int)
    count = int(2 * math.ceil(reach)) + 1
    index = first + np.arange(count)[:, None]
    distance = (index - places) * shrink
    weights = np.clip(1 - np.abs(distance), 0, 1) if mode == "linear" else _cubic(distance, a)
    if exclude:
        weights = np.where((index < 0) | (index >= n), 0, weights)
    if antialias or exclude:
        weights = weights / weights.sum(0)
    used = (weights != 0).any(1)
    return index[used].clip(0, n - 1), weights[used]


def _resized(
    x: Tensor, axis: int, out: int, scale: float, roi: tuple[float, float], mode: str, nearest: str, coordinates: str, a: float,
    antialias: int, exclude: int, beyond: float,
) -> Tensor:  # fmt: skip
    n = x.shape[axis]
    places = _places(n, out, scale, coordinates, roi)
    y: Any = None
    if mode == "nearest":
        y = ingot.index_select(x, axis, ingot.from_numpy(_nearest(places, nearest).astype(np.int64).clip(0, n - 1)))
    else:
        index, weights = _taps(places, n, scale, mode, a, antialias, exclude)
        shape = [1] * x.ndim
        shape[axis] = -1
        for i, w in zip(index, weights):
            term = ingot.index_select(x, axis, ingot.from_numpy(i)) * ingot.from_numpy(w).to(x.dtype).reshape(shape)
            y = term if y is None else y + term
    if coordinates == "tf_crop_and_resize":
        inside = (places >= 0) & (places <= n - 1)
        if not inside.all():
            shape = [1] * x.ndim
            shape[axis] = -1
            y = ingot.where(ingot.from_numpy(inside).reshape(shape), y, beyond).to(x.dtype)
    return y


def _sizes(x: Tensor, sizes: list[int], axes: list[int], policy: str) -> tuple[list[int], list[float]]:
    have = [x.shape[a] for a in axes]
    scales = [s / n for s, n in zip(sizes, have)]
    if policy != "stretch":
        one = min(scales) if policy == "not_larger" else max(scales)
        return [int(math.floor(n * one + 0.5)) for n in have], [one] * len(axes)
    return sizes, scales


def _resize(
    x: Tensor, roi: Any, scales: Any, sizes: Any, *, mode: str, nearest_mode: str = "round_prefer_floor",
    coordinate_transformation_mode: str = "half_pixel", cubic_coeff_a: float = -0.75, exclude_outside: int = 0,
    extrapolation_value: float = 0.0, antialias: int = 0, axes: list[int] | None = None, keep_aspect_ratio_policy: str = "stretch",
) -> Tensor:  # fmt: skip
    over = list(range(x.ndim)) if axes is None else [axis_of(a, x.ndim) for a in axes]
    if sizes is not None and len(sizes):
        wanted, factors = _sizes(x, [int(s) for s in sizes], over, keep_aspect_ratio_policy)
    elif scales is not None and len(scales):
        factors = [float(s) for s in scales]
        wanted = [int(math.floor(x.shape[a] * s)) for a, s in zip(over, factors)]
    else:
        raise ValueError("neither sizes nor scales are given")
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    ends = [(0.0, 1.0)] * len(over)
    if crops and roi is not None and len(roi):
        ends = [(float(roi[i]), float(roi[i + len(over)])) for i in range(len(over))]
    kept, mode = x.dtype, {"cubic": "cubic", "nearest": "nearest"}.get(mode, "linear")
    if mode != "nearest" and (not x.is_floating_point() or x.dtype.bits < 32):
        x = x.float()
    for a, n, s, r in zip(over, wanted, factors, ends):
        if n != x.shape[a] or s != 1 or (crops and r != (0.0, 1.0)):
            x = _resized(
                x, a, n, s, r, mode, nearest_mode, coordinate_transformation_mode, cubic_coeff_a, antialias, exclude_outside,
                extrapolation_value,
            )  # fmt: skip
    if x.dtype is not kept and not kept.is_floating_point:
        x = ingot.round(x)
    return x.to(kept)


@op("Upsample")
def upsample_attribute(
    x: Tensor, *, scales: Any = None, height_scale: float = 1.0, width_scale: float = 1.0, mode: str = "nearest"
) -> Tensor:
    return _upsampled(x, [1.0, 1.0, height_scale, width_scale] if scales is None else scales, mode)


@op("Upsample", since=9, known=("scales",))
def upsample(x: Tensor, scales: np.ndarray, *, mode: str = "nearest") -> Tensor:
    return _upsampled(x, scales.tolist(), mode)


def _upsampled(x: Tensor, scales: Any, mode: str) -> Tensor:
    return _resize(x, None, scales, None, mode=mode, nearest_mode="floor", coordinate_transformation_mode="asymmetric")


@op("Resize", since=10, known=("scales",))
def resize_10(x: Tensor, scales: np.ndarray, *, mode: str = "nearest") -> Tensor:
    return _upsampled(x, scales.tolist(), mode)


@op("Resize", since=11, known=("roi", "scales", "sizes"))
def resize(
    x: Tensor, roi: Any = None, scales: Any = None, sizes: Any = None, *, mode: str = "nearest", nearest_mode: str = "round_prefer_floor",
    coordinate_transformation_mode: str = "half_pixel", cubic_coeff_a: float = -0.75, exclude_outside: int = 0,
    extrapolation_value: float = 0.0, antialias: int = 0, axes: list[int] | None = None, keep_aspect_ratio_policy: str = "stretch",
) -> Tensor:  # fmt: skip
    return _resize(
        x, roi, scales, sizes, mode=mode, nearest_mode=nearest_mode, coordinate_transformation_mode=coordinate_transformation_mode,
        cubic_coeff_a=cubic_coeff_a, exclude_outside=exclude_outside, extrapolation_value=extrapolation_value, antialias=antialias,
        axes=axes, keep_aspect_ratio_policy=keep_aspect_ratio_policy,
    )  # fmt: skip
