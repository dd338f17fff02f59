"""Sparse tensors: of which only some elements are kept, COO for any rank, CSR, CSC, BSR and BSC for matrices.

    tensors.py      SparseTensor: its parts, conversions, text
    making.py       of indices and values, and of dense tensors
    products.py     products and sums
    reductions.py   sum, softmax
    methods.py      operators and methods
    named.py        torch's older names
    gradients.py    the sparse gradients of embeddings
    legacy.py       types by dtype, torch's oldest names
"""

from __future__ import annotations

from typing import Any

from ingot._paths import also
from ingot.sparse import methods as _methods
from ingot.sparse.making import spdiags
from ingot.sparse.products import addmm, mm, sampled_addmm
from ingot.sparse.reductions import log_softmax, softmax, sum
from ingot.sparse.tensors import SparseTensor

__all__ = [
    "SparseTensor", "addmm", "as_sparse_gradcheck", "check_sparse_tensor_invariants", "log_softmax", "mm", "sampled_addmm", "softmax",
    "spdiags", "sum",
]  # fmt: skip

__getattr__ = also(__name__, "ingot.sparse.legacy")
_methods.install()


def as_sparse_gradcheck(gradcheck: Any) -> Any:
    """`gradcheck`: sparse arguments are given to it by their values."""
    return gradcheck


class check_sparse_tensor_invariants:
    """Whether parts are checked when a sparse tensor is made: always. A context manager and decorator that changes nothing."""

    def __init__(self, enable: bool = True):
        self.enabled = enable

    @staticmethod
    def is_enabled() -> bool:
        """True."""
        return True

    @staticmethod
    def enable() -> None:
        """Parts are checked already."""

    @staticmethod
    def disable() -> None:
        """Parts are checked nevertheless: it costs little."""

    def __enter__(self) -> check_sparse_tensor_invariants:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, fn: Any) -> Any:
        return fn
