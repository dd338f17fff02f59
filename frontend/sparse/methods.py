"""Operators and methods of sparse tensors that need products and reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import ShapeError, cast_out, dim_list, is_number, one_dim
from ingot.sparse import products, reductions
from ingot.sparse.making import rebuilt
from ingot.sparse.tensors import SparseTensor, coo, tensor_of

__all__: list[str] = []


def _scaled(a: Any, alpha: Any) -> Any:
    return a if alpha == 1 else a * alpha


def _add(self: SparseTensor, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """self + alpha * other: sparse if both are."""
    return cast_out(products.added(self, _scaled(other, alpha)), out)


def _sub(self: SparseTensor, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """self - alpha * other."""
    return cast_out(products.added(self, _scaled(other, alpha) * -1), out)


def _rsub(self: SparseTensor, other: Any) -> Tensor:
    return products.added(self * -1, other)


def _mul(self: SparseTensor, other: Any, *, out: Any = None) -> Tensor:
    """self * other by elements: the indices stay, or, with a sparse `other`, those of both."""
    return cast_out(products.multiplied(self, other), out)


def _div(self: SparseTensor, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """self / other, a number or a 0-d tensor."""
    if not is_number(other) and (isinstance(other, SparseTensor) or other.ndim):
        raise RuntimeError("Sparse division requires a scalar or zero-dim dense tensor divisor")
    x = self.to_sparse_coo().coalesce() if rounding_mode and self.is_sparse else self
    return cast_out(x._with(ingot.div(x._v, other, rounding_mode=rounding_mode)), out)


def _matmul(self: SparseTensor, other: Any, **_: Any) -> Tensor:
    """The matrix product."""
    return products.matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _rmatmul(self: SparseTensor, other: Any) -> Tensor:
    return products.matmul(other, self) if isinstance(other, Tensor) else NotImplemented


def _addmm(self: SparseTensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * self + alpha * mat1 @ mat2."""
    return products.addmm(self, mat1, mat2, beta=beta, alpha=alpha)


def _sum(self: SparseTensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of all elements, or over `dim`."""
    total = reductions.sum(self, dim, dtype)
    if not keepdim or dim is None:
        return total
    for d in sorted(dim_list(dim, self.ndim)):
        total = total.unsqueeze(d)
    return total


def _mean(self: SparseTensor, dtype: Any = None) -> Tensor:
    """The mean of all elements, zeros included."""
    return reductions.sum(self, None, dtype) / self.numel()


def _norm(self: SparseTensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The norm of all elements."""
    if dim is not None and len(dim_list(dim, self.ndim)) != self.ndim:
        raise RuntimeError("norm_sparse currently does not support a dim that leaves others: use to_dense()")
    x = self.coalesce() if self.is_sparse else self
    return ingot.norm(x._v, 2 if p in ("fro", None) else p, dtype=dtype)


def _t(self: SparseTensor) -> SparseTensor:
    """The matrix transposed."""
    if self.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
    return self if self.ndim < 2 else products.transposed(self, 0, 1)


def _transpose(self: SparseTensor, dim0: int, dim1: int) -> SparseTensor:
    """Two sparse dims exchanged."""
    return products.transposed(self, dim0, dim1)


def _permute(self: SparseTensor, *dims: Any) -> SparseTensor:
    """The dims in another order; sparse ones stay in front."""
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return products.permuted(self, list(order))


def _unsqueeze(self: SparseTensor, dim: int) -> SparseTensor:
    """One more dim of extent 1."""
    x = self.to_sparse_coo()
    axis = one_dim(dim, x.ndim + 1)
    k = x.sparse_dim()
    shape = (*x.shape[:axis], 1, *x.shape[axis:])
    if axis <= k:
        zero = x._i.new_zeros(1, x._nnz())
        return coo(ingot.cat([x._i[:axis], zero, x._i[axis:]]), x._v, shape, x._coalesced)
    return coo(x._i, x._v.unsqueeze(axis - k + 1), shape, x._coalesced)


def _index_select(self: SparseTensor, dim: int, index: Tensor) -> SparseTensor:
    """The slices `index` along `dim`."""
    x = self.to_sparse_coo().coalesce()
    axis, k = one_dim(dim, x.ndim), x.sparse_dim()
    shape = [index.shape[0] if d == axis else n for d, n in enumerate(x.shape)]
    if axis >= k:
        return coo(x._i, x._v.index_select(axis - k + 1, index), shape, True)
    here, wanted = x._i._value()[axis], index._value()
    if len(wanted) and (wanted.min() < -x.shape[axis] or wanted.max() >= x.shape[axis]):
        raise IndexError("index_select(): index out of range")
    order = np.argsort(here, kind="stable")
    wanted = wanted % max(x.shape[axis], 1)
    first = np.searchsorted(here[order], wanted, "left")
    count = np.searchsorted(here[order], wanted, "right") - first
    new = np.repeat(np.arange(len(wanted)), count)
    at = tensor_of(order[np.arange(len(new)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)])
    rows = [tensor_of(new, x._v) if d == axis else x._i[d][at] for d in range(k)]
    return coo(ingot.stack(rows), x._v[at], shape).coalesce()


def _select(self: SparseTensor, dim: int, index: int) -> Tensor:
    """The slice `index` along `dim`, without that dim; dense where no sparse dim is left."""
    axis = one_dim(dim, self.ndim)
    n = self.shape[axis]
    if not -n <= index < n:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(self.shape)} at dimension {axis}")
    one = _index_select(self, axis, ingot.tensor([index % n]))
    k = one.sparse_dim()
    shape = [d for i, d in enumerate(one.shape) if i != axis]
    if axis >= k:
        return coo(one._i, one._v.squeeze(axis - k + 1), shape, True)
    if k == 1:
        return one._v.sum(0)
    return coo(ingot.cat([one._i[:axis], one._i[axis + 1 :]]), one._v, shape, True)


def _getitem(self: SparseTensor, key: Any) -> Tensor:
    if isinstance(key, int):
        return _select(self, 0, key)
    if isinstance(key, tuple) and all(isinstance(k, int) for k in key):
        out: Any = self
        for k in key:
            out = out[k]
        return out
    if isinstance(key, Tensor) and key.ndim == 1 and key.dtype.kind == "i":
        return _index_select(self, 0, key)
    raise RuntimeError("a sparse tensor takes whole numbers, or a vector of them, for an index: use to_dense()")


def masked_by(self: Tensor, mask: Any) -> SparseTensor:
    """The elements of this tensor where the sparse tensor `mask` has values."""
    m = mask.to_sparse_coo().coalesce() if mask.is_sparse else mask
    c = m.to_sparse_coo()
    values = (self.to_dense() if isinstance(self, SparseTensor) else self)[tuple(c._i)]
    return m._with(values.reshape(m._v.shape))


def _joined(self: SparseTensor, items: Any, dim: int) -> SparseTensor:
    """Sparse tensors one after another along `dim`."""
    if not all(isinstance(t, SparseTensor) for t in items):
        raise RuntimeError("cat(): expected all tensors to be sparse, or none")
    parts = [t.to_sparse_coo() for t in items]
    axis, k = one_dim(dim, self.ndim), parts[0].sparse_dim()
    shapes = {tuple(n for d, n in enumerate(t.shape) if d != axis) for t in parts}
    if len(shapes) > 1 or any(t.sparse_dim() != k for t in parts):
        raise ShapeError("cat(): sparse tensors must agree in all other dims, and in the number of sparse dims")
    shape = list(self.shape)
    shape[axis] = sum(t.shape[axis] for t in parts)
    starts = np.cumsum([0, *(t.shape[axis] for t in parts[:-1])]).tolist()
    if axis < k:
        index = [ingot.stack([t._i[d] + (at if d == axis else 0) for d in range(k)]) for t, at in zip(parts, starts)]
        return coo(ingot.cat(index, 1), ingot.cat([t._v for t in parts]), shape)
    values = []
    for t, at in zip(parts, starts):
        wide = list(t._v.shape)
        wide[axis - k + 1] = shape[axis]
        place = ingot.arange(at, at + t.shape[axis])
        values.append(t._v.new_zeros(tuple(wide)).index_add(axis - k + 1, place, t._v))
    return coo(ingot.cat([t._i for t in parts], 1), ingot.cat(values), shape)


def _sparse_resize_(self: SparseTensor, size: Any, sparse_dim: int, dense_dim: int) -> SparseTensor:
    """Another size, in place; indices must lie in it."""
    x = self.to_sparse_coo()
    if sparse_dim != x.sparse_dim() or dense_dim != x.dense_dim() or tuple(size[sparse_dim:]) != tuple(x.shape[sparse_dim:]):
        if x._nnz():
            raise RuntimeError("sparse_resize_: changing the number of sparse or dense dims of a non-empty sparse tensor is not supported")
        return _sparse_resize_and_clear_(self, size, sparse_dim, dense_dim)
    if any(n < m for n, m in zip(size, x.shape)) and x._nnz():
        raise RuntimeError("sparse_resize_: shrinking the size of sparse dimensions on a non-empty sparse tensor is not supported")
    return _within(self, coo(x._i, x._v, size, x._coalesced))


def _sparse_resize_and_clear_(self: SparseTensor, size: Any, sparse_dim: int, dense_dim: int) -> SparseTensor:
    """Another size and no elements, in place."""
    if sparse_dim + dense_dim != len(size):
        raise RuntimeError(f"number of dimensions must be sparse_dim ({sparse_dim}) + dense_dim ({dense_dim}), but got {len(size)}")
    index = ingot.zeros(sparse_dim, 0, dtype=ingot.int64)
    return _within(self, coo(index, self._v.detach().new_zeros((0, *size[sparse_dim:])), size, True))


def _resize_as_sparse_(self: SparseTensor, template: SparseTensor) -> SparseTensor:
    """The size of a sparse `template`, in place."""
    return _sparse_resize_(self, tuple(template.shape), template.sparse_dim(), template.dense_dim())


def _within(self: SparseTensor, made: SparseTensor) -> SparseTensor:
    """Become `made`, in place."""
    if self.requires_grad and self.is_leaf and ingot.is_grad_enabled():
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    self._kind, self._i, self._v, self._coalesced = made._kind, made._i, made._v, made._coalesced
    self._array = made._array
    return self


def _mul_(self: SparseTensor, other: Any) -> SparseTensor:
    """`mul`, in place."""
    return _within(self, self * other)  # type: ignore[arg-type]


def _div_(self: SparseTensor, other: Any) -> SparseTensor:
    """`div`, in place."""
    return _within(self, self / other)  # type: ignore[arg-type]


def _add_(self: SparseTensor, other: Any, *, alpha: Any = 1) -> SparseTensor:
    """`add` of a sparse tensor, in place."""
    made = _add(self, other, alpha=alpha)
    if not isinstance(made, SparseTensor):
        raise RuntimeError("add_: a dense tensor cannot be added to a sparse one in place")
    return _within(self, made)


def _sub_(self: SparseTensor, other: Any, *, alpha: Any = 1) -> SparseTensor:
    """`sub` of a sparse tensor, in place."""
    return _add_(self, other, alpha=-alpha)


def _zero_(self: SparseTensor) -> SparseTensor:
    """No element is kept, in place."""
    x = self.to_sparse_coo()
    made = coo(x._i[:, :0], x._v.detach()[:0], x.shape, True)
    return _within(self, made if self.is_sparse else made.to_sparse(layout=self.layout))


def _copy_(self: SparseTensor, src: Tensor, non_blocking: bool = False) -> SparseTensor:
    """Become a copy of a sparse tensor of the same shape, in this dtype."""
    if not isinstance(src, SparseTensor) or tuple(src.shape) != tuple(self.shape):
        raise RuntimeError(f"copy_: expected a sparse tensor of shape {list(self.shape)}")
    return _within(self, src.detach().clone().to(self.dtype).to_sparse(layout=self.layout))


def _reduce(self: SparseTensor, protocol: Any) -> Any:
    flag = self.is_sparse and self._coalesced
    return rebuilt, (self._kind._name, self._i, self._v.detach(), tuple(self.shape), flag, self.requires_grad)


def install() -> None:
    """Give SparseTensor these methods."""
    cls: Any = SparseTensor
    named = dict(
        add=_add, sub=_sub, subtract=_sub, mul=_mul, multiply=_mul, div=_div, divide=_div, true_divide=_div, matmul=_matmul, mm=_matmul,
        bmm=_matmul, mv=_matmul, smm=_matmul, addmm=_addmm, sspaddmm=_addmm, sum=_sum, mean=_mean, norm=_norm, t=_t, transpose=_transpose,
        swapaxes=_transpose, swapdims=_transpose, permute=_permute, unsqueeze=_unsqueeze, index_select=_index_select, select=_select,
        sparse_mask=masked_by, sparse_resize_=_sparse_resize_, sparse_resize_and_clear_=_sparse_resize_and_clear_, _joined=_joined,
        resize_as_sparse_=_resize_as_sparse_,
        mul_=_mul_, div_=_div_, add_=_add_, sub_=_sub_, zero_=_zero_, copy_=_copy_,
        __reduce_ex__=_reduce,
        __add__=_add, __radd__=_add, __sub__=_sub, __rsub__=_rsub, __mul__=_mul, __rmul__=_mul, __truediv__=_div, __matmul__=_matmul,
        __rmatmul__=_rmatmul, __getitem__=_getitem, __iadd__=_add_, __isub__=_sub_, __imul__=_mul_, __itruediv__=_div_,
    )  # fmt: skip
    for name, method in named.items():
        setattr(cls, name, method)
    cls.softmax = lambda self, dim, dtype=None: reductions.softmax(self, dim, dtype=dtype)
    cls.log_softmax = lambda self, dim, dtype=None: reductions.log_softmax(self, dim, dtype=dtype)
    cls.T = property(_t, doc="The matrix transposed.")
    cls.mT = property(lambda self: _transpose(self, -2, -1), doc="The last two dims exchanged.")

