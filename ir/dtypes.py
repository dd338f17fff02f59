"""Element types: one frozen object per dtype, shared by the IR and the public API."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import numpy as np

from ingot.ir.struct import frozen, struct

__all__ = [
    "ABSENT", "DType",
    "ALL", "REAL", "by_name", "by_numpy", "Bool", "Int", "UInt", "Half", "Float", "Complex", "Number", "package", "promote",
]  # fmt: skip

ABSENT = "x"  # the kind of dtypes that no tensor has


@frozen
@struct
class DType:
    """An element type. Compared by identity; `d.name` is its name in IR text (`f32`), `str(d)` what users see."""

    name: str  # in IR text
    torch_name: str  # in Python
    kind: str  # "b" bool, "i" signed, "u" unsigned, "f" float, "c" complex
    bits: int  # of the value; a bool is stored in 8
    numpy: ClassVar[np.dtype]  # each has its own; no argument of the constructor

    def __getattr__(self, name: str) -> Any:
        if name != "numpy" or self.name != "bf16":
            raise AttributeError(f"'DType' object has no attribute {name!r}")
        import ml_dtypes  # not before something asks for it: it takes as long as all other dtypes' modules

        found = np.dtype(ml_dtypes.bfloat16)
        object.__setattr__(self, "numpy", found)
        return found

    @property
    def itemsize(self) -> int:
        return self.bits // 8

    @property
    def is_floating_point(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return self.kind == "c"

    @property
    def is_signed(self) -> bool:
        return self.kind in "ifc"

    def to_real(self) -> DType:
        """The dtype of the parts of a complex one; any other is itself."""
        return _PARTS.get(self, self)

    def to_complex(self) -> DType:
        """The complex dtype whose parts hold this one's values: complex128 for float64, else complex64."""
        return self if self.kind == "c" else c128 if self is f64 else c64

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"

    def __repr__(self) -> str:
        return f"{package()}.{self.torch_name}"

    def __reduce__(self):
        return by_name, (self.name,)


def package() -> str:
    """What the running program calls this package: "torch" where it is imported under that name, and text is compared with torch's."""
    found = sys.modules.get("torch")
    return "torch" if found is not None and found is sys.modules.get("ingot") else "ingot"


def _d(name: str, torch_name: str, np_type) -> DType:
    dt = np.dtype(np_type)
    made = DType(name, torch_name, dt.kind, dt.itemsize * 8)
    object.__setattr__(made, "numpy", dt)
    return made


bool_ = _d("bool", "bool", np.bool_)
u8 = _d("u8", "uint8", np.uint8)
i8 = _d("i8", "int8", np.int8)
i16 = _d("i16", "int16", np.int16)
i32 = _d("i32", "int32", np.int32)
i64 = _d("i64", "int64", np.int64)
u16 = _d("u16", "uint16", np.uint16)
u32 = _d("u32", "uint32", np.uint32)
u64 = _d("u64", "uint64", np.uint64)
f16 = _d("f16", "float16", np.float16)
bf16 = DType("bf16", "bfloat16", "f", 16)
f32 = _d("f32", "float32", np.float32)
f64 = _d("f64", "float64", np.float64)

c64 = _d("c64", "complex64", np.complex64)
c128 = _d("c128", "complex128", np.complex128)

REAL = (bool_, u8, i8, i16, i32, i64, u16, u32, u64, f16, bf16, f32, f64)
ALL = (*REAL, c64, c128)
Bool = frozenset((bool_,))
Int = frozenset((i8, i16, i32, i64))
UInt = frozenset((u8, u16, u32, u64))
Half = frozenset((f16, bf16))
Float = frozenset((f16, bf16, f32, f64))
Complex = frozenset((c64, c128))
Number = Int | UInt | Float  # the ordered ones

_PARTS = {c64: f32, c128: f64}

_BY_NAME = {d.name: d for d in ALL}
_BY_NUMPY = {d.numpy: d for d in ALL if d is not bf16}


def by_name(name: str) -> DType:
    """The dtype written `name` in IR text. KeyError if there is none."""
    return _BY_NAME[name]


def by_numpy(dtype) -> DType:
    """The dtype of a NumPy dtype. TypeError if Ingot has none for it."""
    found = _BY_NUMPY.get(np.dtype(dtype).newbyteorder("="))
    if found is None and np.dtype(dtype) == bf16.numpy:
        found = bf16
    if found is None:
        raise TypeError(f"no ingot dtype for numpy's {np.dtype(dtype)}; supported: {', '.join(d.torch_name for d in ALL)}")
    return found


_SIGNED_BY_BITS = {8: i8, 16: i16, 32: i32, 64: i64}


def promote(a: DType, b: DType) -> DType:
    """torch.promote_types: the smallest dtype both convert to, as torch defines it."""
    if a is b:
        return a
    if a.kind == "c" or b.kind == "c":
        return c128 if f64 in (a.to_real(), b.to_real()) else c64
    if a.kind == "f" or b.kind == "f":
        if a.kind != "f":
            return b
        if b.kind != "f":
            return a
        if a.bits == b.bits:  # f16 with bf16
            return f32
        return a if a.bits > b.bits else b
    if a.kind == "b":
        return b
    if b.kind == "b":
        return a
    if a.kind == b.kind:
        return a if a.bits > b.bits else b
    u, s = (a, b) if a.kind == "u" else (b, a)
    return s if s.bits > u.bits else _SIGNED_BY_BITS[min(64, u.bits * 2)]
