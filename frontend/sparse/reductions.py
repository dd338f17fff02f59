"""Sums and softmax of sparse tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import dim_list, dtypes, one_dim
from ingot.sparse.tensors import SparseTensor, coo, tensor_of

__all__ = ["log_softmax", "softmax", "sum"]


def _coo(name: str, x: Any) -> SparseTensor:
    if not isinstance(x, SparseTensor):
        raise RuntimeError(f"sparse.{name}: expected a sparse tensor, got {type(x).__name__}")
    return x.to_sparse_coo()


def sum(input: Tensor, dim: int | Sequence[int] | None = None, dtype: Any = None) -> Tensor:
    """The sum of all elements, or over `dim`: sparse where sparse dims are left, else dense.

    >>> ingot.sparse.sum(ingot.tensor([[1.0, 0.0], [2.0, 3.0]]).to_sparse(), dim=0).to_dense()
    tensor([3., 3.])
    """
    x = _coo("sum", input)
    values = x._v if dtype is None else x._v.to(dtype)
    if dim is None:
        return values.sum()
    axes, k = dim_list(dim, x.ndim), x.sparse_dim()
    dense = tuple(d - k + 1 for d in axes if d >= k)
    values = values.sum(dense) if dense else values
    left = [d for d in range(k) if d not in axes]
    if not left:
        return values.sum(0)
    if values.dtype.kind in "iub":
        values = values.to(dtypes.i64)
    shape = [d for i, d in enumerate(x.shape) if i not in axes]
    return coo(x._i[ingot.tensor(left)], values, shape, x._coalesced and len(left) == k).coalesce()


def _normalised(name: str, input: Any, dim: int, dtype: Any, log: bool) -> SparseTensor:
    x = _coo(name, input).coalesce()
    values = x._v if dtype is None else x._v.to(dtype)
    axis, k = one_dim(dim, x.ndim), x.sparse_dim()
    if axis >= k:
        return x._with(values.log_softmax(axis - k + 1) if log else values.softmax(axis - k + 1))
    others = np.delete(x._i._value(), axis, 0)
    _, group = np.unique(others, axis=1, return_inverse=True) if len(others) else (None, np.zeros(x._nnz(), np.int64))
    group = group.reshape(-1)
    n = int(np.max(group)) + 1 if len(group) else 0
    at = tensor_of(group, values)
    wide = at.reshape((-1, *(1 for _ in values.shape[1:]))).expand(*values.shape)
    start = values.detach().new_full((n, *values.shape[1:]), float("-inf"))
    top = start.scatter_reduce(0, wide, values.detach(), "amax")[at]
    shifted = values - ingot.where(top.isfinite(), top, 0.0)
    e = shifted.exp()
    total = e.new_zeros((n, *values.shape[1:])).index_add(0, at, e)[at]
    return x._with(shifted - total.log() if log else e / total)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> SparseTensor:
    """exp(x) / sum exp(x) along `dim` over the elements that are kept; those that are not count as -infinity.

    >>> ingot.sparse.softmax(ingot.tensor([[2.0, 0.0], [1.0, 1.0]]).to_sparse(), 1).to_dense()
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]])
    """
    return _normalised("softmax", input, dim, dtype, False)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> SparseTensor:
    """The logarithm of `softmax`, of the elements that are kept."""
    return _normalised("log_softmax", input, dim, dtype, True)
