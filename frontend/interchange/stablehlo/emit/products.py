"""Products of matrices, convolutions and their gradients. Halves are multiplied and added up in float32."""

from __future__ import annotations

from collections.abc import Sequence

from ingot.interchange.stablehlo.emit.writer import V, Writer, emits, empty, ints
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node

__all__: list[str] = []


def _wide(dtype: DType) -> DType:
    return dtypes.f32 if dtype in dtypes.Half else dtype


@emits("dot")
def _dot(w: Writer, n: Node, xs: list[V]) -> V:
    batch, contract = n.attrs
    fields = {"lhs_batching_dimensions": batch[0], "rhs_batching_dimensions": batch[1], "lhs_contracting_dimensions": contract[0],
              "rhs_contracting_dimensions": contract[1]}  # fmt: skip
    dims = ", ".join(f"{k} = [{', '.join(map(str, v))}]" for k, v in fields.items())
    t = n.outputs[0].type
    highest = "#stablehlo<precision HIGHEST>"
    attrs = f"dot_dimension_numbers = #stablehlo.dot<{dims}>, precision_config = [{highest}, {highest}]"
    out = w.many("dot_general", xs, [(_wide(t.dtype), t.shape)], attrs)[0]
    return w.cast(out, t.dtype)


def _convolution(
    w: Writer, x: V, k: V, shape: Sequence[int], *, stride: Sequence[int], padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int], rhs_dilation: Sequence[int], dims: tuple[str, str, str], groups: int = 1, batches: int = 1,
) -> V:  # fmt: skip
    """dims: the letters in front of the spatial dims of input, kernel and result."""
    n = len(stride)
    spatial = "".join(map(str, range(n)))
    spelled = [f"[{', '.join(d + spatial)}]" for d in dims]
    ints([p for pair in padding for p in pair])
    pads = ", ".join(f"[{lo}, {hi}]" for lo, hi in padding)
    highest = "#stablehlo<precision HIGHEST>"
    attrs = (
        f"window_strides = {ints(stride)}, padding = dense<[{pads}]> : tensor<{n}x2xi64>, lhs_dilation = {ints(lhs_dilation)}, "
        f"rhs_dilation = {ints(rhs_dilation)}, dimension_numbers = #stablehlo.conv<{spelled[0]}x{spelled[1]}->{spelled[2]}>, "
        f"feature_group_count = {groups} : i64, batch_group_count = {batches} : i64, precision_config = [{highest}, {highest}]"
    )
    out = w.many("convolution", (x, k), [(_wide(x.dtype), shape)], attrs)[0]
    return w.cast(out, x.dtype)


def _empty(w: Writer, n: Node, xs: list[V]) -> V | None:
    """Zeros, where there is nothing to add up."""
    return w.constant(0, xs[0].dtype, n.outputs[0].type.shape) if any(empty(x.shape) for x in xs) else None


@emits("conv")
def _conv(w: Writer, n: Node, xs: list[V]) -> V:
    x, k = xs
    stride, padding, dilation, groups = n.attrs
    ones = (1,) * len(stride)
    return _empty(w, n, xs) or _convolution(
        w, x, k, n.outputs[0].type.shape, stride=stride, padding=padding, lhs_dilation=ones, rhs_dilation=dilation,
        dims=("bf", "oi", "bf"), groups=groups,
    )  # fmt: skip


@emits("conv_input_grad")
def _input_grad(w: Writer, n: Node, xs: list[V]) -> V:
    """A convolution of the cotangent, spread out by the stride, with the kernel turned around."""
    g, k = xs
    input_shape, stride, padding, dilation, groups = n.attrs
    none = _empty(w, n, xs)
    if none is not None:
        return none
    spatial = k.shape[2:]
    o, i = k.shape[:2]
    k = w.reshape(k, (groups, o // groups, i, *spatial))
    k = w.transpose(k, [0, 2, 1, *range(3, 3 + len(spatial))])
    k = w.reshape(k, (groups * i, o // groups, *spatial))
    k = w.op("reverse", k, attrs=f"dimensions = {ints(range(2, 2 + len(spatial)))}")
    pads = []
    for size, out, t, s, (lo, _), d in zip(input_shape[2:], g.shape[2:], spatial, stride, padding, dilation):
        low = (t - 1) * d - lo
        pads.append((low, size + (t - 1) * d - low - ((out - 1) * s + 1)))
    return _convolution(
        w, g, k, input_shape, stride=(1,) * len(stride), padding=pads, lhs_dilation=stride, rhs_dilation=dilation,
        dims=("bf", "oi", "bf"), groups=groups,
    )  # fmt: skip


@emits("conv_weight_grad")
def _weight_grad(w: Writer, n: Node, xs: list[V]) -> V:
    """Images are features, and channels images, of a convolution whose kernel is the cotangent."""
    x, g = xs
    weight_shape, stride, padding, dilation, groups = n.attrs
    none = _empty(w, n, xs)
    if none is not None:
        return none
    pads = []
    for size, out, t, s, (lo, _), d in zip(x.shape[2:], g.shape[2:], weight_shape[2:], stride, padding, dilation):
        pads.append((lo, (t - 1) * d + (out - 1) * s + 1 - size - lo))
    return _convolution(
        w, x, g, weight_shape, stride=dilation, padding=pads, lhs_dilation=(1,) * len(stride), rhs_dilation=stride,
        dims=("fb", "io", "fb"), batches=groups,
    )  # fmt: skip
