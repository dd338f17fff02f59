"""Products of groups of rows with a matrix each, and a linear layer whose result goes into a loss."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._refused import refused
from ingot._tensor import Tensor
from ingot.ir.size import ShapeError
from ingot.nn.functional.classification import cross_entropy
from ingot.nn.functional.dense import linear

_FLOAT8 = "the products of scaled float8 tensors are a GPU's; there is no float8 dtype"
scaled_mm = refused("nn.functional.scaled_mm", _FLOAT8)
scaled_grouped_mm = refused("nn.functional.scaled_grouped_mm", _FLOAT8)


def grouped_mm(
    mat_a: Tensor, mat_b: Tensor, *, offs: Tensor | None = None, bias: Tensor | None = None, out_dtype: Any = None
) -> Tensor:
    """A product for each group. 3-D by 3-D: of each pair of matrices. Otherwise groups are cut out of a 2-D operand; offs[g] is their end.

    2-D (rows, k) by 3-D (g, k, n): rows by the matrix of their group, (rows, n). 3-D (g, m, k) by 2-D (k, columns): likewise, (m, columns).
    2-D (m, k) by 2-D (k, n): the inner dim is cut, (g, m, n). What is beyond the last group is zero. offs: int32, in rising order.
    RuntimeError where shapes do not fit, or `offs` is given for two 3-D operands, or missing otherwise.

    >>> x, w = ingot.ones(3, 2), ingot.stack([ingot.eye(2), ingot.eye(2) * 5])
    >>> F.grouped_mm(x, w, offs=ingot.tensor([2, 3], dtype=ingot.int32))
    tensor([[1., 1.],
            [1., 1.],
            [5., 5.]])
    """
    if mat_a.ndim not in (2, 3) or mat_b.ndim not in (2, 3):
        raise RuntimeError(f"grouped_mm: operands are 2-D or 3-D, not {mat_a.ndim}-D and {mat_b.ndim}-D")
    if (offs is None) != (mat_a.ndim == mat_b.ndim == 3):
        raise RuntimeError("grouped_mm: offs says where groups end in a 2-D operand, and there is none between two 3-D ones")
    if mat_a.shape[-1] != mat_b.shape[-2]:
        raise ShapeError(f"grouped_mm: contraction dimension of mat_a and mat_b must match ({mat_a.shape[-1]} vs {mat_b.shape[-2]})")
    if offs is None:
        out = ingot.bmm(mat_a, mat_b)
    else:
        cut = mat_b.shape[-1] if mat_a.ndim == 3 else mat_a.shape[-1 if mat_b.ndim == 2 else 0]
        group = (ingot.arange(cut).unsqueeze(1) >= offs).sum(1)  # of each row, column or inner index
        count = offs.shape[0]
        if mat_b.ndim == 3 or mat_a.ndim == 3:
            matrices = mat_b if mat_b.ndim == 3 else mat_a
            if matrices.shape[0] != count:
                raise ShapeError(f"grouped_mm: {count} ends of groups for {matrices.shape[0]} matrices")
        parts = []
        for g in range(count):
            here = group == g
            if mat_b.ndim == 3:
                parts.append(ingot.where(here.unsqueeze(1), mat_a @ mat_b[g], 0.0))
            elif mat_a.ndim == 3:
                parts.append(ingot.where(here, mat_a[g] @ mat_b, 0.0))
            else:
                parts.append(ingot.where(here, mat_a, 0.0) @ mat_b)
        if mat_a.ndim == mat_b.ndim == 2:
            out = ingot.stack(parts)
        else:
            out = parts[0]
            for part in parts[1:]:
                out = out + part
    if bias is not None:
        out = out + bias
    return out if out_dtype is None else out.to(out_dtype)


def linear_cross_entropy(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None, weight: Tensor | None = None,
    reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float = 0.0, options: Any = None,
) -> Tensor:  # fmt: skip
    """`cross_entropy` of `linear(input, linear_weight, linear_bias)`, whose other arguments these are.

    A weight (C, d1, ..., in) gives the K-dimensional loss: input (N, in), target (N, d1, ...). options: how to save memory; accepted.

    >>> F.linear_cross_entropy(ingot.ones(1, 2), ingot.eye(3, 2), ingot.tensor([2])).item()
    1.8619...
    """
    logits = linear(input, linear_weight.flatten(0, -2), None if linear_bias is None else linear_bias.flatten())
    if linear_weight.ndim > 2:
        logits = logits.reshape((*input.shape[:-1], *linear_weight.shape[:-1]))
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(logits, target, weight, ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing)
