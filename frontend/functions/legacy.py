"""`FloatTensor` and its kin: the old names of tensors of one dtype, as constructors and for isinstance."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.metadata import Size
from ingot.functions.creation import zeros
from ingot.functions.from_data import tensor
from ingot.ir import dtypes
from ingot.ir.dtypes import DType

__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor",
    "ShortTensor", "TensorType",
]  # fmt: skip


class LegacyType(type):
    """Calling one makes a Tensor of its dtype: from data, or of the given sizes (zeros)."""

    dtype: DType
    place = "cpu"

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor) and x.dtype is cls.dtype and x.device.type == cls.place

    def __call__(cls, *args: Any) -> Any:
        if not args:
            return zeros(0, dtype=cls.dtype, device=cls.place)
        if len(args) == 1 and not isinstance(args[0], (int, Size)):
            return tensor(args[0], dtype=cls.dtype, device=cls.place)
        return zeros(*args, dtype=cls.dtype, device=cls.place)


def _type(name: str, dtype: DType) -> Any:
    return LegacyType(name, (), {"dtype": dtype, "__doc__": f"Tensors of {dtype.torch_name}; prefer `ingot.tensor(..., dtype=...)`."})


def on_device(kind: Any, place: str) -> Any:
    """The same type on another device."""
    doc = f"{kind.__doc__[:-1]}, device={place!r}."
    return type(kind)(kind.__name__, (), {"dtype": kind.dtype, "place": place, "__doc__": doc})


FloatTensor = _type("FloatTensor", dtypes.f32)
DoubleTensor = _type("DoubleTensor", dtypes.f64)
HalfTensor = _type("HalfTensor", dtypes.f16)
BFloat16Tensor = _type("BFloat16Tensor", dtypes.bf16)
LongTensor = _type("LongTensor", dtypes.i64)
IntTensor = _type("IntTensor", dtypes.i32)
ShortTensor = _type("ShortTensor", dtypes.i16)
CharTensor = _type("CharTensor", dtypes.i8)
ByteTensor = _type("ByteTensor", dtypes.u8)
BoolTensor = _type("BoolTensor", dtypes.bool_)

TensorType = Tensor  # of TorchScript, in annotations
