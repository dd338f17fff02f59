"""Ops of com.microsoft on quantised numbers: calculated with the numbers that are meant, and rounded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.linear import integer_product
from ingot.interchange.onnx.ops.microsoft import attended_packed, embed_layer_norm, unpacked
from ingot.interchange.onnx.ops.movement import axis_of
from ingot.interchange.onnx.ops.pooling import average_pool
from ingot.interchange.onnx.ops.quantization import dynamic_quantize_linear, qlinear_conv, quantized
from ingot.interchange.onnx.ops.recurrent import directions_of, run_directions, stepped
from ingot.interchange.onnx.rules import Call, op
from ingot.interchange.onnx.values import Coded, decoded
from ingot.nn import functional as F

__all__: list[str] = []

MS = "com.microsoft"


def _real(x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    """The numbers that are meant."""
    whole = x.to(ingot.int32)
    return (whole if zero is None else whole - zero.to(ingot.int32)).to(scale.dtype) * scale


def _held(y: Tensor, scale: Tensor, zero: Tensor | None, like: Tensor) -> Any:
    """Numbers in the integers that stand for them."""
    return quantized(y / scale, zero, np.dtype((like if zero is None else zero).dtype.numpy))


def _binary(name: str, f: Callable[[Tensor, Tensor], Tensor]) -> None:
    @op(name, domain=MS)
    def rule(
        a: Tensor, a_scale: Tensor, a_zero: Tensor | None, b: Tensor, b_scale: Tensor, b_zero: Tensor | None, scale: Tensor,
        zero: Tensor | None = None,
    ) -> Any:  # fmt: skip
        return _held(f(_real(a, a_scale, a_zero), _real(b, b_scale, b_zero)), scale, zero, a)


_binary("QLinearAdd", ingot.add)
_binary("QLinearMul", ingot.mul)


@op("QLinearSigmoid", domain=MS)
def qlinear_sigmoid(x: Tensor, x_scale: Tensor, x_zero: Tensor | None, scale: Tensor, zero: Tensor | None = None) -> Any:
    return _held(ingot.sigmoid(_real(x, x_scale, x_zero)), scale, zero, x)


@op("QLinearLeakyRelu", domain=MS)
def qlinear_leaky_relu(
    x: Tensor, x_scale: Tensor, x_zero: Tensor | None, scale: Tensor, zero: Tensor | None = None, *, alpha: float = 0.01
) -> Any:
    return _held(F.leaky_relu(_real(x, x_scale, x_zero), alpha), scale, zero, x)


@op("QLinearSoftmax", domain=MS)
def qlinear_softmax(
    x: Tensor, x_scale: Tensor, x_zero: Tensor | None, scale: Tensor, zero: Tensor | None = None, *, axis: int = -1, opset: int
) -> Any:
    real, axis = _real(x, x_scale, x_zero), axis_of(axis, x.ndim)
    y = ingot.softmax(real, axis) if opset >= 13 else ingot.softmax(real.flatten(axis), -1).reshape(x.shape)
    return _held(y, scale, zero, x)


@op("QLinearGlobalAveragePool", domain=MS)
def qlinear_global_average_pool(
    x: Tensor, x_scale: Tensor, x_zero: Tensor | None, scale: Tensor, zero: Tensor | None = None, *, channels_last: int = 0
) -> Any:
    axes = tuple(range(1, x.ndim - 1) if channels_last else range(2, x.ndim))
    return _held(_real(x, x_scale, x_zero).mean(axes, keepdim=True), scale, zero, x)


@op("QLinearAveragePool", domain=MS)
def qlinear_average_pool(
    x: Tensor, x_scale: Tensor, x_zero: Tensor | None, scale: Tensor, zero: Tensor | None = None, *, auto_pad: str = "NOTSET",
    ceil_mode: int = 0, channels_last: int = 0, count_include_pad: int = 0, kernel_shape: list[int], pads: Any = None, strides: Any = None,
) -> Any:  # fmt: skip
    real = _real(x, x_scale, x_zero)
    y = average_pool(
        ingot.moveaxis(real, -1, 1) if channels_last else real, auto_pad=auto_pad, ceil_mode=ceil_mode, pads=pads,
        count_include_pad=count_include_pad, kernel_shape=kernel_shape, strides=strides,
    )  # fmt: skip
    return _held(ingot.moveaxis(y, 1, -1) if channels_last else y, scale, zero, x)


@op("QLinearReduceMean", domain=MS)
def qlinear_reduce_mean(
    x: Tensor, x_scale: Tensor, x_zero: Tensor | None, scale: Tensor, zero: Tensor | None = None, *, axes: list[int], keepdims: int = 1
) -> Any:
    return _held(_real(x, x_scale, x_zero).mean(tuple(axes), keepdim=bool(keepdims)), scale, zero, x)


@op("QLinearConcat", domain=MS)
def qlinear_concat(scale: Tensor, zero: Tensor, *inputs: Tensor, axis: int) -> Any:
    """Of triples: numbers, their scale, their zero point."""
    parts = [_real(*inputs[i : i + 3]) for i in range(0, len(inputs), 3)]
    return _held(ingot.cat(parts, axis), scale, zero, inputs[0])


@op("QLinearWhere", domain=MS)
def qlinear_where(
    condition: Tensor, x: Tensor, x_scale: Tensor, x_zero: Tensor, y: Tensor, y_scale: Tensor, y_zero: Tensor, scale: Tensor, zero: Tensor
) -> Any:
    return _held(ingot.where(condition, _real(x, x_scale, x_zero), _real(y, y_scale, y_zero)), scale, zero, x)


@op("QLinearConv", domain=MS)
def qlinear_conv_any_layout(
    x: Tensor, x_scale: Tensor, x_zero: Tensor, w: Tensor, w_scale: Tensor, w_zero: Tensor, y_scale: Tensor, y_zero: Tensor,
    b: Tensor | None = None, *, auto_pad: str = "NOTSET", channels_last: int = 0, dilations: Any = None, group: int = 1,
    kernel_shape: Any = None, pads: Any = None, strides: Any = None,
) -> Any:  # fmt: skip
    x = ingot.moveaxis(x, -1, 1) if channels_last else x
    y = qlinear_conv(
        x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, b, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads,
        strides=strides,
    )  # fmt: skip
    return ingot.moveaxis(y, 1, -1) if channels_last else y


@op("QGemm", domain=MS)
def qgemm(
    a: Tensor, a_scale: Tensor, a_zero: Tensor, b: Tensor, b_scale: Tensor, b_zero: Tensor, c: Tensor | None = None,
    y_scale: Tensor | None = None, y_zero: Tensor | None = None, *, alpha: float = 1.0, transA: int = 0, transB: int = 0,
) -> Any:  # fmt: skip
    """alpha * a @ b + c, where c counts in the scale of the product; floats where no scale of the result is given."""
    total = integer_product(a.mT if transA else a, b.mT if transB else b, a_zero, b_zero)
    y = (total if c is None else total + c).to(ingot.float32) * (a_scale * b_scale * alpha)
    return y if y_scale is None else _held(y, y_scale, y_zero, a)


@op("MatMulInteger16", domain=MS)
def mat_mul_integer_16(a: Tensor, b: Tensor) -> Tensor:
    return ingot.matmul(a.to(ingot.int32), b.to(ingot.int32))


@op("QAttention", domain=MS)
def qattention(
    c: Call, x: Tensor, w: Tensor, b: Tensor, x_scale: Tensor, w_scale: Tensor, mask: Tensor | None = None, x_zero: Tensor | None = None,
    w_zero: Tensor | None = None, past: Tensor | None = None, *, num_heads: int, unidirectional: int = 0, scale: float = 0.0,
    mask_filter_value: float = -10000.0, do_rotary: int = 0, past_present_share_buffer: int = 0,
) -> Any:  # fmt: skip
    if do_rotary or past_present_share_buffer:
        raise ValueError("rotary embeddings and shared buffers within QAttention")
    y = integer_product(x, w, x_zero, w_zero).to(x_scale.dtype) * (x_scale * w_scale) + b
    return attended_packed(c, y, [w.shape[1] // 3] * 3, num_heads, mask, past, None, scale, mask_filter_value, bool(unidirectional))


@op("QEmbedLayerNormalization", domain=MS)
def qembed_layer_norm(
    ids: Tensor, segments: Tensor | None, words: Tensor, positions: Tensor, segment: Tensor | None, gamma: Tensor, beta: Tensor,
    mask: Tensor | None, *scales: Tensor, epsilon: float = 1e-12,
) -> Any:  # fmt: skip
    """The tables are quantised, each with a scale and a zero point: five scales, then five zero points."""
    zeros = (*scales[5:], *[None] * 10)
    parts = [_real(t, s, z) for t, s, z in zip((words, positions, gamma, beta), (*scales[:2], *scales[3:5]), (*zeros[:2], *zeros[3:5]))]
    middle = None if segment is None else _real(segment, scales[2], zeros[2])
    return embed_layer_norm(ids, segments, parts[0], parts[1], middle, parts[2], parts[3], mask, epsilon=epsilon)[:2]


@op("DynamicQuantizeLSTM", domain=MS)
def dynamic_quantize_lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, lengths: Tensor | None = None, h: Tensor | None = None,
    c: Tensor | None = None, p: Tensor | None = None, w_scale: Tensor | None = None, w_zero: Tensor | None = None,
    r_scale: Tensor | None = None, r_zero: Tensor | None = None, *, activation_alpha: Any = None, activation_beta: Any = None,
    activations: Any = None, clip: float | None = None, direction: str = "forward", hidden_size: int, input_forget: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Weights are quantised, (directions, in, 4 * hidden); inputs and states are before each product."""
    usual = ["sigmoid", "tanh", "tanh"]
    if p is not None or clip or input_forget or [a.lower() for a in activations or usual] != usual * (len(activations or usual) // 3):
        raise ValueError("peepholes, a clip, coupled gates, or activations that are not the usual ones")
    assert w_scale is not None and r_scale is not None

    def product(x: Tensor, w: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
        q, x_scale, x_zero = dynamic_quantize_linear(x)
        return integer_product(q, w, x_zero, zero).to(x.dtype) * (x_scale * scale)

    def one(d: int, x: Tensor, states: tuple[Tensor, ...], live: Tensor | None, back: bool) -> tuple[Tensor, ...]:
        zeros = [None if z is None else z[d] for z in (w_zero, r_zero)]
        gx = product(x.flatten(0, 1), w[d], w_scale[d], zeros[0]).reshape((*x.shape[:2], -1))
        gx = gx if b is None else gx + b[d].reshape((2, -1)).sum(0)

        def step(gx: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
            i, o, forget, new = ingot.split(gx + product(h, r[d], r_scale[d], zeros[1]), hidden_size, -1)
            c = ingot.sigmoid(forget) * c + ingot.sigmoid(i) * ingot.tanh(new)
            return ingot.sigmoid(o) * ingot.tanh(c), c

        return stepped(gx, states, live, back, step)

    return run_directions(x, [h, c], hidden_size, *directions_of(direction), 0, lengths, one)


# ---- weights of few bits


@op("GatherBlockQuantized", domain=MS, raw=True)
def gather_block_quantized(
    c: Call, data: Any, indices: Any, scales: Any, zeros: Any = None, *, bits: int = 4, block_size: int = 128, gather_axis: int = 0,
    quantize_axis: int = 1,
) -> Tensor:  # fmt: skip
    """Rows of a table in blocks of small numbers, each with a scale: bytes hold two or four of them, the lowest bits first."""
    data, scales, zeros, indices = (c.tensor(v) for v in (data, scales, zeros, indices))
    packed = isinstance(data, Tensor)
    axis, along = axis_of(gather_axis, scales.ndim), axis_of(quantize_axis, scales.ndim)
    parts = [decoded(v) if isinstance(v, Coded) else v for v in (data, scales, zeros)]
    at = indices.to(ingot.int64)
    rows, scale, zero = (None if v is None else _taken(v, at, axis) for v in parts)
    assert rows is not None and scale is not None
    along += at.ndim - 1 if along > axis else 0
    if packed:
        rows = unpacked(rows, bits)
        zero = None if zero is None else ingot.narrow(unpacked(zero, bits), -1, 0, scale.shape[-1])
    n = rows.shape[along]

    def spread(v: Tensor) -> Tensor:
        return ingot.narrow(v.repeat_interleave(block_size, along), along, 0, n)

    whole = rows.to(ingot.int32)
    if zero is not None:
        whole = whole - spread(zero).to(ingot.int32)
    elif packed:
        whole = whole - (1 << (bits - 1))
    return whole.to(scale.dtype) * spread(scale)


def _taken(x: Tensor, at: Tensor, axis: int) -> Tensor:
    """x at places along an axis, whose dims take that axis's place."""
    at = ingot.where(at < 0, at + x.shape[axis], at)
    flat = ingot.index_select(x, axis, at.reshape((-1,)))
    return flat.reshape((*x.shape[:axis], *at.shape, *x.shape[axis + 1 :]))


_FOUR_BITS = {  # what the codes of bitsandbytes mean
    0: (0.0, 0.00520833333, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25,
        0.0, -0.00520833333, -0.66666667, -1.0, -0.33333333, -0.5, -0.16666667, -0.25),
    1: (-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
        -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
        0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
}  # fmt: skip


@op("MatMulBnb4", domain=MS)
def mat_mul_bnb4(
    a: Tensor, b: Tensor, absmax: Tensor, *, K: int, N: int, block_size: int, quant_type: int, training_mode: int = 0, transB: int = 1
) -> Tensor:
    """a @ W.T with codes of four bits, the higher ones first, in blocks that share their largest magnitude."""
    codes = ingot.stack([b.reshape((-1,)) >> 4, b.reshape((-1,)) & 15], -1).reshape((-1,))[: N * K].to(ingot.int64)
    largest = absmax.repeat_interleave(block_size, 0)[: N * K]
    w = (ingot.tensor(_FOUR_BITS[quant_type])[codes] * largest).to(a.dtype)
    return ingot.matmul(a, w.reshape((N, K)).T) if transB else ingot.matmul(a, w.reshape((K, N)))
