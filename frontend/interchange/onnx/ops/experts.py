"""Mixtures of experts (com.microsoft): MoE, and QMoE, whose weights are small integers."""

from __future__ import annotations

from collections.abc import Callable

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.microsoft import unpacked
from ingot.interchange.onnx.rules import op
from ingot.nn import functional as F

__all__: list[str] = []

MS = "com.microsoft"
NO_LIMIT = float("inf")

Layer = tuple[Tensor, Tensor | None]  # weights (experts, out, in) and biases (experts, out)

_ACTIVATIONS = {"relu": F.relu, "gelu": lambda t: F.gelu(t, approximate="tanh"), "silu": F.silu, "identity": lambda t: t}


@op("MoE", domain=MS)
def moe(
    x: Tensor, router: Tensor, w1: Tensor, b1: Tensor | None, w2: Tensor, b2: Tensor | None = None, w3: Tensor | None = None,
    b3: Tensor | None = None, *, activation_type: str = "relu", activation_alpha: float = 1.0, activation_beta: float = 0.0, k: int = 1,
    normalize_routing_weights: int = 0, swiglu_fusion: int = 0, swiglu_limit: float = NO_LIMIT, swiglu_limit_after_activation: int = 0,
    use_sparse_mixer: int = 0,
) -> Tensor:  # fmt: skip
    shares = _shares(router, None, k, normalize_routing_weights, use_sparse_mixer)
    swiglu = swiglu_fusion, activation_alpha, activation_beta, swiglu_limit, swiglu_limit_after_activation
    activation = _ACTIVATIONS[activation_type] if activation_type != "swiglu" else _swiglu(*swiglu)
    return _mixed(x, shares, (w1, b1), (w2, b2), None if w3 is None else (w3, b3), activation)


@op("QMoE", domain=MS)
def qmoe(
    x: Tensor, router: Tensor, w1: Tensor, s1: Tensor | None, b1: Tensor | None, w2: Tensor, s2: Tensor | None, b2: Tensor | None = None,
    w3: Tensor | None = None, s3: Tensor | None = None, b3: Tensor | None = None, z1: Tensor | None = None, z2: Tensor | None = None,
    z3: Tensor | None = None, mixing: Tensor | None = None, *, accuracy_level: int = 0, activation_type: str = "relu",
    activation_alpha: float = 1.0, activation_beta: float = 0.0, block_size: int = 0, expert_weight_bits: int = 4,
    fc1_expert_weight_bits: int = 0, fc2_expert_weight_bits: int = 0, fc3_expert_weight_bits: int = 0, k: int = 1,
    normalize_routing_weights: int = 0, quant_type: str = "int", swiglu_fusion: int = 0, swiglu_limit: float = NO_LIMIT,
    swiglu_limit_after_activation: int = 0, use_sparse_mixer: int = 0, weights_prepacked: int = -1,
) -> Tensor:  # fmt: skip
    """Calculated with the numbers that the integers stand for."""
    if quant_type != "int":
        raise ValueError(f"experts whose weights are {quant_type}")
    if weights_prepacked == 1:
        raise ValueError("experts whose weights are in the order of a device (weights_prepacked=1)")
    bits = [b or expert_weight_bits for b in (fc1_expert_weight_bits, fc2_expert_weight_bits, fc3_expert_weight_bits)]
    w1, w2 = _meant(w1, s1, z1, bits[0], block_size, x), _meant(w2, s2, z2, bits[1], block_size, x)
    w3 = None if w3 is None else _meant(w3, s3, z3, bits[2], block_size, x)
    shares = _shares(router, mixing, k, normalize_routing_weights, use_sparse_mixer)
    swiglu = swiglu_fusion, activation_alpha, activation_beta, swiglu_limit, swiglu_limit_after_activation
    activation = _ACTIVATIONS[activation_type] if activation_type != "swiglu" else _swiglu(*swiglu)
    return _mixed(x, shares, (w1, b1), (w2, b2), None if w3 is None else (w3, b3), activation)


def _meant(w: Tensor, scale: Tensor | None, zero: Tensor | None, bits: int, block: int, like: Tensor) -> Tensor:
    """Weights (experts, out, in) of integers packed along the rows, with scales of each row or of each block of a row."""
    if bits not in (2, 4, 8):
        raise ValueError(f"experts whose weights have {bits} bits")
    if scale is None:
        raise ValueError("experts whose weights are integers without scales")
    blocks = scale.ndim == 3
    whole = unpacked(w, bits).to(like.dtype)
    middle: Tensor | int = 1 << (bits - 1)
    if zero is not None:  # packed along the blocks of a row, or along the rows, and filled up to bytes
        middle = unpacked(zero, bits)[..., : scale.shape[-1]].to(like.dtype)
        middle = ingot.repeat_interleave(middle, block, -1) if blocks else middle.unsqueeze(-1)
    scale = scale.to(like.dtype)
    return (whole - middle) * (ingot.repeat_interleave(scale, block, -1) if blocks else scale.unsqueeze(-1))


def _shares(router: Tensor, mixing: Tensor | None, k: int, normalize: int, sparse: int) -> Tensor:
    """How much of each expert a row takes: (rows, experts), nothing but of the k most probable. mixing: what weighs them, if others."""
    if sparse:
        raise ValueError("a sparse mixer of experts")
    best, which = ingot.topk(router, k, -1)
    if mixing is not None:
        share = ingot.gather(mixing, -1, which)
        share = share / share.sum(-1, keepdim=True) if normalize else share
    elif normalize:
        share = ingot.softmax(best, -1)
    else:
        share = ingot.gather(ingot.softmax(router, -1), -1, which)
    return ingot.zeros_like(router).scatter(-1, which, share.to(router.dtype))


def _swiglu(fusion: int, alpha: float, beta: float, limit: float, after: int) -> Callable[[Tensor], Tensor]:
    """Of gates and numbers by turns (fusion 1), or of the gates and then the numbers (2)."""
    if fusion == 0:
        raise ValueError("swiglu whose parts lie apart (swiglu_fusion=0)")
    if after:
        raise ValueError("swiglu that is limited after the activation")

    def run(h: Tensor) -> Tensor:
        gate, linear = (h[..., 0::2], h[..., 1::2]) if fusion == 1 else ingot.chunk(h, 2, -1)
        gate, linear = ingot.clamp(gate, max=limit), ingot.clamp(linear, -limit, limit)
        return gate * ingot.sigmoid(gate * alpha) * (linear + beta)

    return run


def _mixed(x: Tensor, shares: Tensor, first: Layer, second: Layer, gate: Layer | None, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """Pairs of layers, weighted: all are computed, as one product each."""

    def layer(h: Tensor, of: Layer) -> Tensor:
        y = ingot.matmul(h, of[0].mT)
        return y if of[1] is None else y + of[1].unsqueeze(1)

    rows = x.reshape((-1, x.shape[-1]))
    h = activation(layer(rows, first))  # (experts, rows, hidden)
    if gate is not None:
        h = h * layer(rows, gate)
    return (layer(h, second) * shares.T.unsqueeze(-1)).sum(0).reshape(x.shape)
