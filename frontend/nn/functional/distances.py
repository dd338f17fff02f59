"""Distances: cosines of angles, p-norms, vectors made as long as 1."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import composite, keeps
from ingot.functions.common import cast_out, dtype_name
from ingot.functions.norm import pdist as pdist
from ingot.functions.norm import vector_norm
from ingot.ir.facts import Kept


@composite
def _cosine_similarity(x1: Tensor, x2: Tensor, dim: int, eps: float) -> Tensor:
    def unit(x: Tensor) -> Tensor:
        square = (x * x).sum(dim, keepdim=True)
        small = square <= eps * eps
        return x / ingot.where(small, eps, ingot.sqrt(ingot.where(small, 1.0, square)))

    return (unit(x1) * unit(x2)).sum(dim)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along `dim`, with broadcasting.

    >>> F.cosine_similarity(ingot.tensor([[1.0, 0.0]]), ingot.tensor([[3.0, 4.0], [0.0, 2.0]]))
    tensor([0.6000, 0.0000])
    """
    a, b = ingot.broadcast_tensors(x1, x2)
    dtype = ingot.promote_types(a.dtype, b.dtype)
    if dtype.kind != "f":
        raise RuntimeError("expected common dtype to be floating point, yet common dtype is " + dtype_name(dtype))
    return _cosine_similarity(a, b, dim, eps)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """|x1 - x2 + eps|_p along the last dim, with broadcasting; it stays as 1 with `keepdim`.

    >>> F.pairwise_distance(ingot.tensor([[3.0, 4.0]]), ingot.zeros(1, 2))
    tensor([5.0000])
    """
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


def normalize(input: Tensor, p: Any = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """x / max(|x|_p, eps) along `dim`: the p-norm is 1 but where it was below eps. p: a number, a tensor of one, or "fro", which is 2.

    >>> F.normalize(ingot.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    order = p.item() if isinstance(p, Tensor) else 2.0 if p == "fro" else p
    return cast_out(_normalize(input, order, dim, eps), out)


@composite
@keeps(Kept.OPERANDS)
def _normalize(x: Tensor, p: float, dim: int, eps: float) -> Tensor:
    return x / vector_norm(x, p, dim, True).clamp_min(eps)
