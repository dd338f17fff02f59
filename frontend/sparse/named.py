"""Products of sparse tensors under the names that torch had first."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.sparse.products import addmm, mm
from ingot.sparse.tensors import SparseTensor

__all__ = [
    "_convert_indices_from_coo_to_csr", "_convert_indices_from_csr_to_coo",
    "dsmm", "hsmm", "hspmm", "native_norm", "resize_as_sparse_", "saddmm", "smm", "spmm", "sspaddmm",
]  # fmt: skip


def spmm(input: Tensor, mat2: Tensor) -> Tensor:
    """`ingot.sparse.mm`.

    >>> ingot.spmm(ingot.eye(2).to_sparse(), ingot.ones(2, 1))
    tensor([[1.],
            [1.]])
    """
    return mm(input, mat2)


def dsmm(input: Tensor, mat2: Tensor) -> Tensor:
    """`ingot.sparse.mm`."""
    return mm(input, mat2)


def smm(input: SparseTensor, mat: Tensor) -> Tensor:
    """The product of a sparse matrix and a dense one, as a sparse one."""
    return mm(input, mat).to_sparse()


def hspmm(mat1: SparseTensor, mat2: Tensor) -> Tensor:
    """The product of a sparse matrix and a dense one, sparse by rows: its values are dense rows."""
    return mm(mat1, mat2).to_sparse(1)


def hsmm(mat1: SparseTensor, mat2: Tensor) -> Tensor:
    """`hspmm`."""
    return hspmm(mat1, mat2)


def saddmm(input: Tensor, mat1: SparseTensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`ingot.sparse.addmm`."""
    return addmm(input, mat1, mat2, beta=beta, alpha=alpha)


def sspaddmm(input: SparseTensor, mat1: SparseTensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * mat1 @ mat2 as a sparse matrix, of a sparse `input`."""
    return input * beta + smm(mat1, mat2) * alpha


def native_norm(input: SparseTensor, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The norm of all elements of a sparse tensor."""
    return input.norm(p, dim, keepdim, dtype)


def resize_as_sparse_(input: SparseTensor, the_template: SparseTensor) -> SparseTensor:
    """The size of a sparse tensor, in place."""
    return input.resize_as_sparse_(the_template)  # type: ignore[attr-defined]


def _convert_indices_from_coo_to_csr(input: Tensor, size: int, *, out_int32: bool = False) -> Tensor:
    """Where each of `size` rows begins among sorted row indices, and where the last one ends: (size + 1).

    >>> ingot._convert_indices_from_coo_to_csr(ingot.tensor([0, 2, 2]), 3)
    tensor([0, 1, 1, 3])
    """
    return ingot.searchsorted(input, ingot.arange(size + 1, dtype=input.dtype, device=input.device), out_int32=out_int32)


def _convert_indices_from_csr_to_coo(
    crow_indices: Tensor, col_indices: Tensor, *, out_int32: bool = False, transpose: bool = False
) -> Tensor:  # fmt: skip
    """The row of each of `col_indices` above them, of where rows begin: (2, n). transpose: below them.

    >>> ingot._convert_indices_from_csr_to_coo(ingot.tensor([0, 1, 1, 3]), ingot.tensor([5, 6, 7]))
    tensor([[0, 2, 2],
            [5, 6, 7]])
    """
    places = ingot.arange(col_indices.shape[0], dtype=crow_indices.dtype, device=crow_indices.device)
    rows = ingot.searchsorted(crow_indices[1:].contiguous(), places, right=True)
    both = (col_indices, rows) if transpose else (rows, col_indices)
    return ingot.stack([x.to(ingot.int32 if out_int32 else crow_indices.dtype) for x in both])
