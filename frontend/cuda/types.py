"""`FloatTensor` and its kin on CUDA devices: the old names of tensors of one dtype."""

from __future__ import annotations

from ingot.functions import legacy
from ingot.functions.legacy import on_device

__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor",
    "IntTensor", "LongTensor", "ShortTensor",
]  # fmt: skip

BFloat16Tensor = on_device(legacy.BFloat16Tensor, "cuda")
BoolTensor = on_device(legacy.BoolTensor, "cuda")
ByteTensor = on_device(legacy.ByteTensor, "cuda")
CharTensor = on_device(legacy.CharTensor, "cuda")
DoubleTensor = on_device(legacy.DoubleTensor, "cuda")
FloatTensor = on_device(legacy.FloatTensor, "cuda")
HalfTensor = on_device(legacy.HalfTensor, "cuda")
IntTensor = on_device(legacy.IntTensor, "cuda")
LongTensor = on_device(legacy.LongTensor, "cuda")
ShortTensor = on_device(legacy.ShortTensor, "cuda")
