"""Tensors from data: numbers, nested sequences, NumPy arrays and buffers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ingot._tensor import Size
from ingot._tensor.devices import beside, placing
from ingot._tensor.extents import Extent
from ingot._tensor.reals import Real
from ingot._tensor.recording import from_array, placed, record, scalar
from ingot.functions.common import (
    Tensor,
    cast,
    dtypes,
    get_default_dtype,
    number_dtype,
    settled,
)
from ingot.ir.dtypes import DType, by_numpy, promote
from ingot.ir.op import OPS
from ingot.runtime.recorder import here

__all__ = ["as_tensor", "asarray", "from_numpy", "frombuffer", "tensor"]

_range: Any = range
_OF_PYTHON: dict[type, DType] = {float: dtypes.f64, int: dtypes.i64, bool: dtypes.bool_, complex: dtypes.c128}


def finish(x: Tensor, device: Any, requires_grad: bool) -> Tensor:
    """`x` as its maker was asked for it. RuntimeError for a device that is not there."""
    x = placed(x, placing(device, x))
    x._weak = False
    return x.requires_grad_() if requires_grad else x


def check_dtype(dtype: Any) -> DType | None:
    """A `dtype=` argument: None, a dtype, or Python's float, int, bool or complex for one. TypeError for anything else."""
    if dtype is not None and not isinstance(dtype, DType):
        if isinstance(dtype, type) and dtype in _OF_PYTHON:
            return _OF_PYTHON[dtype]
        raise TypeError(f"dtype must be an ingot dtype, not {dtype!r}")
    return dtype


def _leaf_dtype(x: Any) -> DType:
    if isinstance(x, Tensor):
        return x.dtype
    if isinstance(x, (np.generic, np.ndarray)):
        return by_numpy(x.dtype)
    if isinstance(x, (bool, int, float, complex)):
        return number_dtype(x)
    if isinstance(x, str):
        raise TypeError("new(): invalid data type 'str'")
    raise RuntimeError(f"Could not infer dtype of {type(x).__name__}")


def _is_sequence(x: Any) -> bool:
    return isinstance(x, (list, tuple, _range)) or (hasattr(x, "__len__") and hasattr(x, "__getitem__") and not isinstance(
        x, (str, bytes, dict, set, Tensor, np.ndarray, np.generic)))  # fmt: skip


def _plain(data: Any, leaves: set[type], found: list[DType | None]) -> Any:
    """Nested sequences with every leaf a number or an array, `found[0]` the dtype of them all so far."""
    if _is_sequence(data):
        return [_plain(x, leaves, found) for x in data]
    if type(data) not in leaves or isinstance(data, (Tensor, np.ndarray)):
        d = _leaf_dtype(data)
        found[0] = d if found[0] is None else promote(found[0], d)
        leaves.add(type(data))
    if isinstance(data, Tensor):
        if data.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return data.item()
    return data


def _check_shape(data: Any, shape: tuple[int, ...], dim: int = 0) -> None:
    """ValueError, in torch's words, where nested sequences are ragged."""
    if not shape:
        if _is_sequence(data):
            raise ValueError(f"expected a number at dim {dim}, got a sequence")
        return
    if isinstance(data, np.ndarray):
        return
    if not _is_sequence(data):
        raise TypeError(f"expected a sequence of length {shape[0]} at dim {dim}, got {type(data).__name__}")
    if len(data) != shape[0]:
        raise ValueError(f"expected sequence of length {shape[0]} at dim {dim} (got {len(data)})")
    for x in data:
        _check_shape(x, shape[1:], dim + 1)


def _first_shape(data: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while _is_sequence(data):
        shape.append(len(data))
        if not len(data):
            break
        data = data[0]
    return (*shape, *(data.shape if isinstance(data, np.ndarray) else ()))


def to_array(data: Any, dtype: DType | None = None) -> np.ndarray:
    """`data` (numbers, nested sequences, arrays) as a new NumPy array, of torch's dtype for it unless one is given.

    ValueError for ragged sequences, RuntimeError for integers that do not fit, TypeError for what is no number.
    """
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        return array.astype((dtype or by_numpy(array.dtype)).numpy)
    found: list[DType | None] = [None]
    plain = _plain(data, set(), found)
    shape = _first_shape(plain)
    target = dtype or found[0] or get_default_dtype()
    if found[0] is None:
        _check_shape(plain, shape)
        return np.zeros(shape, target.numpy)
    try:
        array = np.asarray(plain)
    except ValueError:
        _check_shape(plain, shape)
        raise
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None
    if array.dtype.kind == "O" or (array.dtype == np.uint64 and found[0] is dtypes.i64):
        _check_shape(plain, shape)
        raise ValueError("Overflow when unpacking long long")
    if array.dtype.kind == "c" and target.kind in "iuf":
        raise TypeError(f"must be {'a real number' if target.kind == 'f' else 'an integer'}, not complex")
    if target.kind in "iu" and array.dtype.kind == "i" and array.size:
        bits = target.bits - (target.kind == "i")
        low, high = int(array.min()), int(array.max())
        if high >= 1 << bits or low < -(1 << bits):
            raise RuntimeError(f"value cannot be converted to type {target.torch_name} without overflow")
    with np.errstate(all="ignore"):
        return array.astype(target.numpy)


def _remembers(data: Any) -> bool:
    """Whether there are run-time numbers among nested ones."""
    return any(map(_remembers, data)) if type(data) in (tuple, list, Size) else type(data) in (Extent, Real)


def _of_numbers(data: Any, dtype: DType | None) -> Tensor:
    """Nested numbers some of which are known at run time, as a tensor that the graph computes."""
    leaves: list[Any] = []

    def shape_of(x: Any) -> tuple[int, ...]:
        if type(x) not in (tuple, list, Size):
            leaves.append(x)
            return ()
        inner = [shape_of(i) for i in x]
        if any(s != inner[0] for s in inner):
            raise ValueError("expected sequences of one length")
        return (len(inner), *(inner[0] if inner else ()))

    shape = shape_of(data)
    target = dtype or (get_default_dtype() if any(isinstance(x, float) for x in leaves) else dtypes.i64)
    parts = [record(OPS["broadcast"], (scalar(x, target),), ((1,),)) for x in leaves]
    return record(OPS["reshape"], (record(OPS["concatenate"], tuple(parts), (0,)),), (shape,))


def _lends(data: Any) -> bool:
    """Whether it is another library's array, which lets others see its memory."""
    return hasattr(data, "__dlpack__") and not isinstance(data, (Tensor, np.ndarray))


def _borrowed(data: Any) -> Tensor:
    from ingot.functions.dlpack import from_dlpack

    return from_dlpack(data)


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new tensor of `data`: a number, nested sequences of numbers, a NumPy array. Always a copy, always a leaf.

    Python floats get the default dtype, ints int64, bools bool; arrays keep theirs. ValueError for ragged sequences, TypeError for
    what is no number.

        >>> ingot.tensor([[1.0, 2.0], [3.0, 4.0]])
        tensor([[1., 2.],
                [3., 4.]])
    """
    dtype = check_dtype(dtype)
    if isinstance(data, Tensor):
        x = settled(data).detach().clone()
        return finish(x if dtype is None else cast(x, dtype), device, requires_grad)
    if here.recorder.extents is not None and _remembers(data):
        return finish(_of_numbers(data, dtype), device, requires_grad)
    if _lends(data):
        x = _borrowed(data).clone()
        return finish(x if dtype is None else cast(x, dtype), device, requires_grad)
    array = to_array(data, dtype)
    return finish(from_array(array), device, requires_grad)


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """`data` as a tensor: itself if it is one, a new one of numbers; memory is shared with NumPy's arrays and other libraries' (by DLPack).

    >>> ingot.as_tensor([1, 2])
    tensor([1, 2])
    """
    dtype = check_dtype(dtype)
    if isinstance(data, Tensor):
        x = settled(data)
    elif isinstance(data, np.ndarray) and data.flags.writeable and data.flags.c_contiguous:
        x = from_numpy(data)
    elif hasattr(data, "__cuda_array_interface__"):
        from ingot.functions.device_memory import from_interface

        x = from_interface(data)
    elif _lends(data):
        x = _borrowed(data)
    else:
        return tensor(data, dtype=dtype, device=device)
    return placed(x if dtype is None else cast(x, dtype), placing(device, x))


def asarray(obj: Any, *, dtype: DType | None = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False) -> Tensor:
    """`as_tensor`, with a copy forced by copy=True."""
    x = tensor(obj, dtype=dtype) if copy else as_tensor(obj, dtype)
    return finish(x, device, requires_grad)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on the memory of a NumPy array: a write to one is seen by the other (a copy where the array is not C-contiguous).

    TypeError for what is no array or has a dtype without counterpart, ValueError for negative strides.

        >>> ingot.from_numpy(np.arange(3))
        tensor([0, 1, 2])
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    dtype = by_numpy(ndarray.dtype)
    if any(s < 0 for s in ndarray.strides) and ndarray.size:
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. "
            "(You can probably work around this by making a copy of your array with array.copy().)"
        )
    share = ndarray.flags.c_contiguous and ndarray.dtype == dtype.numpy
    return from_array(ndarray, dtype, share=share)


def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A vector over the bytes of an object with the buffer protocol. ValueError where they do not make whole elements."""
    array = np.frombuffer(buffer, dtype.numpy, count, offset)
    x = from_numpy(array) if array.flags.writeable else from_array(array)
    return finish(x, "cpu", requires_grad)


def new_tensor(self: Tensor, data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`ingot.tensor` with the dtype of this tensor as default."""
    return tensor(data, dtype=dtype or self.dtype, device=beside(device, self), requires_grad=requires_grad)
