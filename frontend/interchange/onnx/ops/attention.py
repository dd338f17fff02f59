"""Attention, rotary embeddings, linear attention and causal convolutions with state."""

from __future__ import annotations

import math
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import Call, op
from ingot.interchange.onnx.tensors import TYPES
from ingot.ir.dtypes import by_numpy
from ingot.nn import functional as F

__all__: list[str] = []


def heads(x: Tensor, n: int) -> Tensor:
    """(B, S, n * D) -> (B, n, S, D)"""
    return x.reshape((x.shape[0], x.shape[1], n, -1)).transpose(1, 2)


def merged(x: Tensor) -> Tensor:
    """(B, n, S, D) -> (B, S, n * D)"""
    return x.transpose(1, 2).reshape((x.shape[0], x.shape[2], -1))


def _allowed(q: Tensor, k: Tensor, offset: Any, causal: bool, left: int, right: int) -> Tensor | None:
    """Which keys each query may see, by its place: (S, T), or (B, 1, S, T) where the offset is each batch's own."""
    if not causal and left < 0 and right < 0:
        return None
    place = ingot.arange(q.shape[-2]).unsqueeze(1) + offset
    at = ingot.arange(k.shape[-2])
    ok = at <= place if causal else None
    for limit, fits in ((left, lambda: at >= place - left), (right, lambda: at <= place + right)):
        if limit >= 0:
            ok = fits() if ok is None else ok & fits()
    return ok


def softmax_or_zero(scores: Tensor) -> Tensor:
    """softmax over the last dim; a row without any key is zero."""
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    return ingot.where(dead, 0, ingot.softmax(ingot.where(dead, 0, scores), -1)).to(scores.dtype)


@op("Attention")
def attention(
    c: Call, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, past_key: Tensor | None = None, past_value: Tensor | None = None,
    nonpad: Tensor | None = None, *, is_causal: int = 0, kv_num_heads: int | None = None, q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0, scale: float | None = None, softcap: float = 0.0, softmax_precision: int | None = None,
    left_window_size: int = -1, right_window_size: int = -1,
) -> tuple[Any, ...]:  # fmt: skip
    flat = q.ndim == 3
    if flat:
        if not q_num_heads or not kv_num_heads:
            raise ValueError("three-dimensional inputs need q_num_heads and kv_num_heads")
        q, k, v = heads(q, q_num_heads), heads(k, kv_num_heads), heads(v, kv_num_heads)
    offset: Any = 0
    if past_key is not None and past_value is not None:
        offset = past_key.shape[2]
        k, v = ingot.cat([past_key, k], 2), ingot.cat([past_value, v], 2)
    elif nonpad is not None:
        offset = (nonpad.to(ingot.int64) - q.shape[2]).reshape((-1, 1, 1, 1))
    present = (k, v)
    allowed = _allowed(q, k, offset, bool(is_causal), left_window_size, right_window_size)
    if nonpad is not None:
        filled = ingot.arange(k.shape[2]) < nonpad.to(ingot.int64).reshape((-1, 1, 1, 1))
        allowed = filled if allowed is None else allowed & filled
    if mask is not None and mask.shape[-1] < k.shape[2]:
        end = False if mask.dtype is ingot.bool else float("-inf")
        mask = F.pad(mask, (0, k.shape[2] - mask.shape[-1]), value=end)
    if mask is not None and mask.dtype is ingot.bool:
        allowed, mask = (mask if allowed is None else allowed & mask), None
    scale = 1.0 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale
    wide = by_numpy(TYPES[softmax_precision]) if softmax_precision else None
    simple = (
        not softcap and not c.wants(3) and (wide is None or wide is q.dtype or wide is ingot.float32) and (mask is None or allowed is None)
    )
    if simple:
        bias = mask if allowed is None else allowed
        y = F.scaled_dot_product_attention(q, k, v, bias, 0.0, False, scale, q.shape[1] != k.shape[1])
        return (merged(y) if flat else y, *present)
    if q.shape[1] != k.shape[1]:
        k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
    root = math.sqrt(scale)
    scores = ingot.matmul(q * root, (k * root).mT)
    seen = [scores]
    if softcap:
        scores = ingot.tanh(scores / softcap) * softcap
    seen.append(scores)
    if mask is not None:
        scores = scores + mask
    if allowed is not None:
        scores = ingot.where(allowed, scores, float("-inf")).to(scores.dtype)
    seen.append(scores)
    weights = softmax_or_zero(scores if wide is None else scores.to(wide)).to(q.dtype)
    seen.append(weights)
    y = ingot.matmul(weights.to(v.dtype), v)
    return (merged(y) if flat else y, *present, seen[qk_matmul_output_mode])


@op("DotProductAttention", domain="ingot")
def dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, scale: float) -> Tensor:
    """softmax(q @ k * scale + mask) @ v, where a model spreads it out (patterns.py)."""
    if mask is not None and mask.dtype is not q.dtype or min(q.ndim, k.ndim, v.ndim) < 2:
        scores = ingot.matmul(q, k) * scale
        return ingot.matmul(ingot.softmax(scores if mask is None else scores + mask, -1), v)
    return F.scaled_dot_product_attention(q, k.mT, v, mask, 0.0, False, scale)


@op("FlexAttention", domain="ai.onnx.preview")
def flex_attention(
    c: Call, q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, softmax_precision: int | None = None, score_mod: Any = None,
    prob_mod: Any = None,
) -> Tensor:  # fmt: skip
    if q.shape[1] != k.shape[1]:
        k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
    wide = by_numpy(TYPES[softmax_precision]) if softmax_precision else ingot.float64 if q.dtype is ingot.float64 else ingot.float32
    scores = ingot.matmul(q.to(wide), k.to(wide).mT) * (1.0 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale)
    if score_mod is not None:
        (scores,) = c.body(score_mod, [scores])
    weights = softmax_or_zero(c.tensor(scores))
    if prob_mod is not None:
        (weights,) = c.body(prob_mod, [weights])
    return ingot.matmul(c.tensor(weights), v.to(wide)).to(q.dtype)


def rotated(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    """x over (B, n, S, D), turned by angles (B or 1, S, D / 2)."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        return ingot.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return ingot.cat([a * cos - b * sin, a * sin + b * cos], -1)


@op("RotaryEmbedding")
def rotary_embedding(
    x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None = None, *, interleaved: int = 0, num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Tensor:  # fmt: skip
    flat = x.ndim == 3
    if flat:
        if not num_heads:
            raise ValueError("a three-dimensional input needs num_heads")
        x = heads(x, num_heads)
    if positions is not None:
        at = positions.to(ingot.int64)
        cos, sin = cos[at], sin[at]
    n = rotary_embedding_dim or x.shape[-1]
    y = rotated(x[..., :n], cos[..., : n // 2], sin[..., : n // 2], bool(interleaved))
    if n != x.shape[-1]:
        y = ingot.cat([y, x[..., n:]], -1)
    return merged(y) if flat else y


@op("LinearAttention")
def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, past: Tensor | None = None, decay: Tensor | None = None, beta: Tensor | None = None, *,
    chunk_size: int = 64, kv_num_heads: int, q_num_heads: int, scale: float = 0.0, update_rule: str = "gated_delta",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The recurrence, a token at a time."""
    dtype = q.dtype
    q, k, v = (heads(t.float() if t.dtype.bits < 32 else t, n) for t, n in ((q, q_num_heads), (k, kv_num_heads), (v, kv_num_heads)))
    scale = scale or 1.0 / math.sqrt(q.shape[-1])
    state = ingot.zeros((*k.shape[:2], k.shape[-1], v.shape[-1]), dtype=q.dtype) if past is None else past.to(q.dtype)
    gate = None if decay is None else ingot.exp(heads(decay.to(q.dtype), kv_num_heads))  # (B, H, T, 1 or D)
    rate = None if beta is None else beta.to(q.dtype).transpose(1, 2).unsqueeze(-1)  # (B, H or 1, T, 1)
    outs = []
    for t in range(q.shape[2]):
        key, value, query = k[:, :, t], v[:, :, t], q[:, :, t]
        if gate is not None and update_rule in ("gated", "gated_delta"):
            state = state * gate[:, :, t].unsqueeze(-1)
        if update_rule in ("delta", "gated_delta"):
            value = value - ingot.matmul(key.unsqueeze(-2), state).squeeze(-2)
            if rate is not None:
                value = value * rate[:, :, t]
        state = state + key.unsqueeze(-1) * value.unsqueeze(-2)
        seen = state if q_num_heads == kv_num_heads else state.repeat_interleave(q_num_heads // kv_num_heads, 1)
        outs.append(ingot.matmul(query.unsqueeze(-2), seen).squeeze(-2) * scale)
    return merged(ingot.stack(outs, 2)).to(dtype), state.to(dtype if past is None else past.dtype)


@op("CausalConvWithState")
def causal_conv_with_state(
    x: Tensor, w: Tensor, b: Tensor | None = None, past: Tensor | None = None, *, activation: str = "none"
) -> tuple[Tensor, Tensor]:
    k = w.shape[-1]
    whole = F.pad(x, (k - 1, 0)) if past is None else ingot.cat([past, x], -1)
    y = F.conv1d(whole, w, b, groups=x.shape[1])
    if activation in ("silu", "swish"):
        y = F.silu(y)
    elif activation != "none":
        raise ValueError(f"the activation {activation!r}")
    return y, ingot.narrow(whole, -1, whole.shape[-1] - (k - 1), k - 1)
