"""DLPack: memory shared with other libraries, both ways, without a copy.

NumPy's capsules are used. It does not know bfloat16, and not every version of it bool: these go as integers of their size, and the
capsule's type code is set right before it is given away, or after it was received.
Source: https://dmlc.github.io/dlpack/latest/python_spec.html.
"""

from __future__ import annotations

import ctypes
from typing import Any

import ml_dtypes
import numpy as np

from ingot._tensor.devices import as_device
from ingot._tensor.recording import from_array, placed
from ingot.functions.common import Tensor, dtypes

__all__ = ["from_dlpack", "to_dlpack"]

_BFLOAT, _BOOL = 4, 6  # DLDataTypeCode
_AS_INTEGERS = {dtypes.bf16: (np.int16, _BFLOAT), dtypes.bool_: (np.uint8, _BOOL)}
_CPU, CUDA = 1, 2  # DLDeviceType


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p), ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64), ("tensor", _DLTensor),
    ]  # fmt: skip


_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))


def _described(capsule: Any) -> _DLTensor:
    """What a capsule that nobody has used yet says of its tensor: a view of the capsule's own memory."""
    name = _name(capsule)
    if name not in (b"dltensor", b"dltensor_versioned"):
        raise RuntimeError("from_dlpack received an invalid capsule: a DLPack capsule can be consumed only once")
    address = _pointer(capsule, name)
    return _DLTensor.from_address(address) if name == b"dltensor" else _Versioned.from_address(address).tensor


def export_capsule(self: Tensor, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
    """A DLPack capsule of the tensor's memory, which shares it with whoever consumes it; with `copy`, of a copy.

    max_version: the newest version that the consumer knows; without it the capsule is one of version 0, which cannot say that memory
    is read-only. stream: of a tensor on a GPU, the consumer's, which waits for what makes the tensor (None and 1: the legacy default, 2
    that of the thread, -1: nothing waits). BufferError for a tensor that requires gradients, and for another device than its own.
    """
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if self.is_cuda:
        from ingot.functions.device_memory import exported

        where = self.__dlpack_device__()
        if dl_device is not None and tuple(map(int, dl_device)) != where:
            raise BufferError(f"__dlpack__: the tensor lives on the device {where}, not on {tuple(map(int, dl_device))}")
        array = exported(self.clone() if copy else self, stream)
        return _capsule(array, self.dtype, max_version, where)
    if stream is not None and stream != -1:
        raise BufferError(f"__dlpack__: there are no streams on the CPU, and so no stream {stream!r}")
    if dl_device is not None and int(dl_device[0]) != _CPU:
        raise BufferError(f"__dlpack__: tensors live on the CPU, not on the device {tuple(map(int, dl_device))}")
    array = self.numpy()
    if copy:
        array = array.copy()
    return _capsule(array, self.dtype, max_version, (_CPU, 0))


def _capsule(array: np.ndarray, dtype: Any, max_version: Any, where: tuple[int, int]) -> Any:
    integers, code = _AS_INTEGERS.get(dtype, (None, None))
    if integers is not None:
        array = array.view(integers)
    options = {"max_version": max_version} if max_version is not None and hasattr(np, "__array_namespace_info__") else {}
    capsule = array.__dlpack__(**options)
    described = _described(capsule)
    if code is not None:
        described.code = code
    described.device_type, described.device_id = where
    return capsule


class _Received:
    """A capsule for NumPy, whose array then shares its memory."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU, 0


class _Writable:
    """Memory that NumPy takes for read-only where a capsule of version 0 does not say."""

    def __init__(self, array: np.ndarray):
        self.owner = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.__array_interface__["data"][0], False)}


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of another library's tensor (anything with `__dlpack__`), or of a DLPack capsule.

    copy: True for memory of its own; without, memory that is contiguous is shared, and other is copied: BufferError if copy is False.
    BufferError also for memory that is neither the CPU's nor a CUDA device's, TypeError for what has no `__dlpack__`, and for dtypes that
    no tensor has.

    >>> array = np.zeros(2)
    >>> shared = ingot.from_dlpack(array)
    >>> array[0] = 1
    >>> shared
    tensor([1., 0.], dtype=ingot.float64)
    """
    if device is not None:
        found = from_dlpack(ext_tensor, copy=copy)
        there = placed(found, as_device(device))
        if there is not found and copy is False:
            raise BufferError(f"from_dlpack: the memory is not on {device}, and copy is False")
        return there
    capsule, versioned = ext_tensor, True
    if type(ext_tensor).__name__ != "PyCapsule":
        if not hasattr(ext_tensor, "__dlpack__"):
            raise TypeError(f"from_dlpack takes an object with __dlpack__, or a capsule, not {type(ext_tensor).__name__}")
        kind, index = map(int, ext_tensor.__dlpack_device__())
        options = {}
        if kind == CUDA:
            from ingot.functions.device_memory import present_stream

            options["stream"] = present_stream(index)
        elif kind != _CPU:
            raise BufferError(f"from_dlpack: the tensor lives on a device of kind {kind}, and tensors here on the CPU and CUDA devices")
        try:
            capsule = ext_tensor.__dlpack__(max_version=(1, 0), **options)
        except TypeError:  # a producer that knows version 0 alone
            capsule = ext_tensor.__dlpack__(**options)
    versioned = _name(capsule) == b"dltensor_versioned"
    described = _described(capsule)
    where, index = described.device_type, described.device_id
    if where not in (_CPU, CUDA):
        raise BufferError(f"from_dlpack: the tensor lives on a device of kind {where}, and tensors here on the CPU and CUDA devices")
    described.device_type, described.device_id = _CPU, 0  # for NumPy, which looks at no value
    kind = described.code
    if kind == _BFLOAT:
        described.code = 0
    elif kind == _BOOL:
        described.code = 1
    array = np.from_dlpack(_Received(capsule))
    if kind in (_BFLOAT, _BOOL):
        array = array.view(ml_dtypes.bfloat16 if kind == _BFLOAT else np.bool_)
    if where == CUDA:
        from ingot.functions.device_memory import received

        made = received(array, index)
        return made.clone() if copy else made
    contiguous = array.flags.c_contiguous
    if copy is False and not contiguous:
        raise BufferError("from_dlpack: memory that is not contiguous can only be copied, and copy is False")
    if copy or not contiguous:
        return from_array(array.copy(order="C"), share=True)
    if not versioned and not array.flags.writeable:
        held = array if array.dtype != ml_dtypes.bfloat16 else array.view(np.int16)
        array = np.asarray(_Writable(held)).view(array.dtype)
    return from_array(array, share=True)


def to_dlpack(input: Tensor) -> Any:
    """A DLPack capsule of the tensor's memory, to be consumed once. What takes `input` itself needs none.

    >>> ingot.from_dlpack(ingot.to_dlpack(ingot.ones(2)))
    tensor([1., 1.])
    """
    return export_capsule(input)
