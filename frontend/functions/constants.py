"""Constants: numbers, None under NumPy's name, layouts, and memory formats (there is one: row-major)."""

from __future__ import annotations

import math

from ingot.ir.dtypes import package

__all__ = [
    "channels_last", "channels_last_3d", "contiguous_format", "e", "inf", "jagged", "layout", "legacy_contiguous_format", "memory_format",
    "nan", "newaxis", "pi", "preserve_format", "sparse_bsc", "sparse_bsr", "sparse_coo", "sparse_csc", "sparse_csr", "strided",
]  # fmt: skip

inf = math.inf
nan = math.nan
pi = math.pi
e = math.e
newaxis = None


class _Name:
    """A named constant."""

    def __init__(self, name: str):
        self._name = name

    def __repr__(self) -> str:
        return f"{package()}.{self._name}"

    def __reduce__(self) -> str:
        return self._name


class layout(_Name):
    """How a tensor is kept: all its elements, `ingot.strided`, or some of them, `ingot.sparse_coo` and the like (`ingot.sparse`)."""


class memory_format(_Name):
    """The order of dims in memory. Functions accept one and keep row-major order."""


strided = layout("strided")
sparse_coo, sparse_csr, sparse_csc = layout("sparse_coo"), layout("sparse_csr"), layout("sparse_csc")
jagged = layout("jagged")
sparse_bsr, sparse_bsc = layout("sparse_bsr"), layout("sparse_bsc")
contiguous_format = memory_format("contiguous_format")
legacy_contiguous_format = contiguous_format
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
