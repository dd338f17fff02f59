"""Products of matrices, convolutions with their gradients, and windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ingot.interchange.onnx.emit.writer import UnsupportedError, Writer, emits
from ingot.ir import dtypes
from ingot.ir.graph import Node
from ingot.ir.types import numel

__all__ = ["convolution", "pads_of"]


@emits("dot")
def _dot(w: Writer, n: Node, xs: list[str]) -> str:
    """MatMul where the batch dims lead and one dim is contracted; Einsum for all else."""
    dtype = n.inputs[0].type.dtype
    if dtype.kind in "iu" and dtype.bits < 32:  # runtimes multiply wide integers
        x, y = (w.cast(v, dtypes.i32) for v in xs)
        return w.cast(_product(w, n, x, y), dtype)
    return _product(w, n, *xs)


def _product(w: Writer, n: Node, x: str, y: str) -> str:
    (a, b), ((batch_a, batch_b), (over_a, over_b)) = n.inputs, n.attrs
    ra, rb, k = len(a.type.shape), len(b.type.shape), len(batch_a)
    leading = batch_a == tuple(range(k)) == batch_b and len(over_a) == 1
    if leading and rb == k + 2 and (ra == k + 2 or not k and ra > 2) and (over_a[0] == ra - 1 or ra == k + 2):
        if over_a[0] != ra - 1:
            x = _last_two(w, x, ra)
        if over_b[0] != k:
            y = _last_two(w, y, rb)
        return w.node("MatMul", x, y)
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    of_a = {i: next(letters) for i in range(ra)}
    of_b = {j: of_a[i] for i, j in (*zip(batch_a, batch_b), *zip(over_a, over_b))}
    of_b = {j: of_b[j] if j in of_b else next(letters) for j in range(rb)}
    free_a = [of_a[i] for i in range(ra) if i not in batch_a + over_a]
    free_b = [of_b[j] for j in range(rb) if j not in batch_b + over_b]
    out = "".join([of_a[i] for i in batch_a] + free_a + free_b)
    return w.node("Einsum", x, y, equation=f"{''.join(of_a.values())},{''.join(of_b.values())}->{out}")


def _last_two(w: Writer, x: str, rank: int) -> str:
    return w.node("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])


def _need_floats(n: Node) -> None:
    if n.inputs[0].type.dtype.kind != "f":
        raise UnsupportedError(f"{n.op.name} of integers ({n.inputs[0].type})")


def pads_of(padding: Any) -> list[int]:
    return [lo for lo, _ in padding] + [hi for _, hi in padding]


@emits("conv")
def convolution(w: Writer, n: Node, xs: list[str], bias: str | None = None) -> str:
    _need_floats(n)
    stride, padding, dilation, groups = n.attrs
    x, weight = xs
    if any(p < 0 for p in pads_of(padding)):
        k = len(stride)
        x = w.node("Pad", x, w.ints([0, 0, *[lo for lo, _ in padding], 0, 0, *[hi for _, hi in padding]]))
        padding = ((0, 0),) * k
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return w.node("Conv", *inputs, strides=list(stride), dilations=list(dilation), group=groups, pads=pads_of(padding),
                  kernel_shape=list(n.inputs[1].type.shape[2:]))  # fmt: skip


@emits("conv_input_grad")
def _conv_input_grad(w: Writer, n: Node, xs: list[str]) -> str:
    """A transposed convolution, cut or filled up to the extents of the input."""
    _need_floats(n)
    shape, stride, padding, dilation, groups = n.attrs
    g, weight = (v.type.shape for v in n.inputs)
    full = [(m - 1) * s + (k - 1) * d + 1 for m, s, k, d in zip(g[2:], stride, weight[2:], dilation)]
    out = w.node("ConvTranspose", *xs, strides=list(stride), dilations=list(dilation), group=groups, kernel_shape=list(weight[2:]))
    low = [-lo for lo, _ in padding]
    high = [m - f + lo for m, f, (lo, _) in zip(shape[2:], full, padding)]
    return w.node("Pad", out, w.ints([0, 0, *low, 0, 0, *high])) if any(low) or any(high) else out


@emits("conv_weight_grad")
def _conv_weight_grad(w: Writer, n: Node, xs: list[str]) -> str:
    """A convolution of the input with the cotangent, with batch and channels exchanged and stride and dilation too."""
    _need_floats(n)
    shape, stride, padding, dilation, groups = n.attrs
    rank = len(shape)
    order = [1, 0, *range(2, rank)]
    per_in, per_out = shape[1], shape[0] // groups
    parts = []
    for i in range(groups):
        x, g = xs
        if groups > 1:
            x = w.node("Slice", x, w.ints([i * per_in]), w.ints([(i + 1) * per_in]), w.ints([1]))
            g = w.node("Slice", g, w.ints([i * per_out]), w.ints([(i + 1) * per_out]), w.ints([1]))
        x, g = w.node("Transpose", x, perm=order), w.node("Transpose", g, perm=order)
        y = w.node("Conv", x, g, strides=list(dilation), dilations=list(stride), pads=pads_of(padding))
        y = w.node("Slice", y, w.ints([0] * (rank - 2)), w.ints(shape[2:]), w.ints(range(2, rank)))
        parts.append(w.node("Transpose", y, perm=order))
    return parts[0] if groups == 1 else w.node("Concat", *parts, axis=0)


# ---- windows, over the trailing dims


def _pooled(w: Writer, n: Node, x: str, op: str, **attrs: Any) -> str:
    """A pooling op over (N, C, ...): what is in front is brought into that form, and back."""
    window, stride, padding, dilation = n.attrs
    shape, k = n.inputs[0].type.shape, len(window)
    if len(shape) != k + 2:
        x = w.reshape(x, [1, numel(shape[: len(shape) - k]), *shape[len(shape) - k :]])
    y = w.node(op, x, kernel_shape=list(window), strides=list(stride), pads=pads_of(padding),
               dilations=list(dilation) if any(d != 1 for d in dilation) else None, **attrs)  # fmt: skip
    return y if len(shape) == k + 2 else w.reshape(y, n.outputs[0].type.shape)


@emits("window_max")
def _window_max(w: Writer, n: Node, xs: list[str]) -> str:
    _need_floats(n)
    return _pooled(w, n, xs[0], "MaxPool")


@emits("window_argmax")
def _window_argmax(w: Writer, n: Node, xs: list[str]) -> str:
    """MaxPool counts through the whole tensor; here each of (N, C) counts for itself."""
    _need_floats(n)
    window, stride, padding, dilation = n.attrs
    shape, k = n.inputs[0].type.shape, len(window)
    spatial = shape[len(shape) - k :]
    x = w.reshape(xs[0], [1, numel(shape[: len(shape) - k]), *spatial])
    _, places = w.many("MaxPool", [x], 2, kernel_shape=list(window), strides=list(stride), pads=pads_of(padding),
                       dilations=list(dilation) if any(d != 1 for d in dilation) else None)  # fmt: skip
    inner = w.node("Mod", places, w.constant(math.prod(spatial), np.int64))
    return w.reshape(inner, n.outputs[0].type.shape)


@emits("window_sum")
def _window_sum(w: Writer, n: Node, xs: list[str]) -> str:
    """The mean, padding included, times the window's size."""
    window, _, _, dilation = n.attrs
    if any(d != 1 for d in dilation) and w.opset < 19:
        raise UnsupportedError("sums of windows with gaps need op set 19")
    _need_floats(n)
    mean = _pooled(w, n, xs[0], "AveragePool", count_include_pad=1)
    return w.node("Mul", mean, w.constant(math.prod(window), n.inputs[0].type.dtype))


@emits("window_sum_grad")
def _window_sum_grad(w: Writer, n: Node, xs: list[str]) -> str:
    """A transposed convolution of each channel with ones."""
    shape, window, stride, padding, dilation = n.attrs
    _need_floats(n)
    dtype, k = n.inputs[0].type.dtype, len(window)
    g = n.inputs[0].type.shape
    x = w.reshape(xs[0], [numel(g[: len(g) - k]), 1, *g[len(g) - k :]])
    full = [(m - 1) * s + (t - 1) * d + 1 for m, s, t, d in zip(g[len(g) - k :], stride, window, dilation)]
    ones = w.constant(np.ones((1, 1, *window)), dtype)
    out = w.node("ConvTranspose", x, ones, strides=list(stride), dilations=list(dilation), kernel_shape=list(window))
    low = [-lo for lo, _ in padding]
    high = [m - f + lo for m, f, (lo, _) in zip(shape[len(shape) - k :], full, padding)]
    if any(low) or any(high):
        out = w.node("Pad", out, w.ints([0, 0, *low, 0, 0, *high]))
    return w.reshape(out, shape)
