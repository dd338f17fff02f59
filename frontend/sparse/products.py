"""Products and sums of sparse tensors, with dense ones and with one another."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import ShapeError, cast_out, common_dtype
from ingot.sparse.tensors import CSC, CSR, SparseTensor, compressed, coo, flat_index, tensor_of

__all__ = ["addmm", "mm", "sampled_addmm"]


def _matrix(name: str, x: Any, argument: str) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}")
    if x.ndim != 2:
        raise ShapeError(f"{name}: expected {argument} to be a matrix, got {x.ndim}-D")


def mm(mat1: Tensor, mat2: Tensor, reduce: str = "sum") -> Tensor:
    """The product of two matrices, one of them sparse: dense with a dense one, sparse if both are. Gradients flow to values and dense ones.

    reduce: how the products of a sparse row with a dense matrix are combined: "sum", "mean", "amax" or "amin".
    RuntimeError where shapes or dtypes do not fit.

        >>> ingot.sparse.mm(ingot.eye(2).to_sparse() * 3, ingot.ones(2, 1))
        tensor([[3.],
                [3.]])
    """
    _matrix("sparse.mm", mat1, "mat1")
    _matrix("sparse.mm", mat2, "mat2")
    if mat1.shape[1] != mat2.shape[0]:
        raise ShapeError(f"mat1 and mat2 shapes cannot be multiplied ({mat1.shape[0]}x{mat1.shape[1]} and {mat2.shape[0]}x{mat2.shape[1]})")
    if mat1.dtype is not mat2.dtype:
        raise RuntimeError(f"sparse.mm: expected both to have the same dtype, but got {mat1.dtype} and {mat2.dtype}")
    if not isinstance(mat1, SparseTensor):
        if not isinstance(mat2, SparseTensor):
            return mat1 @ mat2
        return mm(transposed(mat2, 0, 1), mat1.t(), reduce).t()
    a = mat1.to_sparse_coo()
    if a.dense_dim():
        raise RuntimeError("sparse.mm: the sparse matrix must have no dense dims")
    if isinstance(mat2, SparseTensor):
        return _sparse_product(a, mat2.to_sparse_coo())
    rows, columns = a._i
    terms = a._v.unsqueeze(1) * mat2[columns]
    out = terms.new_zeros((a.shape[0], mat2.shape[1]))
    if reduce == "sum":
        return out.index_add(0, rows, terms)
    if reduce not in ("mean", "amax", "amin"):
        raise RuntimeError(f"sparse.mm: reduce must be sum, mean, amax or amin, got {reduce!r}")
    return out.scatter_reduce(0, rows.unsqueeze(1).expand(*terms.shape), terms, reduce, include_self=False)


def _sparse_product(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """Pairs of values that meet, by the rows of b: sorted, so that sums have an order."""
    b = b.coalesce()
    ai, bi = a._i._value(), b._i._value()
    first = np.searchsorted(bi[0], ai[1], "left")
    count = np.searchsorted(bi[0], ai[1], "right") - first
    left = np.repeat(np.arange(ai.shape[1]), count)
    right = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    index = np.stack([ai[0][left], bi[1][right]])
    values = a._v[tensor_of(left)] * b._v[tensor_of(right)]
    return coo(tensor_of(index), values, (a.shape[0], b.shape[1])).coalesce()


def matmul(a: Any, b: Any) -> Tensor:
    """a @ b with a sparse operand: matrices, a matrix and a vector, or batches (b, m, k) of COO with (b, k, n)."""
    if a.ndim == 2 and b.ndim == 2:
        return mm(a, b)
    if a.ndim == 2 and b.ndim == 1 and not isinstance(b, SparseTensor):
        return mm(a, b.unsqueeze(1)).squeeze(1)
    if a.ndim == 1 and b.ndim == 2 and not isinstance(a, SparseTensor):
        return mm(a.unsqueeze(0), b).squeeze(0)
    if a.ndim == 3 and b.ndim == 3 and not isinstance(b, SparseTensor):
        return _batched(a.to_sparse_coo(), b)
    raise RuntimeError(f"a product of {list(a.shape)} and {list(b.shape)} is not supported for sparse tensors: use to_dense()")


def _batched(a: SparseTensor, b: Tensor) -> Tensor:
    n, m, k = a.shape
    if tuple(b.shape[:2]) != (n, k):
        raise ShapeError(f"bmm: shapes {list(a.shape)} and {list(b.shape)} do not fit")
    batch, rows, columns = a._i
    terms = a._v.unsqueeze(1) * b[batch, columns]
    return terms.new_zeros((n * m, b.shape[2])).index_add(0, batch * m + rows, terms).reshape(n, m, b.shape[2])


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """beta * mat + alpha * mat1 @ mat2, mat1 sparse: dense, or sparse if `mat` and the product are.

    >>> ingot.sparse.addmm(ingot.ones(2, 2), ingot.eye(2).to_sparse(), ingot.eye(2))
    tensor([[2., 1.],
            [1., 2.]])
    """
    product = mm(mat1, mat2)
    product = product if alpha == 1 else product * alpha
    return cast_out(product if beta == 0 else added(mat if beta == 1 else mat * beta, product), out)


def sampled_addmm(
    input: SparseTensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1.0, alpha: Any = 1.0, out: Any = None
) -> SparseTensor:
    """alpha * (mat1 @ mat2) where `input` (CSR) has values, + beta * input: what is not asked for is not computed."""
    if not isinstance(input, SparseTensor) or input.layout is not CSR:
        raise RuntimeError("sampled_addmm: Expected input to have sparse csr layout")
    x = input.to_sparse_coo()
    rows, columns = x._i[-2], x._i[-1]
    if input.ndim == 3:
        terms = mat1[x._i[0], rows] * mat2[x._i[0], :, columns]
    else:
        terms = mat1[rows] * mat2.t()[columns]
    made = terms.sum(-1).reshape(input._v.shape) * alpha
    return input._with(made + input._v * beta if beta else made)


def transposed(x: SparseTensor, dim0: int, dim1: int) -> SparseTensor:
    """Two sparse dims exchanged: of a matrix in CSR or CSC the parts are those of the other layout."""
    if x._kind in (CSR, CSC) and x.ndim == 2 and dim0 % 2 != dim1 % 2:
        pointers, plain = x._i
        return compressed(CSC if x._kind is CSR else CSR, pointers, plain, x._v, (x.shape[1], x.shape[0]))
    c = x.to_sparse_coo()
    order = list(range(c.ndim))
    i, j = dim0 % c.ndim, dim1 % c.ndim
    order[i], order[j] = j, i
    return permuted(x, order)


def permuted(x: SparseTensor, order: list[int]) -> SparseTensor:
    """The sparse dims, and the dense dims, in another order. RuntimeError where one becomes the other."""
    c = x.to_sparse_coo()
    k = c.sparse_dim()
    order = [d % c.ndim for d in order]
    if sorted(order) != list(range(c.ndim)) or any(d >= k for d in order[:k]):
        raise RuntimeError(f"a sparse tensor of {k} sparse dims cannot be permuted by {order}: sparse dims stay in front")
    values = c._v.permute(0, *(d - k + 1 for d in order[k:]))
    same = order[:k] == list(range(k))
    return coo(c._i[ingot.tensor(order[:k])] if k else c._i, values, [c.shape[d] for d in order], c._coalesced and same)


def added(a: Any, b: Any) -> Tensor:
    """a + b: sparse if both are."""
    if not (isinstance(a, SparseTensor) and isinstance(b, SparseTensor)):
        if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
            raise RuntimeError("a number cannot be added to a sparse tensor: zeros would not stay zeros; use to_dense()")
        a, b = (t.to_dense() if isinstance(t, SparseTensor) else t for t in (a, b))
        return a + b
    if tuple(a.shape) != tuple(b.shape):
        raise ShapeError(f"add: expected sizes of sparse tensors to match, but {list(a.shape)} != {list(b.shape)}")
    kind, dtype = a.layout, common_dtype(a, b)
    x, y = a.to_sparse_coo(), b.to_sparse_coo()
    if x.sparse_dim() != y.sparse_dim():
        raise RuntimeError("add: expected both tensors to have the same number of sparse dims")
    both = coo(ingot.cat([x._i, y._i], 1), ingot.cat([x._v.to(dtype), y._v.to(dtype)]), a.shape).coalesce()
    return both if kind is x.layout else both.to_sparse(layout=kind)


def multiplied(a: SparseTensor, b: Any) -> Tensor:
    """a * b by elements: with a number, or a dense tensor that broadcasts to a's shape, a's indices; with a sparse one, those of both."""
    if not isinstance(b, Tensor) or (not isinstance(b, SparseTensor) and not b.ndim):
        return a._with(a._v * b)
    if not isinstance(b, SparseTensor):
        c = a.to_sparse_coo()
        wide = b.expand(*a.shape)
        values = c._v * wide[tuple(c._i)]
        return c._with(values) if a.layout is c.layout else a._with(values.reshape(a._v.shape))
    if tuple(a.shape) != tuple(b.shape):
        raise ShapeError(f"mul: expected sizes of sparse tensors to match, but {list(a.shape)} != {list(b.shape)}")
    x, y = a.to_sparse_coo().coalesce(), b.to_sparse_coo().coalesce()
    lead = tuple(x.shape[: x.sparse_dim()])
    left, right = (flat_index(t._i, lead)._value() for t in (x, y))
    i, j = (tensor_of(at) for at in np.intersect1d(left, right, assume_unique=True, return_indices=True)[1:])
    made = coo(x._i[:, i], x._v[i] * y._v[j], a.shape, True)
    return made if a.layout is made.layout else made.to_sparse(layout=a.layout)
