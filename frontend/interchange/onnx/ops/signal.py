"""Fourier transforms as products with matrices of waves, windows, and mel filters. Complex numbers are pairs in the last dim."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.movement import axis_of
from ingot.interchange.onnx.rules import op
from ingot.interchange.onnx.tensors import TYPES
from ingot.ir.dtypes import by_numpy
from ingot.nn import functional as F

__all__: list[str] = []


def _waves(n: int, rows: int, sign: int, dtype: Any) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi j k / n, for j below `rows` and k below n."""
    turns = (np.arange(rows)[:, None] * np.arange(n)) % n / n * (2 * np.pi)
    return tuple(ingot.from_numpy(f(turns)).to(dtype) for f in (np.cos, lambda t: sign * np.sin(t)))  # type: ignore[return-value]


def _transform(re: Tensor, im: Tensor | None, n: int, rows: int, sign: int) -> tuple[Tensor, Tensor]:
    """The discrete Fourier transform along the last dim."""
    cos, sin = _waves(n, rows, sign, re.dtype)
    out_re, out_im = ingot.matmul(re, cos.T), ingot.matmul(re, sin.T)
    if im is not None:
        out_re, out_im = out_re - ingot.matmul(im, sin.T), out_im + ingot.matmul(im, cos.T)
    return out_re, out_im


def _fitted(x: Tensor, n: int) -> Tensor:
    have = x.shape[-1]
    return ingot.narrow(x, -1, 0, n) if have > n else F.pad(x, (0, n - have)) if have < n else x


def _dft(x: Tensor, n: int | None, axis: int, inverse: int, onesided: int) -> Tensor:
    if n is None:
        n = 2 * (x.shape[axis] - 1) if inverse and onesided else x.shape[axis]
    moved = ingot.moveaxis(x, axis, -2)  # (..., signal, pair)
    re = moved[..., 0]
    im = moved[..., 1] if x.shape[-1] == 2 else None
    if inverse and onesided:  # the other half is the conjugate
        half = n // 2 + 1
        re, im = _fitted(re, half), None if im is None else _fitted(im, half)
        back = slice(1, (n + 1) // 2)
        re = ingot.cat([re, re[..., back].flip(-1)], -1)
        im = None if im is None else ingot.cat([im, -im[..., back].flip(-1)], -1)
        out = (_transform(re, im, n, n, 1)[0] / n).unsqueeze(-1)
    else:
        re, im = _fitted(re, n), None if im is None else _fitted(im, n)
        pair = _transform(re, im, n, n // 2 + 1 if onesided else n, 1 if inverse else -1)
        out = ingot.stack([p / n for p in pair] if inverse else list(pair), -1)
    return ingot.moveaxis(out, -2, axis)


def _length(v: np.ndarray | None) -> int | None:
    return None if v is None else int(v.reshape(-1)[0])


@op("DFT", known=("dft_length",))
def dft_attribute(x: Tensor, dft_length: Any = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0) -> Tensor:
    return _dft(x, _length(dft_length), axis_of(axis, x.ndim), inverse, onesided)


@op("DFT", since=20, known=("dft_length", "axis"))
def dft(x: Tensor, dft_length: Any = None, axis: Any = None, *, inverse: int = 0, onesided: int = 0) -> Tensor:
    at = -2 if axis is None else int(axis.reshape(-1)[0])
    return _dft(x, _length(dft_length), axis_of(at, x.ndim), inverse, onesided)


@op("STFT", known=("frame_step", "frame_length"))
def stft(x: Tensor, frame_step: np.ndarray, window: Tensor | None = None, frame_length: Any = None, *, onesided: int = 1) -> Tensor:
    x = x if x.ndim == 3 else x.unsqueeze(-1)  # real signals, as ONNX Runtime takes them too
    step = int(frame_step.reshape(-1)[0])
    length = int(frame_length.reshape(-1)[0]) if frame_length is not None else window.shape[0] if window is not None else x.shape[1]
    frames = 1 + (x.shape[1] - length) // step
    at = ingot.arange(frames).unsqueeze(1) * step + ingot.arange(length)
    cut = x[:, at]  # (B, frames, length, pair)
    if window is not None:
        cut = cut * window.reshape((-1, 1))
    onesided = onesided and x.shape[-1] == 1
    re, im = cut[..., 0], cut[..., 1] if x.shape[-1] == 2 else None
    return ingot.stack(list(_transform(re, im, length, length // 2 + 1 if onesided else length, -1)), -1)


def _window(size: np.ndarray, periodic: int, code: int, weights: tuple[float, ...]) -> Tensor:
    n = int(size.reshape(-1)[0])
    at = np.arange(n) * (2 * np.pi / (n if periodic else max(n - 1, 1)))
    total = sum(w * (-1) ** k * np.cos(k * at) for k, w in enumerate(weights))
    return ingot.from_numpy(np.asarray(total, np.float64)).to(by_numpy(TYPES[code]))


_WINDOWS = {"HannWindow": (0.5, 0.5), "HammingWindow": (25 / 46, 21 / 46), "BlackmanWindow": (0.42, 0.5, 0.08)}
for _name, _weights in _WINDOWS.items():
    op(_name, known=("size",))(lambda size, *, output_datatype=1, periodic=1, _w=_weights: _window(size, periodic, output_datatype, _w))


@op("MelWeightMatrix", known=("bins", "length", "rate", "low", "high"))
def mel_weight_matrix(bins: Any, length: Any, rate: Any, low: Any, high: Any, *, output_datatype: int = 1) -> Tensor:
    """Triangles, equally wide on the mel scale, over the bins of a spectrum."""
    n, size = int(bins.reshape(-1)[0]), int(length.reshape(-1)[0])
    hz = int(rate.reshape(-1)[0])
    first, last = (2595 * np.log10(1 + float(v.reshape(-1)[0]) / 700) for v in (low, high))
    edges = 700 * (10 ** ((np.arange(n + 2) * ((last - first) / (n + 2)) + first) / 2595) - 1)
    places = ((size + 1) * edges // hz).astype(int)
    out = np.zeros((size // 2 + 1, n))
    for i in range(n):
        lower, centre, upper = places[i : i + 3]
        if centre == lower:
            out[centre, i] = 1
        else:
            at = np.arange(lower, centre + 1)
            out[at, i] = (at - lower) / (centre - lower)
        if upper > centre:
            at = np.arange(centre, upper)
            out[at, i] = (upper - at) / (upper - centre)
    return ingot.from_numpy(out).to(by_numpy(TYPES[output_datatype]))
