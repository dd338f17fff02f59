"""scaled_dot_product_attention and multi_head_attention_forward."""

from __future__ import annotations

import math
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import lower
from ingot._tensor.composites import composite, keeps
from ingot.functions.common import dtype_name
from ingot.ir.facts import Kept
from ingot.ir.size import ShapeError
from ingot.nn.functional.dense import linear
from ingot.nn.functional.padding import pad
from ingot.nn.functional.stochastic import dropout
from ingot.runtime.recorder import here


def _mask_to_bias(mask: Tensor, dtype: object) -> Tensor:
    """A boolean mask (True takes part) as 0 and -inf."""
    return ingot.where(mask, 0.0, float("-inf")).to(dtype) if mask.dtype is ingot.bool else mask


def _softmax(scores: Tensor, masked: bool) -> Tensor:
    """softmax over the last dim; rows that are all -inf become 0 instead of NaN."""
    if not masked:
        return ingot.softmax(scores, -1)
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    return ingot.where(dead, 0.0, ingot.softmax(ingot.where(dead, 0.0, scores), -1))


@composite
@keeps(Kept.BOTH)
def _sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, uniform: Tensor | None, p: float, causal: bool, scale: float) -> Tensor:
    half = q.dtype.torch_name in ("float16", "bfloat16")
    scores = ingot.matmul(q * scale, k.transpose(-2, -1))
    scores = scores.float() if half else scores
    if causal:
        rows, cols = ingot.arange(scores.shape[-2]).unsqueeze(-1), ingot.arange(scores.shape[-1])
        scores = ingot.where(cols <= rows, scores, float("-inf"))
    if mask is not None:
        scores = ingot.where(mask, scores, float("-inf")) if mask.dtype is ingot.bool else scores + mask
    weights = _softmax(scores, mask is not None)
    if uniform is not None:
        weights = ingot.where(uniform >= p, weights * (1.0 / (1.0 - p)), 0.0)
    return ingot.matmul(weights.to(q.dtype), v)


@lower
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value over (..., L, E), (..., S, E), (..., S, V) -> (..., L, V).

    attn_mask, which broadcasts to (..., L, S), is boolean (True takes part) or added to the scores; is_causal lets position i
    see keys up to i, of those that a mask allows. scale defaults to 1 / sqrt(E). dropout_p is applied to the weights, whatever
    the mode: pass 0 outside of training. With enable_gqa, fewer key and value heads (dim -3) are repeated. ShapeError where shapes
    do not fit, RuntimeError for a mask of another dtype. Source: https://arxiv.org/abs/1706.03762.

    >>> q, k, v = ingot.zeros(1, 2, 4), ingot.zeros(1, 2, 4), ingot.tensor([[[1.0], [3.0]]])
    >>> F.scaled_dot_product_attention(q, k, v, is_causal=True)
    tensor([[[1.],
             [2.]]])
    """
    if query.is_nested:  # type: ignore[attr-defined]
        options: Any = {"dropout_p": dropout_p, "is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
        return query.attended(key, value, scaled_dot_product_attention, attn_mask=attn_mask, **options)  # type: ignore[attr-defined]
    for name, t in (("query", query), ("key", key), ("value", value)):
        if t.ndim < 2:
            raise ShapeError(f"scaled_dot_product_attention: {name} must have at least 2 dims, but has shape {list(t.shape)}")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"scaled_dot_product_attention: query {list(query.shape)}, key {list(key.shape)} and value {list(value.shape)} do not fit"
        )
    if attn_mask is not None and attn_mask.dtype not in (ingot.bool, ingot.float32, query.dtype):
        raise RuntimeError(
            f"Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{dtype_name(attn_mask.dtype)} and query.dtype: {dtype_name(query.dtype)} instead."
        )
    if not 0.0 <= dropout_p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if enable_gqa and query.ndim >= 3 and query.shape[-3] != key.shape[-3]:
        if query.shape[-3] % key.shape[-3] or query.shape[-3] % value.shape[-3]:
            raise ShapeError(f"enable_gqa: {query.shape[-3]} query heads are no multiple of {key.shape[-3]} key heads")
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scale = 1.0 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale
    if dropout_p == 1.0:
        return _sdpa(query, key, value * 0.0, attn_mask, None, 0.0, is_causal, scale)
    uniform = None
    if dropout_p:
        lead = ingot.broadcast_shapes(tuple(query.shape[:-2]), tuple(key.shape[:-2]))
        uniform = ingot.rand((*lead, query.shape[-2], key.shape[-2]), device=query.device)
    return _sdpa(query, key, value, attn_mask, uniform, dropout_p, is_causal, scale)


@composite
def _attention_weights(q: Tensor, k: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    scores = ingot.matmul(q * scale, k.transpose(-2, -1))
    return ingot.softmax(scores if mask is None else scores + mask, -1)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Multi-head attention over (L, N, E) or (L, E): the output, and the attention weights if they are asked for.

    What `nn.MultiheadAttention` calls, with all its parameters: `in_proj_weight` (3 * E, E) and `in_proj_bias` (3 * E), or three
    separate weights. Boolean masks follow torch: True means "does not take part". The weights (N, L, S) are the average of the
    heads, or (N, heads, L, S). AssertionError for widths that do not fit, ValueError for static_k and static_v.

    >>> x, eye = ingot.eye(3, 4), ingot.eye(4)
    >>> out, weights = F.multi_head_attention_forward(
    ...     x, x, x, 4, 2, ingot.cat([eye, eye, eye]), None, None, None, False, 0.0, eye, None)
    >>> out.shape, weights.shape
    (ingot.Size([3, 4]), ingot.Size([3, 3]))
    """
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise AssertionError(f"query, key and value should all be 2-D (unbatched) or 3-D (batched), but query is {query.ndim}-D")
    if query.shape[-1] != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {query.shape[-1]}")
    if embed_dim_to_check % num_heads:
        raise AssertionError(f"embed_dim {embed_dim_to_check} not divisible by num_heads {num_heads}")
    if static_k is not None or static_v is not None:
        raise ValueError("multi_head_attention_forward: static_k and static_v are not supported")
    if is_causal and attn_mask is None and (need_weights or key_padding_mask is not None):
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    tensors: Any = (
        query, key, value, None if use_separate_proj_weight else in_proj_weight, in_proj_bias, bias_k, bias_v, out_proj_weight,
        out_proj_bias, key_padding_mask, attn_mask, q_proj_weight, k_proj_weight, v_proj_weight,
    )  # fmt: skip
    one_product = key is query and value is query and not use_separate_proj_weight
    drop = dropout_p if training else 0.0
    rec = here.recorder
    apart = drop or rec.tracing or rec.level or rec.autocast is not None
    if not apart and rec.grad_enabled:
        apart = any(t is not None and t.requires_grad for t in tensors)
    attended: Any = _attended if apart else _attended_at_once
    out = attended(*tensors, num_heads, one_product, add_zero_attn, drop, is_causal, need_weights, average_attn_weights)
    return out if need_weights else (out, None)


def _attended(
    query: Tensor, key: Tensor, value: Tensor, in_proj_weight: Any, in_proj_bias: Tensor | None, bias_k: Tensor | None,
    bias_v: Tensor | None, out_proj_weight: Tensor, out_proj_bias: Tensor | None, key_padding_mask: Tensor | None, attn_mask: Tensor | None,
    q_proj_weight: Any, k_proj_weight: Any, v_proj_weight: Any, num_heads: int, one_product: bool, add_zero_attn: bool, drop: float,
    is_causal: bool, need_weights: bool, average_attn_weights: bool,
) -> Any:  # fmt: skip
    """The output, or with need_weights also the weights."""
    batched = query.ndim == 3
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    head = width // num_heads
    if one_product:
        q, k, v = linear(query, in_proj_weight, in_proj_bias).chunk(3, -1)
    else:
        weights_of = (q_proj_weight, k_proj_weight, v_proj_weight) if in_proj_weight is None else in_proj_weight.chunk(3)
        biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
        q, k, v = (linear(t, w, b) for t, w, b in zip((query, key, value), weights_of, biases))
    causal_only = is_causal and key_padding_mask is None and not need_weights
    bias = None if causal_only else _additive(attn_mask, q, num_heads, batch)
    padding = _additive(key_padding_mask, q, num_heads, batch, padding=True)
    if bias_k is not None and bias_v is not None:
        k = ingot.cat([k, bias_k.expand(1, batch, width)])
        v = ingot.cat([v, bias_v.expand(1, batch, width)])
        bias, padding = _extend(bias), _extend(padding)

    def heads(t: Tensor) -> Tensor:  # (S, N, E) -> (N, H, S, E / H)
        return t.reshape((t.shape[0], batch, num_heads, head)).permute((1, 2, 0, 3))

    q, k, v = heads(q), heads(k), heads(v)
    if add_zero_attn:
        k = ingot.cat([k, k.new_zeros((batch, num_heads, 1, head))], 2)
        v = ingot.cat([v, v.new_zeros((batch, num_heads, 1, head))], 2)
        bias, padding = _extend(bias), _extend(padding)
    mask = bias if padding is None else padding if bias is None else bias + padding
    weights = None
    if need_weights:
        weights = _attention_weights(q, k, mask, 1.0 / math.sqrt(head))
        if drop:
            weights = dropout(weights, drop)
        attended = ingot.matmul(weights, v)
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        attended = scaled_dot_product_attention(q, k, v, mask, drop, causal_only)
    out = linear(attended.permute((2, 0, 1, 3)).reshape((length, batch, width)), out_proj_weight, out_proj_bias)
    if not batched:
        out, weights = out.squeeze(1), None if weights is None else weights.squeeze(0)
    return (out, weights) if need_weights else out


# one node instead of twenty: where nothing needs a gradient, for the backward of a node would compute all its products once more
_attended_at_once = composite(_attended)


def _additive(mask: Tensor | None, q: Tensor, heads: int, batch: int, padding: bool = False) -> Tensor | None:
    """A mask in torch's forms, broadcastable to (N, H, L, S) and to be added."""
    if mask is None:
        return None
    if mask.dtype is ingot.bool:
        mask = ingot.where(mask, float("-inf"), 0.0).to(q.dtype)
    elif not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of attention masks are supported, not {mask.dtype!r}")
    if padding:
        return mask.reshape((mask.shape[0], 1, 1, mask.shape[-1]))
    if mask.ndim == 2:
        return mask
    if mask.ndim == 3 and mask.shape[0] == batch * heads:
        return mask.reshape((batch, heads, *mask.shape[1:]))
    raise RuntimeError(f"attn_mask must be 2-D (L, S) or 3-D (N * heads, L, S), but has shape {list(mask.shape)}")


def _extend(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else pad(mask, (0, 1))
