"""Dtypes of torch's that no tensor here has: libraries name them, in tables and comparisons. A tensor of one is a TypeError.

>>> ingot.float8_e4m3fn.itemsize
1
>>> ingot.zeros(2, dtype=ingot.qint8)
Traceback (most recent call last):
TypeError: there are no tensors of dtype qint8
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from ingot.ir.dtypes import ABSENT, DType

_FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")


class _Absent(DType):
    """A dtype of no tensor."""

    @property
    def is_floating_point(self) -> bool:
        return self.torch_name.startswith("float")

    @property
    def is_signed(self) -> bool:
        return self.torch_name in ("qint8", "qint32") or self.torch_name.startswith(("float", "int"))

    def __reduce__(self) -> Any:
        return _by_name, (self.torch_name,)


def _by_name(name: str) -> DType:
    return _ALL[name]


def _absent(name: str, like: Any = np.uint8, bits: int = 8) -> DType:
    made = _Absent(name, name, ABSENT, bits)
    object.__setattr__(made, "numpy", np.dtype(like))
    return made


_ALL = {
    **{n: _absent(n, getattr(ml_dtypes, n)) for n in _FLOAT8},
    "float4_e2m1fn_x2": _absent("float4_e2m1fn_x2", ml_dtypes.float4_e2m1fn),
    "complex32": _absent("complex32", np.uint32, 32),
    **{n: _absent(n) for n in ("quint8", "qint8", "quint4x2", "quint2x4", "bits8", "bits1x8", "bits2x4", "bits4x2")},
    "qint32": _absent("qint32", np.int32, 32),
    "bits16": _absent("bits16", np.uint16, 16),
    **{f"{kind}{n}": _absent(f"{kind}{n}", bits=n) for kind in ("int", "uint") for n in range(1, 8)},
}
globals().update(_ALL)
if TYPE_CHECKING:

    def __getattr__(name: str) -> DType: ...


chalf = _ALL["complex32"]
__all__ = [*_ALL, "chalf"]  # noqa: PLE0604  (names of dtypes)
