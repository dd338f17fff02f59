"""Facts about dtypes: finfo, iinfo, promotion, and questions about tensors that need no values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ingot.functions.common import Tensor, can_cast, check_tensor, common_dtype, get_default_dtype
from ingot.ir.dtypes import DType, promote

__all__ = [
    "can_cast", "finfo", "iinfo", "is_floating_point", "is_nonzero", "is_signed", "numel", "promote_types",
    "result_type",
]  # fmt: skip


class finfo:
    """The limits of a floating dtype: bits, eps, max, min, tiny, smallest_normal, resolution. TypeError for others.

    >>> ingot.finfo(ingot.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, dtype: DType | None = None):
        dtype = dtype or get_default_dtype()
        dtype = dtype.to_real() if isinstance(dtype, DType) else dtype  # of complex numbers those of their parts
        if not dtype.is_floating_point:
            raise TypeError(f"finfo() requires a floating point input type, got {dtype!r}. Use iinfo to handle integer types")
        import ml_dtypes

        info = ml_dtypes.finfo(dtype.numpy)
        self.bits: int = dtype.bits
        self.eps = float(info.eps)
        self.max = float(info.max)
        self.min = float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(info.resolution)
        self.dtype: str = dtype.torch_name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """The limits of an integer dtype: bits, max, min. TypeError for others.

    >>> ingot.iinfo(ingot.int8).max
    127
    """

    def __init__(self, dtype: DType):
        if dtype.kind not in "iu":
            raise TypeError(f"iinfo() requires an integer input type, got {dtype!r}. Use finfo to handle floating types")
        info = np.iinfo(dtype.numpy)
        self.bits: int = dtype.bits
        self.max = int(info.max)
        self.min = int(info.min)
        self.dtype: str = dtype.torch_name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def is_floating_point(input: Tensor) -> bool:
    """True if the dtype is float16, bfloat16, float32 or float64."""
    check_tensor("is_floating_point", input)
    return input.dtype.kind == "f"


def is_signed(input: Tensor) -> bool:
    """True if the dtype holds negative numbers."""
    check_tensor("is_signed", input)
    return input.dtype.is_signed


def is_nonzero(input: Tensor) -> bool:
    """The truth of a tensor of one element. RuntimeError for more or fewer. Reads the value."""
    check_tensor("is_nonzero", input)
    return bool(input)


def numel(input: Tensor) -> int:
    """The number of elements."""
    check_tensor("numel", input)
    return input.numel()


def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype both convert to.

    >>> ingot.promote_types(ingot.int32, ingot.float16)
    ingot.float16
    """
    return promote(type1, type2)


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype of an operation on two Tensors or numbers: tensors with dims outrank 0-d tensors, and those outrank numbers.

    >>> ingot.result_type(ingot.ones(1, dtype=ingot.float16), 1.5)
    ingot.float16
    """
    return common_dtype(tensor1, tensor2)
