"""Sparse tensors: there are none. What libraries look for when they are imported is here, and says so."""

from __future__ import annotations

from ingot._refused import refused
from ingot.functions.memory_methods import SPARSE

__all__ = ["addmm", "as_sparse_gradcheck", "log_softmax", "mm", "sampled_addmm", "softmax", "spdiags", "sum"]

addmm, mm = refused("sparse.addmm", SPARSE), refused("sparse.mm", SPARSE)
sum, softmax = refused("sparse.sum", SPARSE), refused("sparse.softmax", SPARSE)
log_softmax, sampled_addmm = refused("sparse.log_softmax", SPARSE), refused("sparse.sampled_addmm", SPARSE)
spdiags, as_sparse_gradcheck = refused("sparse.spdiags", SPARSE), refused("sparse.as_sparse_gradcheck", SPARSE)
