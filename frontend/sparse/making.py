"""Sparse tensors made of indices and values, and of dense tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import check_tensor, dtypes
from ingot.sparse.tensors import BSC, BSR, COO, CSC, CSR, NAMES, SparseTensor, compressed, coo, flat_index, tensor_of

__all__ = [
    "sparse_bsc_tensor", "sparse_bsr_tensor", "sparse_compressed_tensor", "sparse_coo_tensor", "sparse_csc_tensor", "sparse_csr_tensor",
]  # fmt: skip


def _indices(x: Any, name: str) -> Tensor:
    t = x if isinstance(x, Tensor) else ingot.tensor(x)
    if not t.numel() and not isinstance(x, Tensor):
        t = t.long()
    if t.dtype.kind not in "iu":
        raise RuntimeError(f"{name} must be integers, but got {t.dtype}")
    return t.detach().long()


def _values(x: Any, dtype: Any) -> Tensor:
    t = x if isinstance(x, Tensor) else ingot.tensor(x, dtype=dtype)
    return t if dtype is None else t.to(dtype)


def _finished(out: SparseTensor, requires_grad: bool) -> SparseTensor:
    if requires_grad:
        out._v = out._v.detach().requires_grad_()
    return out


def sparse_coo_tensor(
    indices: Any = None, values: Any = None, size: Sequence[int] | None = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None, is_coalesced: bool | None = None,
) -> SparseTensor:  # fmt: skip
    """A COO tensor: values (n, *dense dims) at indices (sparse dims, n); values at the same index add up.

    size: just large enough by default. With a size alone, an empty one. RuntimeError for parts that do not fit, and for indices outside.

        >>> ingot.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2)).to_dense()
        tensor([[0., 1.],
                [2., 0.]])
    """
    if values is None and (size is None or indices is None):
        shape = tuple(indices if size is None else size)
        empty = ingot.zeros(0, dtype=dtype)
        return _finished(coo(ingot.zeros(len(shape), 0, dtype=dtypes.i64), empty, shape, True), requires_grad)
    index, v = _indices(indices, "indices"), _values(values, dtype)
    if index.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(index.shape)}")
    if not v.ndim:
        v = v.expand(index.shape[1])
    k, n = index.shape
    if v.shape[0] != n:
        raise RuntimeError(f"indices and values must have same nnz, but got nnz from indices: {n}, nnz from values: {v.shape[0]}")
    host = index._value()
    if size is None:
        if not n and k:
            size = (*(0 for _ in range(k)), *v.shape[1:])
        else:
            size = (*(int(row.max()) + 1 for row in host), *v.shape[1:])
    shape = tuple(size)
    if len(shape) != k + v.ndim - 1:
        raise RuntimeError(f"number of dimensions must be sparse_dim ({k}) + dense_dim ({v.ndim - 1}), but got {len(shape)}")
    if shape[k:] != tuple(v.shape[1:]):
        raise RuntimeError(f"values has incorrect size, expected {[n, *shape[k:]]}, got {list(v.shape)}")
    for d, row in enumerate(host):
        if n and row.min() < 0:
            raise RuntimeError(f"found negative index {row.min()} for dim {d}")
        if n and row.max() >= shape[d]:
            raise RuntimeError(f"size is inconsistent with indices: for dim {d}, size is {shape[d]} but found index {row.max()}")
    return _finished(coo(index, v, shape, bool(is_coalesced) or not n), requires_grad)


def sparse_compressed_tensor(
    compressed_indices: Any, plain_indices: Any, values: Any, size: Sequence[int] | None = None, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> SparseTensor:  # fmt: skip
    """A tensor in the layout `layout`: CSR, CSC, BSR or BSC. See `sparse_csr_tensor`."""
    if layout not in NAMES:
        raise RuntimeError(f"sparse_compressed_tensor: expected a compressed sparse layout, got {layout!r}")
    names = NAMES[layout]
    pointers, plain, v = _indices(compressed_indices, names[0]), _indices(plain_indices, names[1]), _values(values, dtype)
    blocked = layout in (BSR, BSC)
    k = plain.ndim - 1
    if pointers.ndim != plain.ndim or v.ndim < plain.ndim + (2 if blocked else 0):
        shapes = f"{names[0]} {list(pointers.shape)}, {names[1]} {list(plain.shape)}"
        raise RuntimeError(f"sparse_compressed_tensor: dims of {shapes} and values {list(v.shape)} do not fit")
    if tuple(v.shape[: k + 1]) != tuple(plain.shape):
        raise RuntimeError(f"sparse_compressed_tensor: values {list(v.shape)} must be as many as {names[1]} {list(plain.shape)}")
    block = tuple(v.shape[k + 1 : k + 3]) if blocked else (1, 1)
    rest = tuple(v.shape[k + (3 if blocked else 1) :])
    p, q = pointers._value(), plain._value()
    main = p.shape[-1] - 1
    across = int(q.max()) + 1 if q.size else 0
    first = 0 if layout in (CSR, BSR) else 1
    if size is None:
        sides = (main, across) if not first else (across, main)
        size = (*plain.shape[:k], sides[0] * block[0], sides[1] * block[1], *rest)
    shape = tuple(size)
    if len(shape) != k + 2 + len(rest) or shape[k + 2 :] != rest or shape[:k] != tuple(plain.shape[:k]):
        raise RuntimeError(f"sparse_compressed_tensor: a size {list(shape)} does not fit values {list(v.shape)}")
    if shape[k + first] != main * block[first]:
        raise RuntimeError(f"{names[0]}.shape[-1] must be equal to the number of compressed slices + 1 "
                           f"({shape[k + first] // max(block[first], 1) + 1}), but got {main + 1}")  # fmt: skip
    n = q.shape[-1]
    if (p[..., 0] != 0).any() or (p[..., -1] != n).any() or (np.diff(p, axis=-1) < 0).any():
        raise RuntimeError(f"{names[0]} must begin with 0, rise, and end with the number of values, {n}")
    if q.size and (q.min() < 0 or (across * block[1 - first] > shape[k + 1 - first])):
        raise RuntimeError(f"{names[1]} must lie within [0, {shape[k + 1 - first] // max(block[1 - first], 1)})")
    return _finished(compressed(layout, pointers, plain, v, shape), requires_grad)


def _of(kind: Any, name: str, doc: str) -> Callable[..., SparseTensor]:
    first, second = NAMES[kind]

    def make(*args: Any, **options: Any) -> SparseTensor:
        given = dict(zip((first, second, "values", "size"), args))
        if len(args) > 4 or set(given) & set(options):
            raise TypeError(f"{name}(): takes {first}, {second}, values and size, each once")
        parts = {**given, **options}
        missing = [n for n in (first, second, "values") if n not in parts]
        if missing:
            raise TypeError(f"{name}(): missing {', '.join(missing)}")
        return sparse_compressed_tensor(parts.pop(first), parts.pop(second), parts.pop("values"), **{**parts, "layout": kind})

    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    return make


sparse_csr_tensor = _of(CSR, "sparse_csr_tensor", """A CSR tensor: row r has the values crow_indices[r] … crow_indices[r + 1].

    sparse_csr_tensor(crow_indices, col_indices, values, size=None, *, dtype=None, requires_grad=False): (*batch, rows + 1), (*batch, n),
    (*batch, n, *dense dims). size: as few columns as possible by default. RuntimeError for parts that do not fit.

        >>> ingot.sparse_csr_tensor([0, 1, 2], [1, 0], [1.0, 2.0]).to_dense()
        tensor([[0., 1.],
                [2., 0.]])
    """)  # fmt: skip
sparse_csc_tensor = _of(CSC, "sparse_csc_tensor", "A CSC tensor, of ccol_indices, row_indices and values: `sparse_csr_tensor` by columns.")
sparse_bsr_tensor = _of(BSR, "sparse_bsr_tensor", "A BSR tensor, of crow_indices, col_indices and blocks (n, r, c): CSR of blocks.")
sparse_bsc_tensor = _of(BSC, "sparse_bsc_tensor", "A BSC tensor, of ccol_indices, row_indices and blocks (n, r, c): CSC of blocks.")


def to_sparse(
    input: Tensor, sparse_dim: int | None = None, *, layout: Any = None, blocksize: Any = None, dense_dim: int | None = None
) -> SparseTensor:
    """What of a dense tensor is not zero. COO: over the first `sparse_dim` dims (all by default); compressed: the two before `dense_dim`.

    Reads the values. RuntimeError for another layout, or sizes that blocks do not divide.
    """
    check_tensor("to_sparse", input)
    x = input
    if layout in (None, COO):
        k = x.ndim if sparse_dim is None else sparse_dim
        if not 0 <= k <= x.ndim or (x.ndim and not k):
            raise RuntimeError(f"sparse_dim must be between 1 and {x.ndim}, got {k}")
        host = x.detach()._value() != 0
        index = np.stack(np.nonzero(host.any(tuple(range(k, x.ndim))) if k < x.ndim else host)) if k else np.zeros((0, int(host)), np.int64)
        at = tensor_of(index)
        values = x[tuple(at)] if k else x.reshape(1)[: index.shape[1]]
        return coo(at, values, x.shape, True)
    if layout not in NAMES:
        raise RuntimeError(f"to_sparse: layout {layout!r} is not supported")
    rest = dense_dim or 0
    k = x.ndim - rest - 2
    if k < 0:
        raise RuntimeError(f"to_sparse: a tensor of {x.ndim} dims has no matrices with {rest} dense dims")
    block = tuple(blocksize) if layout in (BSR, BSC) else (1, 1)
    rows, columns = x.shape[k], x.shape[k + 1]
    if rows % block[0] or columns % block[1]:
        raise RuntimeError(f"to_sparse: tensor sparse size ({rows}, {columns}) must be divisible by given blocksize {block}")
    lead, dense = tuple(x.shape[:k]), tuple(x.shape[k + 2 :])
    tiles = x.reshape((*lead, rows // block[0], block[0], columns // block[1], block[1], *dense))
    tiles = tiles.movedim(k + 1, k + 2)  # (*lead, block rows, block columns, r, c, *dense)
    host = (tiles.detach()._value() != 0).any(tuple(range(k + 2, tiles.ndim)))
    host = host if layout in (CSR, BSR) else host.swapaxes(-1, -2)
    counts = host.sum((-1, -2)).reshape(-1)
    if len(set(counts.tolist())) > 1:
        raise RuntimeError(f"Expect the same number of specified elements per batch, got {counts.tolist()}")
    found = np.nonzero(host)
    pointers = np.concatenate([np.zeros((*lead, 1), np.int64), host.sum(-1).cumsum(-1)], -1)
    n = int(counts[0]) if counts.size else 0
    places = found if layout in (CSR, BSR) else (*found[:k], found[k + 1], found[k])
    values = tiles[tuple(tensor_of(p) for p in places)]
    tail = tuple(values.shape[1:]) if layout in (BSR, BSC) else dense
    return compressed(layout, tensor_of(pointers), tensor_of(found[k + 1].reshape((*lead, n))), values.reshape((*lead, n, *tail)), x.shape)


def spdiags(diagonals: Tensor, offsets: Tensor, shape: tuple[int, int], layout: Any = None) -> SparseTensor:
    """A matrix with the rows of `diagonals` (k, n) on the diagonals `offsets` (k): column j of a row stands in column j of the matrix.

    >>> ingot.sparse.spdiags(ingot.ones(1, 3), ingot.tensor([1]), (3, 3)).to_dense()
    tensor([[0., 1., 0.],
            [0., 0., 1.],
            [0., 0., 0.]])
    """
    d = diagonals if diagonals.ndim == 2 else diagonals.unsqueeze(0)
    at = offsets.reshape(-1)._value()
    if len(at) != d.shape[0]:
        raise RuntimeError(f"Number of diagonals ({d.shape[0]}) does not match the number of offsets ({len(at)})")
    if len(set(at.tolist())) != len(at):
        raise RuntimeError("Offset tensor contains duplicate values")
    column = np.broadcast_to(np.arange(d.shape[1]), tuple(d.shape))
    row = column - at[:, None]
    kept = (row >= 0) & (row < shape[0]) & (column < shape[1])
    values = d.reshape(-1)[tensor_of(np.flatnonzero(kept))]
    made = coo(tensor_of(np.stack([row[kept], column[kept]])), values, shape)
    return made if layout in (None, COO) else made.to_sparse(layout=layout)


def rebuilt(kind: str, index: Any, values: Tensor, size: Sequence[int], coalesced: bool, requires_grad: bool) -> SparseTensor:
    """A sparse tensor of what was saved of one. RuntimeError or ValueError where that does not fit."""
    layouts = {k._name: k for k in (COO, *NAMES)}
    if kind not in layouts:
        raise ValueError(f"{kind!r} is no sparse layout")
    if layouts[kind] is not COO:
        made = sparse_compressed_tensor(index[0], index[1], values, size, layout=layouts[kind])
    else:
        made = sparse_coo_tensor(index, values, size)
        if coalesced:
            place = flat_index(made._i, size[: made._i.shape[0]])._value()
            made._coalesced = bool((place[1:] > place[:-1]).all())
    return made.requires_grad_(bool(requires_grad)) if requires_grad else made
