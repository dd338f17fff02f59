"""Convolutions of any number of spatial dims, padded on either side as attributes or `auto_pad` say."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import op
from ingot.nn import functional as F

__all__: list[str] = []

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def paddings(
    sizes: Any, kernel: list[int], strides: list[int] | None, dilations: list[int] | None, pads: list[int] | None, auto_pad: str
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Strides, dilations, and the padding before and after each spatial dim."""
    k = len(kernel)
    strides, dilations = strides or [1] * k, dilations or [1] * k
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        before, after = [], []
        for n, w, s, d in zip(sizes, kernel, strides, dilations):
            total = max((-(-n // s) - 1) * s + (w - 1) * d + 1 - n, 0)
            less = total // 2
            before.append(total - less if auto_pad == "SAME_LOWER" else less)
            after.append(less if auto_pad == "SAME_LOWER" else total - less)
        return strides, dilations, before, after
    if auto_pad == "VALID" or pads is None:
        return strides, dilations, [0] * k, [0] * k
    return strides, dilations, pads[:k], pads[k:]


def convolved(
    x: Tensor, w: Tensor, bias: Tensor | None, kernel_shape: Any, strides: Any, dilations: Any, pads: Any, auto_pad: str, group: int
) -> Tensor:
    kernel = list(w.shape[2:])
    strides, dilations, before, after = paddings(x.shape[2:], kernel, strides, dilations, pads, auto_pad)
    if before != after or any(p < 0 for p in before):
        x = F.pad(x, [p for b, a in zip(reversed(before), reversed(after)) for p in (b, a)])
        before = [0] * len(kernel)
    if len(kernel) not in _CONV:
        raise ValueError(f"a convolution over {len(kernel)} dims; there are 1, 2 and 3")
    return _CONV[len(kernel)](x, w, bias, tuple(strides), tuple(before), tuple(dilations), group)


@op("Conv")
def conv(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Any = None, group: int = 1,
    kernel_shape: Any = None, pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    return convolved(x, w, b, kernel_shape, strides, dilations, pads, auto_pad, group)


@op("ConvTranspose")
def conv_transpose(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Any = None, group: int = 1,
    kernel_shape: Any = None, output_padding: Any = None, output_shape: Any = None, pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    k = w.ndim - 2
    strides, dilations, extra = strides or [1] * k, dilations or [1] * k, output_padding or [0] * k
    whole = [(n - 1) * s + (m - 1) * d + 1 for n, m, s, d in zip(x.shape[2:], w.shape[2:], strides, dilations)]
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = output_shape[-k:] if output_shape else [n * s for n, s in zip(x.shape[2:], strides)]
        total = [n + e - m for n, e, m in zip(whole, extra, wanted)]
        less = [t // 2 for t in total]
        # what is left over goes to the end, but for SAME_UPPER where an output shape is given by attribute
        upper = auto_pad == "SAME_UPPER" if output_shape or auto_pad != "NOTSET" else False
        before = less if upper else [t - h for t, h in zip(total, less)]
        after = [t - h for t, h in zip(total, before)]
    else:
        given = pads or [0] * 2 * k
        before, after = ([0] * k, [0] * k) if auto_pad == "VALID" else (given[:k], given[k:])
    if k not in _TRANSPOSED:
        raise ValueError(f"a transposed convolution over {k} dims; there are 1, 2 and 3")
    out = _TRANSPOSED[k](x, w, None, tuple(strides), 0, 0, group, tuple(dilations))
    if any(extra):
        out = F.pad(out, [p for e in reversed(extra) for p in (0, e)])
    flat = [p for lo, hi in zip(reversed(before), reversed(after)) for p in (-lo, -hi)]
    if any(flat):
        index = tuple(slice(max(lo, 0), n - max(hi, 0)) for lo, hi, n in zip(before, after, out.shape[2:]))
        out = F.pad(out[(slice(None), slice(None)) + index], [max(p, 0) for p in flat])
    return out if b is None else out + b.reshape((-1,) + (1,) * k)


@op("ConvInteger")
def conv_integer(
    x: Tensor, w: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Any = None,
    group: int = 1, kernel_shape: Any = None, pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    return integer_convolved(x, w, x_zero, w_zero, strides, dilations, pads, auto_pad, group)


def integer_convolved(
    x: Tensor, w: Tensor, x_zero: Tensor | None, w_zero: Tensor | None, strides: Any, dilations: Any, pads: Any, auto_pad: str, group: int
) -> Tensor:
    """The exact convolution of 8-bit integers less their zero points, as int32: what is padded counts as zero."""
    a, b = x.to(ingot.int32), w.to(ingot.int32)
    if x_zero is not None:
        a = a - x_zero.to(ingot.int32)
    if w_zero is not None:
        z = w_zero.to(ingot.int32)
        b = b - (z.reshape((-1,) + (1,) * (w.ndim - 1)) if z.ndim else z)
    return convolved(a, b, None, None, strides, dilations, pads, auto_pad, group)
