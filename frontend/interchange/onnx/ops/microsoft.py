"""Ops of com.microsoft that ONNX Runtime's tools put into transformer models."""

from __future__ import annotations

import math
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.attention import heads, merged, rotated, softmax_or_zero
from ingot.interchange.onnx.ops.convolution import convolved
from ingot.interchange.onnx.ops.linear import integer_product
from ingot.interchange.onnx.ops.normalization import layer_norm
from ingot.interchange.onnx.ops.quantization import dequantize_linear, dynamic_quantize_linear, quantize_linear
from ingot.interchange.onnx.rules import Call, op
from ingot.nn import functional as F

__all__ = ["attended_packed", "embed_layer_norm", "unpacked"]

MS = "com.microsoft"

op("LayerNormalization", domain=MS)(layer_norm)
op("QuantizeLinear", domain=MS, raw=True)(quantize_linear)
op("DequantizeLinear", domain=MS, raw=True)(dequantize_linear)


@op("Gelu", domain=MS)
def gelu(x: Tensor) -> Tensor:
    return F.gelu(x)


@op("BiasGelu", domain=MS)
def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(x + bias)


@op("FastGelu", domain=MS)
def fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


@op("QuickGelu", domain=MS)
def quick_gelu(x: Tensor, *, alpha: float = 1.702) -> Tensor:
    return x * ingot.sigmoid(x * alpha)


@op("BiasSoftmax", domain=MS)
def bias_softmax(x: Tensor, bias: Tensor, *, axis: int = 1, is_inner_broadcast: int = 1) -> Tensor:
    return ingot.softmax(x + bias, axis)


@op("FusedMatMul", "TransposeMatMul", domain=MS)
def fused_mat_mul(
    a: Tensor, b: Tensor, *, alpha: float = 1.0, transA: int = 0, transB: int = 0, transBatchA: int = 0, transBatchB: int = 0
) -> Tensor:
    if transBatchA or transBatchB:
        raise ValueError("transposed batch dims")
    y = ingot.matmul(a.mT if transA else a, b.mT if transB else b)
    return y if alpha == 1 else y * alpha


_AFTER = {"Relu": ingot.relu, "Sigmoid": ingot.sigmoid, "Tanh": ingot.tanh}


def _activated(y: Tensor, name: str, params: Any) -> Tensor:
    if not name:
        return y
    if name == "LeakyRelu":
        return F.leaky_relu(y, params[0] if params else 0.01)
    if name == "Clip":
        return ingot.clamp(y, *params)
    if name == "HardSigmoid":
        return ingot.clamp(y * params[0] + params[1], 0, 1)
    if name not in _AFTER:
        raise ValueError(f"the activation {name!r}")
    return _AFTER[name](y)


@op("FusedConv", domain=MS)
def fused_conv(
    x: Tensor, w: Tensor, b: Tensor | None = None, z: Tensor | None = None, *, activation: str = "", activation_params: Any = None,
    auto_pad: str = "NOTSET", dilations: Any = None, group: int = 1, kernel_shape: Any = None, pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    y = convolved(x, w, b, kernel_shape, strides, dilations, pads, auto_pad, group)
    return _activated(y if z is None else y + z, activation, activation_params)


@op("FusedGemm", domain=MS)
def fused_gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *, activation: str = "", activation_alpha: float = 0.0, activation_beta: float = 0.0,
    activation_gamma: float = 0.0, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,
) -> Tensor:  # fmt: skip
    y = ingot.matmul(a.mT if transA else a, b.mT if transB else b) * alpha
    return _activated(y if c is None else y + c * beta, activation, [activation_alpha, activation_beta])


# ---- norms


@op("SkipLayerNormalization", domain=MS)
def skip_layer_norm(
    x: Tensor, skip: Tensor, gamma: Tensor, beta: Tensor | None = None, bias: Tensor | None = None, *, epsilon: float = 1e-12
) -> Any:
    total = x + skip if bias is None else x + skip + bias
    return F.layer_norm(total, tuple(gamma.shape), gamma, beta, epsilon), None, None, total


def simplified_layer_norm(x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Tensor:
    return F.rms_norm(x, tuple(scale.shape), scale, epsilon)


op("SimplifiedLayerNormalization")(simplified_layer_norm)  # which ONNX Runtime has in the default domain
op("SimplifiedLayerNormalization", domain=MS)(simplified_layer_norm)


@op("SkipSimplifiedLayerNormalization", domain=MS)
def skip_simplified_layer_norm(x: Tensor, skip: Tensor, gamma: Tensor, bias: Tensor | None = None, *, epsilon: float = 1e-12) -> Any:
    total = x + skip if bias is None else x + skip + bias
    return F.rms_norm(total, tuple(gamma.shape), gamma, epsilon), None, None, total


@op("EmbedLayerNormalization", domain=MS)
def embed_layer_norm(
    ids: Tensor, segments: Tensor | None, words: Tensor, positions: Tensor, segment: Tensor | None, gamma: Tensor, beta: Tensor,
    mask: Tensor | None = None, position_ids: Tensor | None = None, *, epsilon: float = 1e-12, mask_index_type: int = 1,
) -> Any:  # fmt: skip
    at = ingot.arange(ids.shape[1]) if position_ids is None else position_ids.to(ingot.int64)
    total = words[ids.to(ingot.int64)] + positions[at]
    if segment is not None and segments is not None:
        total = total + segment[segments.to(ingot.int64)]
    y = F.layer_norm(total, tuple(gamma.shape), gamma, beta, epsilon)
    index = ingot.zeros(ids.shape[0], dtype=ingot.int32) if mask is None else mask.sum(1).to(ingot.int32)
    return y, index, total


# ---- attention


def _attended(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, ok: Tensor | None, scale: float | None, masked: float, causal: bool
) -> Tensor:
    """Over (B, n, S, D). `ok`: what takes part; the rest gets the bias `masked`, as ONNX Runtime has it."""
    if causal:
        offset = k.shape[2] - q.shape[2]
        seen = ingot.arange(k.shape[2]) <= ingot.arange(q.shape[2]).unsqueeze(1) + offset
        if ok is None:
            ok = seen
        else:
            ok = ok & seen
    if ok is not None:
        low = ingot.where(ok, 0.0, masked).to(q.dtype)
        bias = low if bias is None else bias + low
    return F.scaled_dot_product_attention(q, k, v, bias, 0.0, False, scale or None)


def _key_mask(mask: Tensor, total: int) -> Tensor:
    """A mask of keys as (B, 1, S or 1, T): lengths (B,), keys (B, T), or the whole (B, S, T) and (B, 1, S, T)."""
    if mask.ndim == 1:
        return (ingot.arange(total) < mask.to(ingot.int64).unsqueeze(1)).unsqueeze(1).unsqueeze(1)
    ok = mask > 0
    return ok.unsqueeze(1).unsqueeze(1) if mask.ndim == 2 else ok.unsqueeze(1) if mask.ndim == 3 else ok


@op("Attention", domain=MS)
def attention(
    c: Call, x: Tensor, w: Tensor, b: Tensor | None = None, mask: Tensor | None = None, past: Tensor | None = None,
    bias: Tensor | None = None, past_length: Tensor | None = None, *, num_heads: int, unidirectional: int = 0, scale: float = 0.0,
    mask_filter_value: float = -10000.0, qkv_hidden_sizes: Any = None, do_rotary: int = 0, past_present_share_buffer: int = 0,
    rotary_embedding_dim: int = 0,
) -> Any:  # fmt: skip
    """Projections packed in one matrix, then attention."""
    if do_rotary or past_present_share_buffer:
        raise ValueError("rotary embeddings and shared buffers within Attention")
    y = ingot.matmul(x, w)
    y = y if b is None else y + b
    sizes = list(qkv_hidden_sizes or [w.shape[1] // 3] * 3)
    return attended_packed(c, y, sizes, num_heads, mask, past, bias, scale, mask_filter_value, bool(unidirectional))


def attended_packed(
    c: Call, y: Tensor, sizes: list[int], num_heads: int, mask: Tensor | None, past: Tensor | None, bias: Tensor | None, scale: float,
    masked: float, causal: bool,
) -> Any:  # fmt: skip
    """Attention of queries, keys and values that lie side by side, behind those of a cache."""
    q, k, v = (heads(t, num_heads) for t in ingot.split(y, sizes, -1))
    if past is not None:
        k, v = ingot.cat([past[0], k], 2), ingot.cat([past[1], v], 2)
    ok = None if mask is None else _key_mask(mask, k.shape[2])
    out = merged(_attended(q, k, v, bias, ok, scale, masked, causal))
    return (out, ingot.stack([k, v], 0)) if c.wants(1) else out


@op("MultiHeadAttention", domain=MS)
def multi_head_attention(
    c: Call, q: Tensor, k: Tensor | None = None, v: Tensor | None = None, bias: Tensor | None = None, mask: Tensor | None = None,
    attention_bias: Tensor | None = None, past_key: Tensor | None = None, past_value: Tensor | None = None, *, num_heads: int,
    mask_filter_value: float = -10000.0, scale: float = 0.0, unidirectional: int = 0,
) -> Any:  # fmt: skip
    if k is None or v is None:
        if q.ndim != 5:
            raise ValueError("keys and values are missing")
        q, k, v = (q[:, :, :, i].reshape((q.shape[0], q.shape[1], -1)) for i in range(3))
    if bias is not None:
        bq, bk, bv = ingot.split(bias, [q.shape[-1], q.shape[-1], bias.shape[0] - 2 * q.shape[-1]], 0)
        q = q + bq
        if k.ndim == 3:
            k, v = k + bk, v + bv
    q = heads(q, num_heads)
    if k.ndim == 3:
        k, v = heads(k, num_heads), heads(v, num_heads)
    if past_key is not None and past_value is not None:
        k, v = ingot.cat([past_key, k], 2), ingot.cat([past_value, v], 2)
    ok = None if mask is None else _key_mask(mask, k.shape[2])
    out = merged(_attended(q, k, v, attention_bias, ok, scale, mask_filter_value, bool(unidirectional)))
    return (out, k, v) if c.wants(1) else out


@op("GroupQueryAttention", domain=MS)
def group_query_attention(
    c: Call, q: Tensor, k: Tensor | None, v: Tensor | None, past_key: Tensor | None, past_value: Tensor | None, seqlens: Tensor,
    total: Any, cos: Tensor | None = None, sin: Tensor | None = None, position_ids: Tensor | None = None, bias: Tensor | None = None,
    sink: Tensor | None = None, k_scale: Tensor | None = None, v_scale: Tensor | None = None, q_norm: Tensor | None = None,
    k_norm: Tensor | None = None, valid: Tensor | None = None, *, num_heads: int, kv_num_heads: int, scale: float = 0.0,
    do_rotary: int = 0, rotary_interleaved: int = 0, local_window_size: int = -1, softcap: float = 0.0, smooth_softmax: int = 0,
    causal: int = 1, qk_norm_epsilon: float = 1e-6, q_norm_epsilon: float | None = None, k_norm_epsilon: float | None = None,
    k_quant_type: str = "NONE", v_quant_type: str = "NONE", kv_cache_bit_width: int = 0, qk_output: int = 0,
    sliding_window_cache: int = 0,
) -> Any:  # fmt: skip
    """Grouped heads over a cache; `seqlens` is how many keys each sequence has, less one."""
    if k_scale is not None or v_scale is not None or (k_quant_type, v_quant_type) != ("NONE", "NONE"):
        raise ValueError("a cache of quantised keys and values")
    if sliding_window_cache or valid is not None or qk_output:
        what = "a cache of one window" if sliding_window_cache else "scores as an output" if qk_output else "queries of several lengths"
        raise ValueError(what)
    if not causal and local_window_size >= 0:
        raise ValueError("windows of attention that is not causal")
    if k is None or v is None:
        d = q.shape[-1] // (num_heads + 2 * kv_num_heads)
        q, k, v = ingot.split(q, [num_heads * d, kv_num_heads * d, kv_num_heads * d], -1)
    q, k, v = heads(q, num_heads), heads(k, kv_num_heads), heads(v, kv_num_heads)
    if q_norm is not None and k_norm is not None:
        q = F.rms_norm(q, (q.shape[-1],), q_norm, qk_norm_epsilon if q_norm_epsilon is None else q_norm_epsilon)
        k = F.rms_norm(k, (k.shape[-1],), k_norm, qk_norm_epsilon if k_norm_epsilon is None else k_norm_epsilon)
    steps = q.shape[2]
    before = (seqlens.to(ingot.int64) + 1 - steps).reshape((-1, 1))  # keys in the cache
    at = before + ingot.arange(steps)
    if do_rotary and cos is not None and sin is not None:
        place = at if position_ids is None else position_ids.to(ingot.int64)
        n = cos.shape[-1] * 2
        turn = [rotated(t[..., :n], cos[place], sin[place], bool(rotary_interleaved)) for t in (q, k)]
        q, k = (ingot.cat([a, t[..., n:]], -1) if n != t.shape[-1] else a for a, t in zip(turn, (q, k)))
    room = steps if past_key is None else past_key.shape[2]
    if past_key is not None and past_value is not None and room:
        if c.known(total, "the total sequence length").reshape(-1)[0] > room:  # a cache that grows
            k, v = ingot.cat([past_key, k], 2), ingot.cat([past_value, v], 2)
        else:
            index = [ingot.broadcast_to(at.reshape((-1, 1, steps, 1)), t.shape) for t in (k, v)]
            k, v = ingot.scatter(past_key, 2, index[0], k), ingot.scatter(past_value, 2, index[1], v)
    keys = ingot.arange(k.shape[2])
    ok = keys <= (at if causal else at[:, -1:]).unsqueeze(-1)
    if local_window_size >= 0:
        ok = ok & (keys > at.unsqueeze(-1) - local_window_size)
    full_k, full_v = (t.repeat_interleave(num_heads // kv_num_heads, 1) for t in (k, v))
    scores = ingot.matmul(q, full_k.mT) * (scale or 1.0 / math.sqrt(q.shape[-1]))
    if softcap:
        scores = ingot.tanh(scores / softcap) * softcap
    scores = ingot.where(ok.unsqueeze(1), scores if bias is None else scores + bias, float("-inf")).to(q.dtype)
    if sink is not None or smooth_softmax:  # one more key, which has no value
        none = scores.new_zeros((*scores.shape[:3], 1))
        scores = ingot.cat([scores, none if sink is None else none + sink.reshape((-1, 1, 1)).to(scores.dtype)], -1)
        return merged(ingot.matmul(ingot.softmax(scores, -1)[..., :-1], full_v)), k, v
    return merged(ingot.matmul(softmax_or_zero(scores), full_v)), k, v


@op("RotaryEmbedding", domain=MS)
def rotary_embedding(
    x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor, *, interleaved: int = 0, is_packed_batching: int = 0, num_heads: int = 0,
    rotary_embedding_dim: int = 0, scale: float = 1.0,
) -> Tensor:  # fmt: skip
    flat = x.ndim == 3
    n = rotary_embedding_dim or cos.shape[-1] * 2
    if flat:
        x = heads(x, num_heads or x.shape[-1] // n)
    at = positions.to(ingot.int64)
    if at.numel() == 1:  # where the first token stands
        at = at.reshape((1, 1)) + ingot.arange(x.shape[2])
    y = rotated(x[..., :n], cos[at], sin[at], bool(interleaved))
    if n != x.shape[-1]:
        y = ingot.cat([y, x[..., n:]], -1)
    return merged(y) if flat else y


# ---- quantised


@op("MatMulNBits", domain=MS)
def mat_mul_n_bits(
    a: Tensor, b: Tensor, scales: Tensor, zeros: Tensor | None = None, g_idx: Tensor | None = None, bias: Tensor | None = None, *,
    K: int, N: int, bits: int = 4, block_size: int, accuracy_level: int = 0, weight_prepacked: int = 0,
) -> Tensor:  # fmt: skip
    """a @ W.T, with W (N, K) in blocks of `bits`-bit numbers, each with a scale and a zero point."""
    if weight_prepacked:
        raise ValueError(f"weights in the order of a device (weight_prepacked={weight_prepacked})")
    if bits not in (2, 4, 8):
        raise ValueError(f"{bits} bits")
    blocks = -(-K // block_size)
    w = unpacked(b.reshape((N, blocks, -1)), bits).reshape((N, blocks, -1))[..., :block_size]
    if zeros is None:
        zero: Any = 1 << (bits - 1)
    elif zeros.is_floating_point():
        zero = zeros.reshape((N, blocks, 1))
    else:
        zero = unpacked(zeros.reshape((N, -1)), bits)[:, :blocks].unsqueeze(-1).to(a.dtype)
    scale = scales.reshape((N, blocks, 1)).to(a.dtype)
    if g_idx is not None:  # which block each column belongs to
        w, of = w.reshape((N, -1))[:, :K], g_idx[:K].to(ingot.int64)
        scale = scale[:, of, 0]
        zero = zero[:, of, 0] if isinstance(zero, Tensor) else zero
    weight = (w.to(a.dtype) - zero) * scale
    y = ingot.matmul(a, weight.reshape((N, -1))[:, :K].T)
    return y if bias is None else y + bias


def unpacked(x: Tensor, bits: int) -> Tensor:
    """Small numbers out of bytes, the lowest bits first."""
    if bits == 8:
        return x
    parts = [(x >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
    return ingot.stack(parts, -1).reshape((*x.shape[:-1], -1))


@op("MatMulIntegerToFloat", domain=MS)
def mat_mul_integer_to_float(
    a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    y = integer_product(a, b, a_zero, b_zero).to(a_scale.dtype) * (a_scale * b_scale)
    return y if bias is None else y + bias


@op("DynamicQuantizeMatMul", domain=MS)
def dynamic_quantize_mat_mul(a: Tensor, b: Tensor, b_scale: Tensor, b_zero: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    q, scale, zero = dynamic_quantize_linear(a)
    return mat_mul_integer_to_float(q, b, scale, b_scale, zero, b_zero, bias)


@op("Inverse", domain=MS)
def inverse(x: Tensor) -> Tensor:
    return ingot.inverse(x)
