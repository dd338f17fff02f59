"""Tensor's constructor, and its methods that give it another dtype or device, or overwrite it with another tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ingot._tensor import Size, Tensor, get_default_dtype
from ingot._tensor.devices import CPU, as_device, device
from ingot._tensor.recording import broadcast, cast, inplace, placed
from ingot.functions.common import dtype_name, filler, is_number
from ingot.functions.creation import zeros
from ingot.functions.from_data import tensor
from ingot.functions.numpy_names import methods
from ingot.ir import dtypes
from ingot.ir.dtypes import DType

__all__: list[str] = []


def constructed(*sizes: Any, data: Any = None, device: Any = None) -> Tensor:
    """What `Tensor(...)` makes. Of the default dtype: of the given sizes (zeros), or of the numbers in a sequence or array `data`; of a
    tensor, another handle."""
    given = sizes if data is None else (data, *sizes)
    place = CPU if device is None else as_device(device)
    if len(given) == 1 and isinstance(given[0], Tensor):
        return given[0].detach()
    if len(given) == 1 and isinstance(given[0], (list, tuple, np.ndarray)) and not isinstance(given[0], Size):
        return tensor(given[0], dtype=get_default_dtype(), device=place)
    if len(given) == 1 and not isinstance(given[0], (int, np.integer, Size)) or given and isinstance(given[0], bool):
        raise TypeError(f"Tensor(): data must be a sequence or sizes, but got {type(given[0]).__name__}; ingot.tensor() takes a number")
    return zeros(*(given or (0,)), device=place)


def _copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite this tensor with `src`, a tensor or a number, broadcast to its shape and converted to its dtype."""
    if is_number(src):
        return inplace(self, broadcast(filler(src, self.dtype), self._array.type.shape), "CopyBackwards")
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    return inplace(self, broadcast(cast(src, self.dtype), self._array.type.shape), "CopyBackwards")


def _to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """This tensor with another dtype or device: `to(dtype)`, `to(device)`, `to(device, dtype)` or `to(other)`.

    Itself where nothing changes, unless `copy=True`. To "meta" go its shape and dtype alone; from there to the CPU is a
    NotImplementedError. A float beyond the range of an integer dtype becomes its nearest number, and NaN
    becomes 0; integers wrap around. (torch leaves floats out of range to the machine; here every machine gives the same.)

    >>> ingot.tensor([3e9, -3e9, float("nan"), -1.5]).to(ingot.int32)
    tensor([ 2147483647, -2147483648,           0,          -1], dtype=ingot.int32)
    """
    dtype, copy = kwargs.pop("dtype", None), kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None), kwargs.pop("memory_format", None)
    where = kwargs.pop("device", None)
    other = kwargs.pop("other", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    for a in (*args, other):
        if isinstance(a, DType):
            dtype = a
        elif isinstance(a, Tensor):
            dtype, where = a.dtype, a.device
        elif isinstance(a, (str, device)) or type(a) is int:
            where = a
        elif a is not None and not isinstance(a, bool):
            raise TypeError(f"to() received an invalid argument of type {type(a).__name__}")
    bools = [a for a in args if isinstance(a, bool)]
    copy = copy or (len(bools) > 1 and bools[1])
    there = self if where is None else placed(self, as_device(where))
    if dtype is None or dtype is self.dtype:
        return there.clone() if copy and there is self else there
    return cast(there, dtype)


def _type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The tensor with another dtype, given as such, as a legacy type or by that type's name (`x.type(y.type())`), which says the device,
    too; without one, the type's name. ValueError for a name that no type has."""
    if dtype is None:
        return f"{dtypes.package()}.{'cuda.' if self.is_cuda else ''}{dtype_name(self.dtype)}Tensor"
    if isinstance(dtype, DType):
        return self.to(dtype)
    from ingot.functions import legacy

    if isinstance(dtype, legacy.LegacyType):
        return self.to(dtype.place, dtype.dtype)
    if not isinstance(dtype, str):
        raise TypeError(f"type(): expected an ingot dtype, got {dtype!r}")
    package, _, rest = dtype.partition(".")
    place, _, name = rest.rpartition(".")
    found = next((d for d in dtypes.ALL if name == f"{dtype_name(d)}Tensor"), None)
    if package not in ("ingot", "torch") or place not in ("", "cuda") or found is None:
        raise ValueError(f"invalid type: {dtype!r}")
    return self.to(place or "cpu", found)


def _type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor in the dtype of `other`."""
    return self.to(other.dtype)


def _cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """This tensor on the CPU: itself where it is there. NotImplementedError for one of "meta"."""
    return placed(self, CPU)


def _cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """This tensor on a GPU, the present one or that of `device` (a number, name or device): itself where it is there.

    RuntimeError where there is none.
    """
    return self.to("cuda" if device is None else device)


def _as(dtype: DType) -> Callable[..., Tensor]:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return self.to(dtype)

    method.__doc__ = f"This tensor as {dtype.torch_name}."
    return method


METHODS = methods(
    copy_=_copy_, to=_to, type=_type, type_as=_type_as, cpu=_cpu, cuda=_cuda,
    half=_as(dtypes.f16), bfloat16=_as(dtypes.bf16), float=_as(dtypes.f32), double=_as(dtypes.f64), char=_as(dtypes.i8),
    short=_as(dtypes.i16), int=_as(dtypes.i32), long=_as(dtypes.i64), byte=_as(dtypes.u8), bool=_as(dtypes.bool_),
    cfloat=_as(dtypes.c64), cdouble=_as(dtypes.c128),
)  # fmt: skip
