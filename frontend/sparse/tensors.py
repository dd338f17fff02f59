"""SparseTensor: dense tensors of indices and values, which stand for a tensor that is zero elsewhere.

What is done with one is done with its values by ordinary operations (gather, index_add, …): so it has gradients, compiles, and gives the
same bits on every run. To a function that does not know sparse tensors it is a value that could not be computed, which says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor, wrap
from ingot._tensor.overriding import disabled_torch_function
from ingot._tensor.recording import from_array, placed
from ingot.functions import constants
from ingot.functions.common import cast_out, dtypes
from ingot.ir.types import tensor_type
from ingot.printing import suffixed
from ingot.runtime.array import Array

__all__ = ["SparseTensor", "compressed", "coo"]

COO, CSR, CSC = constants.sparse_coo, constants.sparse_csr, constants.sparse_csc
BSR, BSC = constants.sparse_bsr, constants.sparse_bsc
NAMES = {CSR: ("crow_indices", "col_indices"), CSC: ("ccol_indices", "row_indices"), BSR: ("crow_indices", "col_indices"),
         BSC: ("ccol_indices", "row_indices")}  # fmt: skip
_DENSE = "a sparse tensor was given to an operation that takes dense ones: use to_dense(), or values()"
# functions of elements that leave 0 as it is, and those of them that are linear
_KEPT = (
    "abs absolute asin arcsin asinh arcsinh atan arctan atanh arctanh ceil erf erfinv expm1 floor frac isinf isnan isneginf isposinf log1p "
    "nan_to_num relu round sgn sign signbit sin sinh sqrt square tan tanh trunc fix angle"
)
_LINEAR = "neg negative conj conj_physical positive deg2rad rad2deg resolve_conj resolve_neg"
_CASTS = "float double half bfloat16 int long short char byte bool cfloat cdouble"


class SparseTensor(Tensor):
    """A tensor of which only the elements at `indices` are kept: made by `ingot.sparse_coo_tensor` and the like, and by `to_sparse`.

    `isinstance(x, ingot.Tensor)` holds; `layout` tells it from a dense one. Gradients flow to the values.

    >>> a = ingot.tensor([[0.0, 2.0], [3.0, 0.0]]).to_sparse()
    >>> a @ ingot.ones(2, 1)
    tensor([[2.],
            [3.]])
    """

    # _i   COO: int64 (sparse dims, n); else the pair (compressed, plain) of int64 indices
    # _v   the values: COO (n, *dense dims); else (*batch, n, *block, *dense dims)
    # _kind  the layout
    _kind: Any
    _i: Any
    _v: Tensor
    _coalesced: bool
    _sparse = True
    __torch_function__ = disabled_torch_function  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        if name in ("_kind", "_i", "_v", "_coalesced"):  # what stands for an argument of a traced function has no parts
            raise RuntimeError("a sparse tensor cannot be an argument of a compiled function: let it read one from outside, or pass "
                               "indices and values")  # fmt: skip
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- what it is

    layout = property(lambda self: self._kind, doc="`ingot.sparse_coo`, `ingot.sparse_csr`, ….")
    is_sparse = property(lambda self: self._kind is COO, doc="Whether the layout is `ingot.sparse_coo`.")
    is_sparse_csr = property(lambda self: self._kind is CSR, doc="Whether the layout is `ingot.sparse_csr`.")
    requires_grad = property(lambda self: self._v.requires_grad, lambda self, on: self.requires_grad_(on), doc="Whether its values do.")
    is_leaf = property(lambda self: self._v.is_leaf, doc="Whether no operation made its values.")
    grad_fn = property(lambda self: self._v.grad_fn, doc="What made its values.")

    @property
    def grad(self) -> Any:
        """The gradient, at the same indices; None if there is none."""
        g = self._v.grad
        return None if g is None else self._with(g)

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None and not isinstance(value, SparseTensor):
            raise TypeError("the gradient of a sparse tensor is sparse")
        self._v.grad = None if value is None else value._v

    def requires_grad_(self, requires_grad: bool = True) -> SparseTensor:
        """Start (or stop) recording operations on its values."""
        self._v.requires_grad_(requires_grad)
        return self

    def _nnz(self) -> int:
        """How many elements (or blocks) are kept."""
        return self._v.shape[0] if self._kind is COO else self._i[1].shape[-1]

    def sparse_dim(self) -> int:
        """The number of dims that are sparse."""
        return self._i.shape[0] if self._kind is COO else 2

    def dense_dim(self) -> int:
        """The number of dims, the last ones, in which a value is dense."""
        if self._kind is COO:
            return self._v.ndim - 1
        return self._v.ndim - self._i[1].ndim - (2 if self._kind in (BSR, BSC) else 0)

    def is_coalesced(self) -> bool:
        """Whether no index comes twice and they are in order."""
        self._need(COO, "is_coalesced")
        return self._coalesced

    def _coalesced_(self, coalesced: bool) -> SparseTensor:
        """Say that no index comes twice and that they are in order, or that it is not known."""
        self._need(COO, "_coalesced_")
        self._coalesced = coalesced
        return self

    def indices(self) -> Tensor:
        """The indices (sparse dims, n) of a coalesced COO tensor. RuntimeError for another."""
        self._need(COO, "indices")
        if not self._coalesced:
            raise RuntimeError("Cannot get indices on an uncoalesced tensor, please call .coalesce() first")
        return self._i

    def values(self) -> Tensor:
        """The values of a coalesced COO tensor, or of a compressed one."""
        if self._kind is COO and not self._coalesced:
            raise RuntimeError("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
        return self._v

    def _indices(self) -> Tensor:
        self._need(COO, "_indices")
        return self._i

    def _values(self) -> Tensor:
        return self._v

    def _half(self, name: str) -> Tensor:
        if name not in NAMES.get(self._kind, ()):
            raise RuntimeError(f"{name} is not a part of a tensor with layout {self._kind!r}")
        return self._i[NAMES[self._kind].index(name)]

    def crow_indices(self) -> Tensor:
        """Where each row begins among the values, and where the last ends: CSR and BSR."""
        return self._half("crow_indices")

    def col_indices(self) -> Tensor:
        """The column of each value: CSR and BSR."""
        return self._half("col_indices")

    def ccol_indices(self) -> Tensor:
        """Where each column begins among the values: CSC and BSC."""
        return self._half("ccol_indices")

    def row_indices(self) -> Tensor:
        """The row of each value: CSC and BSC."""
        return self._half("row_indices")

    def _need(self, kind: Any, name: str) -> None:
        if self._kind is not kind:
            raise RuntimeError(f"{name} expected sparse coordinate tensor layout but got {self._kind!r}")

    # ---- the same indices, other values

    def _with(self, values: Tensor) -> SparseTensor:
        """The same indices with other values."""
        return _made(self._kind, self._i, values, tuple(self.shape), self._kind is not COO or self._coalesced)

    def _each(self, fn: Callable[[Tensor], Tensor], linear: bool = False) -> SparseTensor:
        x = self if linear or self._kind is not COO else self.coalesce()
        return x._with(fn(x._v))

    def clone(self, *, memory_format: Any = None) -> SparseTensor:
        """A copy, through which gradients flow."""
        return self._each(lambda v: v.clone(), True)

    def detach(self) -> SparseTensor:
        """The same values without their history."""
        return self._each(lambda v: v.detach(), True)

    def detach_(self) -> SparseTensor:
        """Forget the values' history."""
        self._v = self._v.detach()
        return self

    @property  # type: ignore[misc]
    def data(self) -> Tensor:  # type: ignore[override]
        """`detach`."""
        return self.detach()

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """The values in another dtype."""
        return self._each(lambda v: v.to(*args, **kwargs), True)

    def type_as(self, other: Tensor) -> SparseTensor:
        """The values in the dtype of `other`."""
        return self.to(other.dtype)

    def cpu(self, memory_format: Any = None) -> SparseTensor:
        """This tensor: it lives on the CPU."""
        return self

    def contiguous(self, memory_format: Any = None) -> SparseTensor:
        """This tensor."""
        return self

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """True."""
        return True

    def pow(self, exponent: Any, *, out: Any = None) -> SparseTensor:
        """The values to a power above 0 (RuntimeError for another: zeros would not stay zeros)."""
        if isinstance(exponent, Tensor) or not exponent > 0:
            raise RuntimeError("pow of a sparse tensor needs a number above 0 for its exponent")
        return cast_out(self._each(lambda v: v**exponent), out)

    __pow__ = pow

    # ---- conversions

    def to_dense(self, dtype: Any = None, *, masked_grad: bool = True) -> Tensor:
        """All elements, zeros included; values at the same index add up."""
        x = self.to_sparse_coo()
        k = x._i.shape[0]
        lead, rest = tuple(x.shape[:k]), tuple(x.shape[k:])
        values = x._v.long() if self.dtype.kind == "b" else x._v
        out = ingot.zeros((math.prod(lead), *rest), dtype=values.dtype)
        out = out.index_add(0, flat_index(x._i, lead), values).reshape((*lead, *rest))
        return out.to(self.dtype if dtype is None else dtype)

    def coalesce(self) -> SparseTensor:
        """The same tensor with every index once, in order: values at the same index add up. Reads the indices."""
        self._need(COO, "coalesce")
        if self._coalesced:
            return self
        lead = tuple(self.shape[: self._i.shape[0]])
        key, inverse = np.unique(_host(flat_index(self._i, lead)), return_inverse=True)
        index = np.stack(np.unravel_index(key, lead)) if lead else np.zeros((0, len(key)), np.int64)
        values = self._v
        out = ingot.zeros((len(key), *values.shape[1:]), dtype=dtypes.i64 if values.dtype.kind == "b" else values.dtype)
        out = out.index_add(0, tensor_of(inverse, values), values.to(out.dtype)).to(values.dtype)
        return _made(COO, tensor_of(index, values), out, tuple(self.shape), True)

    def to_sparse_coo(self) -> SparseTensor:  # type: ignore[override]
        """This tensor in the layout COO. Reads the indices of a compressed one."""
        if self._kind is COO:
            return self
        return from_compressed(self)

    def to_sparse(self, sparse_dim: int | None = None, *, layout: Any = None, blocksize: Any = None, dense_dim: Any = None) -> Any:
        """This tensor in another sparse layout (COO by default), or with another number of sparse dims."""
        if layout in (None, COO):
            x = self.to_sparse_coo()
            return x if sparse_dim in (None, x.sparse_dim()) else x.to_dense().to_sparse(sparse_dim)
        if layout is self._kind:
            return self
        x = self.to_sparse_coo().coalesce()
        if layout in (BSR, BSC) or x.ndim != 2:
            return x.to_dense().to_sparse(layout=layout, blocksize=blocksize, dense_dim=dense_dim)
        return compressed_of(x, layout)

    def to_sparse_csr(self, dense_dim: Any = None) -> SparseTensor:
        """This tensor in the layout CSR."""
        return self.to_sparse(layout=CSR, dense_dim=dense_dim)

    def to_sparse_csc(self, dense_dim: Any = None) -> SparseTensor:
        """This tensor in the layout CSC."""
        return self.to_sparse(layout=CSC, dense_dim=dense_dim)

    def to_sparse_bsr(self, blocksize: Any, dense_dim: Any = None) -> SparseTensor:
        """This tensor in the layout BSR."""
        return self.to_sparse(layout=BSR, blocksize=blocksize, dense_dim=dense_dim)

    def to_sparse_bsc(self, blocksize: Any, dense_dim: Any = None) -> SparseTensor:
        """This tensor in the layout BSC."""
        return self.to_sparse(layout=BSC, blocksize=blocksize, dense_dim=dense_dim)

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """TypeError: use `to_dense().numpy()`."""
        raise TypeError(f"can't convert {self._kind!r} layout tensor to numpy. Use Tensor.to_dense() first.")

    def tolist(self) -> Any:
        """The elements of the dense tensor, as nested lists."""
        return self.to_dense().tolist()

    # ---- copies and text

    def __deepcopy__(self, memo: dict) -> SparseTensor:
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.")
        return memo.setdefault(id(self), self._with(self._v.detach().clone()).requires_grad_(self.requires_grad))

    def __repr__(self) -> str:  # type: ignore[override]
        parts = (("indices", self._i),) if self._kind is COO else zip(NAMES[self._kind], self._i)
        lines = [_indented(name, t) for name, t in (*parts, ("values", self._v.detach()))]
        suffixes = [f"size={tuple(self.shape)}", f"nnz={self._nnz()}"]
        if self.dtype not in (ingot.get_default_dtype(), dtypes.i64, dtypes.bool_):
            suffixes.append(f"dtype={self.dtype!r}")
        suffixes.append(f"layout={self._kind!r}")
        if self.grad_fn is not None:
            suffixes.append(f"grad_fn=<{self.grad_fn.name()}>")
        elif self.requires_grad:
            suffixes.append("requires_grad=True")
        text = "tensor(" + ",\n       ".join(lines)
        if self._kind is COO:
            text, suffixes[0] = text + ",\n       " + suffixes[0], ""
        return suffixed(text, [x for x in suffixes if x], len("tensor("))

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec)

    def __len__(self) -> int:
        return self.shape[0]


def _indented(name: str, t: Tensor) -> str:
    pad = "\n" + " " * (len("tensor(") + len(name) + 1)
    text = re.sub(r",\s+dtype=[\w.]+", "", repr(t))  # it is said once, for the whole
    return f"{name}=" + text.replace("\n", pad)


def _delegate(name: str, linear: bool) -> Callable[..., SparseTensor]:
    def method(self: SparseTensor, *args: Any, **kwargs: Any) -> SparseTensor:
        return self._each(lambda v: getattr(v, name)(*args, **kwargs), linear)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{name}` of the values."
    return method


SparseTensor.__neg__ = _delegate("__neg__", True)  # type: ignore[method-assign, assignment]
SparseTensor.__abs__ = _delegate("__abs__", False)  # type: ignore[method-assign, assignment]
for _names, _linear in ((_KEPT, False), (_LINEAR, True), (_CASTS, True)):
    for _name in _names.split():
        setattr(SparseTensor, _name, _delegate(_name, _linear))


def tensor_of(x: np.ndarray, beside: Tensor | None = None) -> Tensor:
    """An int64 tensor of indices, on the device of another tensor."""
    found = from_array(np.ascontiguousarray(x, dtype=np.int64))
    return found if beside is None else placed(found, beside.device)


def _host(t: Tensor) -> np.ndarray:
    return t.detach()._value()


def flat_index(index: Tensor, lead: Sequence[int]) -> Tensor:
    """(n,) places in the row-major order of `lead` of indices (len(lead), n)."""
    out = ingot.zeros((index.shape[1],), dtype=dtypes.i64)
    for row, d in zip(index, lead):
        out = out * d + row
    return out


def _made(kind: Any, index: Any, values: Tensor, size: tuple[int, ...], coalesced: bool) -> SparseTensor:
    out = wrap((Array(tensor_type(values.dtype, size).on(values._array.type.device), None, None, RuntimeError(_DENSE)), None), SparseTensor)
    out._kind, out._i, out._v, out._coalesced = kind, index, values, coalesced
    return out


def coo(index: Tensor, values: Tensor, size: Sequence[int], coalesced: bool = False) -> SparseTensor:
    """A COO tensor of parts that fit."""
    return _made(COO, placed(index, values.device), values, tuple(size), coalesced)


def compressed(kind: Any, pointers: Tensor, plain: Tensor, values: Tensor, size: Sequence[int]) -> SparseTensor:
    """A compressed tensor of parts that fit."""
    return _made(kind, (placed(pointers, values.device), placed(plain, values.device)), values, tuple(size), True)


def compressed_of(x: SparseTensor, kind: Any) -> SparseTensor:
    """A coalesced COO matrix in the layout CSR or CSC."""
    axis = 0 if kind is CSR else 1
    index = _host(x._i)
    order = np.argsort(index[axis], kind="stable")
    pointers = np.searchsorted(index[axis][order], np.arange(x.shape[axis] + 1))
    values = x._v if axis == 0 else x._v[tensor_of(order)]
    return compressed(kind, tensor_of(pointers), tensor_of(index[1 - axis][order]), values, x.shape)


def from_compressed(x: SparseTensor) -> SparseTensor:
    """A compressed tensor in the layout COO: its batches and blocks become indices."""
    pointers, plain = _host(x._i[0]), _host(x._i[1])
    batch = plain.shape[:-1]
    k = len(batch)
    dense = x._v.ndim - k - 1 - (2 if x._kind in (BSR, BSC) else 0)
    blocks = x._v.shape[k + 1 : k + 3] if x._kind in (BSR, BSC) else (1, 1)
    parts = []
    for where in np.ndindex(*batch):
        main = np.repeat(np.arange(pointers.shape[-1] - 1), np.diff(pointers[where]))
        rows, columns = (main, plain[where]) if x._kind in (CSR, BSR) else (plain[where], main)
        i, j = np.indices(blocks).reshape(2, -1)
        rows, columns = (rows[:, None] * blocks[0] + i).ravel(), (columns[:, None] * blocks[1] + j).ravel()
        parts.append(np.stack([*(np.full(len(rows), w) for w in where), rows, columns]))
    index = np.concatenate(parts, 1) if parts else np.zeros((k + 2, 0), np.int64)
    values = x._v.reshape((-1, *x._v.shape[x._v.ndim - dense :]))
    return coo(tensor_of(index), values, x.shape, not k and x._kind is CSR and _rising(index))


def _rising(index: np.ndarray) -> bool:
    """Whether the columns rise in every row."""
    same = index[0][1:] == index[0][:-1]
    return bool((index[1][1:] > index[1][:-1])[same].all())

