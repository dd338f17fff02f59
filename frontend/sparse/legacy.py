"""`ingot.sparse.FloatTensor` and its kin: the old names of COO tensors of one dtype, as constructors and for isinstance."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.functions import legacy
from ingot.functions.legacy import LegacyType
from ingot.sparse.making import sparse_coo_tensor
from ingot.sparse.tensors import SparseTensor

__all__ = [
    "BFloat16Tensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor",
]  # fmt: skip


class _SparseType(LegacyType):
    """Calling one makes a COO tensor of its dtype: of indices, values and a size, or of a size alone (all zero)."""

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, SparseTensor) and x.is_sparse and x.dtype is cls.dtype

    def __call__(cls, *args: Any) -> Any:
        if args and isinstance(args[0], Tensor):
            return sparse_coo_tensor(*args, dtype=cls.dtype)
        size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args or (0,)
        return sparse_coo_tensor(tuple(size), dtype=cls.dtype)


def _type(kind: LegacyType) -> Any:
    doc = f"COO tensors of {kind.dtype.torch_name}; prefer `ingot.sparse_coo_tensor(..., dtype=...)`."
    return _SparseType(kind.__name__, (), {"dtype": kind.dtype, "__doc__": doc})


BFloat16Tensor = _type(legacy.BFloat16Tensor)
ByteTensor = _type(legacy.ByteTensor)
CharTensor = _type(legacy.CharTensor)
DoubleTensor = _type(legacy.DoubleTensor)
FloatTensor = _type(legacy.FloatTensor)
HalfTensor = _type(legacy.HalfTensor)
IntTensor = _type(legacy.IntTensor)
LongTensor = _type(legacy.LongTensor)
ShortTensor = _type(legacy.ShortTensor)
