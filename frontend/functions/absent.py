"""Functions of sparse tensors, of which there are none: they can be imported, and say so."""

from __future__ import annotations

from ingot._refused import refused
from ingot.functions.memory_methods import SPARSE

__all__ = [
    "dsmm", "hsmm", "hspmm", "native_norm", "resize_as_sparse_", "saddmm", "smm", "sparse_bsc_tensor", "sparse_bsr_tensor",
    "sparse_compressed_tensor", "sparse_coo_tensor", "sparse_csc_tensor", "sparse_csr_tensor", "spmm", "sspaddmm",
]  # fmt: skip

dsmm, hsmm, hspmm, saddmm, smm, spmm = (refused(n, SPARSE) for n in ("dsmm", "hsmm", "hspmm", "saddmm", "smm", "spmm"))
native_norm = refused("native_norm", "it is for sparse tensors, of which there are none: use linalg.vector_norm")
sspaddmm, resize_as_sparse_ = refused("sspaddmm", SPARSE), refused("resize_as_sparse_", SPARSE)
sparse_bsc_tensor, sparse_bsr_tensor = refused("sparse_bsc_tensor", SPARSE), refused("sparse_bsr_tensor", SPARSE)
sparse_coo_tensor, sparse_compressed_tensor = refused("sparse_coo_tensor", SPARSE), refused("sparse_compressed_tensor", SPARSE)
sparse_csc_tensor, sparse_csr_tensor = refused("sparse_csc_tensor", SPARSE), refused("sparse_csr_tensor", SPARSE)
