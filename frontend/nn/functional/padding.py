"""Padding, pixel shuffles, unfold and fold: movement only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import as_float32
from ingot._tensor.composites import composite
from ingot._tensor.recording import record
from ingot.functions.common import as_int
from ingot.ir.op import OPS
from ingot.ir.size import ShapeError
from ingot.nn.functional.sizes import ntuple


def pad_zeros(x: Tensor, low: tuple[int, ...], high: tuple[int, ...]) -> Tensor:
    """x with zeros before and after every dim."""
    return _pad(x, low, high, 0.0)


def _pad(x: Tensor, low: tuple[int, ...], high: tuple[int, ...], value: float) -> Tensor:
    return record(OPS["pad"], (x, ingot.full((), value, dtype=x.dtype)), (low, high, (0,) * x.ndim))


@composite
def _constant(x: Tensor, low: tuple[int, ...], high: tuple[int, ...], value: float) -> Tensor:
    for dim, (lo, hi) in enumerate(zip(low, high)):  # a negative pad crops
        if lo < 0 or hi < 0:
            start = max(-lo, 0)
            x = x.narrow(dim, start, x.shape[dim] - start - max(-hi, 0))
    low, high = tuple(max(v, 0) for v in low), tuple(max(v, 0) for v in high)
    return _pad(x, low, high, value) if any(low) or any(high) else x.clone()


def _reflect_index(lo: int, n: int, hi: int) -> list[int]:
    period = 2 * (n - 1)
    return [min(i % period, period - i % period) if period else 0 for i in range(-lo, n + hi)]


def _replicate_index(lo: int, n: int, hi: int) -> list[int]:
    return [min(max(i, 0), n - 1) for i in range(-lo, n + hi)]


def _circular_index(lo: int, n: int, hi: int) -> list[int]:
    first, kept = max(-lo, 0), n - max(-lo, 0) - max(-hi, 0)  # what negative pads crop does not come round again
    return [first + i % kept for i in range(-max(lo, 0), kept + max(hi, 0))] if kept > 0 else []


_INDEX = {"reflect": _reflect_index, "replicate": _replicate_index, "circular": _circular_index}


def _edges(x: Tensor, dim: int, lo: int, hi: int, mode: str) -> tuple[Tensor, Tensor]:
    """What stands before x along a dim, and behind it."""
    n = x.shape[dim]
    if mode == "circular":
        return x.narrow(dim, n - lo, lo), x.narrow(dim, 0, hi)
    if mode == "reflect":
        return x.narrow(dim, 1, lo).flip(dim), x.narrow(dim, n - 1 - hi, hi).flip(dim)
    first, last = (x.narrow(dim, at, 1) for at in (0, n - 1))
    return tuple(e.expand([m if d == dim else -1 for d in range(x.ndim)]) for e, m in ((first, lo), (last, hi)))  # type: ignore[return-value]


@composite
def _extended(x: Tensor, pads: tuple[tuple[int, int], ...], mode: str) -> Tensor:
    for k, (lo, hi) in enumerate(pads):
        dim = x.ndim - 1 - k
        if lo < 0 or hi < 0:  # a negative pad crops: rare, and what is left may be shorter than the other pad
            x = x.index_select(dim, ingot.tensor(_INDEX[mode](lo, x.shape[dim], hi), dtype=ingot.int64))
        elif lo or hi:
            before, behind = _edges(x, dim, lo, hi, mode)
            x = ingot.cat([*[before] * (lo > 0), x, *[behind] * (hi > 0)], dim)
    return x


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Pad the last dims: `pad` is (left, right) of the last dim, then of the one before, and so on.

    mode: "constant" (with `value`), "reflect", "replicate" or "circular"; negative pads crop. RuntimeError for a
    pad that does not fit the input.

    >>> x = ingot.tensor([[1.0, 2.0, 3.0]])
    >>> F.pad(x, (1, 2), value=9.0)
    tensor([[9., 1., 2., 3., 9., 9.]])
    >>> F.pad(x, (1, 2), mode="reflect")
    tensor([[2., 1., 2., 3., 2., 1.]])
    """
    amounts = [as_int(p) for p in pad]
    if len(amounts) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, but got {len(amounts)}")
    pairs = tuple(zip(amounts[::2], amounts[1::2]))
    if len(pairs) > input.ndim:
        raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension, but got {len(amounts)}")
    for k, (lo, hi) in enumerate(pairs):
        if input.shape[input.ndim - 1 - k] + lo + hi < 0:
            raise RuntimeError(f"pad: dim {input.ndim - 1 - k} of shape {list(input.shape)} would have a negative extent with {lo}, {hi}")
    if mode == "constant":
        rest = ((0, 0),) * (input.ndim - len(pairs))
        low, high = (tuple(p[i] for p in rest + pairs[::-1]) for i in (0, 1))
        return _constant(input, low, high, 0.0 if value is None else value)
    if mode not in _INDEX:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if not len(pairs) < input.ndim or len(pairs) not in (1, 2, 3) or input.ndim - len(pairs) > 2:
        raise NotImplementedError(f"padding mode {mode} is for 1 to 3 trailing dims of batched or unbatched input, not {list(input.shape)}")
    for k, (lo, hi) in enumerate(pairs):
        n = input.shape[input.ndim - 1 - k]
        if n == 0 or (mode == "reflect" and max(lo, hi) >= n) or (mode == "circular" and max(lo, hi) > n):
            raise RuntimeError(f"padding {(lo, hi)} with mode {mode} does not fit a dim of {n} elements")
    if mode == "replicate" or (mode == "reflect" and len(pairs) < 3):
        input = as_float32(input)
    return _extended(input, pairs, mode)


# ---- channels and space


@composite
def _pixel_shuffle(x: Tensor, r: int) -> Tensor:
    *lead, c, h, w = x.shape
    n = len(lead)
    y = x.reshape((*lead, c // (r * r), r, r, h, w)).permute((*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return y.reshape((*lead, c // (r * r), h * r, w * r))


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C * r * r, H, W) -> (..., C, H * r, W * r): channels become pixels. Source: https://arxiv.org/abs/1609.05158.

    RuntimeError unless r * r divides the channels.

    >>> F.pixel_shuffle(ingot.arange(4.0).reshape(1, 4, 1, 1), 2)
    tensor([[[[0., 1.],
              [2., 3.]]]])
    """
    if input.ndim < 3 or upscale_factor < 1 or input.shape[-3] % upscale_factor**2:
        raise RuntimeError(f"pixel_shuffle: channels of {list(input.shape)} must be divisible by {upscale_factor} squared")
    return _pixel_shuffle(input, upscale_factor)


@composite
def _pixel_unshuffle(x: Tensor, r: int) -> Tensor:
    *lead, c, h, w = x.shape
    n = len(lead)
    y = x.reshape((*lead, c, h // r, r, w // r, r)).permute((*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return y.reshape((*lead, c * r * r, h // r, w // r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H * r, W * r) -> (..., C * r * r, H, W): the inverse of `pixel_shuffle`. RuntimeError unless r divides both.

    >>> F.pixel_unshuffle(ingot.ones(1, 2, 4, 6), 2).shape
    ingot.Size([1, 8, 2, 3])
    """
    r = downscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-1] % r or input.shape[-2] % r:
        raise RuntimeError(f"pixel_unshuffle: height and width of {list(input.shape)} must be divisible by {r}")
    return _pixel_unshuffle(input, r)


@composite
def _channel_shuffle(x: Tensor, groups: int) -> Tensor:
    n, c, *rest = x.shape
    return x.reshape((n, groups, c // groups, *rest)).transpose(1, 2).reshape(x.shape)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(N, g * C, *) with the channels of the g groups interleaved. Source: https://arxiv.org/abs/1707.01083.

    RuntimeError unless `groups` divides the channels.

    >>> F.channel_shuffle(ingot.arange(4.0).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    if input.ndim < 3 or groups < 1 or input.shape[1] % groups:
        raise RuntimeError(f"channel_shuffle: channels of {list(input.shape)} must be divisible by groups={groups}")
    return _channel_shuffle(input, groups)


native_channel_shuffle = channel_shuffle


# ---- windows as columns


def _columns(extent: int, kernel: int, stride: int, dilation: int, name: str) -> int:
    n = (extent - dilation * (kernel - 1) - 1) // stride + 1
    if n < 1:
        raise ShapeError(f"{name}: a kernel of {kernel} with dilation {dilation} does not fit {extent} (padded) elements")
    return n


@composite
def _unfold(x: Tensor, kernel: tuple, dilation: tuple, padding: tuple, stride: tuple, counts: tuple) -> Tensor:
    x = pad_zeros(x, (0, 0, *padding), (0, 0, *padding))
    n, c = x.shape[0], x.shape[1]
    parts = [
        x[
            :,
            :,
            i * dilation[0] : i * dilation[0] + (counts[0] - 1) * stride[0] + 1 : stride[0],
            j * dilation[1] : j * dilation[1] + (counts[1] - 1) * stride[1] + 1 : stride[1],
        ]
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]
    return ingot.stack(parts, 2).reshape((n, c * kernel[0] * kernel[1], counts[0] * counts[1]))


def _pairs(*values: Any) -> list[tuple[int, int]]:
    return [ntuple(v, 2) for v in values]  # type: ignore[misc]


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Sliding blocks as columns: (N, C, H, W) or (C, H, W) -> (N, C * KH * KW, blocks), blocks in row-major order.

    Sizes are ints or pairs. ShapeError where a block does not fit the padded input.

    >>> F.unfold(ingot.arange(9.0).reshape(1, 1, 3, 3), 2)[0]
    tensor([[0., 1., 3., 4.],
            [1., 2., 4., 5.],
            [3., 4., 6., 7.],
            [4., 5., 7., 8.]])
    """
    if input.ndim == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    if input.ndim != 4:
        raise ShapeError(f"unfold: expected 3D or 4D input, but got shape {list(input.shape)}")
    kernel, dilation, padding, stride = _pairs(kernel_size, dilation, padding, stride)
    counts = tuple(_columns(input.shape[2 + i] + 2 * padding[i], kernel[i], stride[i], dilation[i], "unfold") for i in (0, 1))
    return _unfold(input, kernel, dilation, padding, stride, counts)


@composite
def _fold(x: Tensor, size: tuple, kernel: tuple, dilation: tuple, padding: tuple, stride: tuple, counts: tuple) -> Tensor:
    n, c = x.shape[0], x.shape[1] // (kernel[0] * kernel[1])
    x = x.reshape((n, c, kernel[0], kernel[1], counts[0], counts[1]))
    full = tuple(size[i] + 2 * padding[i] for i in (0, 1))
    out = ingot.zeros((n, c, *full), dtype=x.dtype)
    zero = ingot.zeros((), dtype=x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            low = (0, 0, i * dilation[0], j * dilation[1])
            spread = tuple((counts[a] - 1) * stride[a] + 1 for a in (0, 1))
            high = (0, 0, full[0] - low[2] - spread[0], full[1] - low[3] - spread[1])
            out = out + record(OPS["pad"], (x[:, :, i, j], zero), (low, high, (0, 0, stride[0] - 1, stride[1] - 1)))
    return out.narrow(2, padding[0], size[0]).narrow(3, padding[1], size[1])


def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Sum columns back to where `unfold` took them from: (N, C * KH * KW, blocks) -> (N, C, H, W) with (H, W) = `output_size`.

    Sizes are ints or pairs. ShapeError where the number of columns does not fit.

    >>> F.fold(F.unfold(ingot.ones(1, 1, 3, 3), 2), 3, 2)[0, 0]
    tensor([[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]])
    """
    if input.ndim == 2:
        return fold(input.unsqueeze(0), output_size, kernel_size, dilation, padding, stride).squeeze(0)
    size, kernel, dilation, padding, stride = _pairs(output_size, kernel_size, dilation, padding, stride)
    counts = tuple(_columns(size[i] + 2 * padding[i], kernel[i], stride[i], dilation[i], "fold") for i in (0, 1))
    if input.ndim != 3 or input.shape[1] % (kernel[0] * kernel[1]) or input.shape[2] != counts[0] * counts[1]:
        raise ShapeError(
            f"fold: input {list(input.shape)} and output {size} differ; expected (N, C * {kernel[0] * kernel[1]}, {counts[0] * counts[1]})"
        )
    return _fold(input, size, kernel, dilation, padding, stride, counts)
