"""Memory of GPUs shared with other libraries, both ways, without a copy: DLPack and `__cuda_array_interface__`.

NumPy arrays stand for it here that have the addresses and strides of a GPU's memory. Nobody looks at what is in them.
Sources: https://dmlc.github.io/dlpack/latest/python_spec.html,
https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot._tensor.state import wrap
from ingot.ir.dtypes import by_numpy
from ingot.ir.types import tensor_type
from ingot.runtime import array as arrays
from ingot.runtime import memory
from ingot.runtime.array import Array
from ingot.runtime.cuda.allocator import DeviceBuffer
from ingot.runtime.cuda.device import device as gpu_of

_LEGACY = 1


def present_stream(index: int) -> int:
    """The handle of the present stream of a device."""
    return gpu_of(index).stream().handle


def _shown(t: Tensor) -> np.ndarray:
    """What stands for a tensor's memory, which others see from now on."""
    s = t._share()
    buffer: Any = arrays.ready(s.base)
    buffer.share()
    s.share(True)
    flat = memory.Buffer.array(buffer, t.dtype.numpy, (max(s.base.type.numel, 1),))
    layout = t._layout()
    strides = tuple(n * t.itemsize for n in layout.strides)
    return np.lib.stride_tricks.as_strided(flat[layout.offset :], tuple(t.shape), strides)


def exported(t: Tensor, stream: Any) -> np.ndarray:
    """What stands for a tensor's memory, for a consumer whose stream waits for the tensor."""
    array = _shown(t)
    gpu = gpu_of(t._array.type.device)
    if stream == 0 or stream is not None and stream < -1:
        raise BufferError(f"__dlpack__: {stream} is no stream of a CUDA device")
    if stream != -1:
        with gpu.marked() as event:
            gpu.driver.cuStreamWaitEvent(_LEGACY if stream is None else stream, event, 0)
    return array


def received(array: np.ndarray, index: int) -> Tensor:
    """A tensor on the memory of a device that an array stands for, which keeps it alive."""
    gpu = gpu_of(index)
    dtype = by_numpy(array.dtype)
    address = array.__array_interface__["data"][0]
    if array.flags.c_contiguous or not array.size:
        t = tensor_type(dtype, array.shape).on(index)
        return wrap((Array(t, DeviceBuffer(address, array.nbytes, array.nbytes, None, gpu.stream(), array), None, None), None))
    if any(n < 0 for n in array.strides):
        raise BufferError("from_dlpack: memory with negative strides can only be copied, by its owner")
    steps = tuple(n // array.itemsize for n in array.strides)
    n = 1 + sum((e - 1) * s for e, s in zip(array.shape, steps))
    whole = DeviceBuffer(address, n * array.itemsize, n * array.itemsize, None, gpu.stream(), array)
    flat: Any = wrap((Array(tensor_type(dtype, (n,)).on(index), whole, None, None), None))
    return flat.as_strided(array.shape, steps)


def interface(t: Tensor) -> dict[str, Any]:
    """`__cuda_array_interface__`, version 3. RuntimeError for a tensor that requires gradients."""
    if t.requires_grad:
        raise RuntimeError(
            "Can't get __cuda_array_interface__ on Variable that requires grad. If gradients aren't required, use var.detach() to get "
            "Variable that doesn't require grad."
        )
    array = _shown(t)
    return {
        "typestr": array.dtype.str if array.dtype.isbuiltin else "<V2", "shape": array.shape, "version": 3,
        "strides": None if array.flags.c_contiguous else array.strides,
        "data": (array.__array_interface__["data"][0] if array.size else 0, False),
        "stream": gpu_of(t._array.type.device).stream().handle,
    }  # fmt: skip


class _Described:
    """An array as another object's `__cuda_array_interface__` describes it."""

    def __init__(self, owner: Any, told: dict[str, Any]):
        self.owner = owner
        self.__array_interface__ = {k: told[k] for k in ("typestr", "shape", "data", "strides") if k in told} | {"version": 3}


def from_interface(x: Any) -> Tensor:
    """A tensor on the memory of an object with `__cuda_array_interface__`, on the present device."""
    told = x.__cuda_array_interface__
    if told.get("mask") is not None:
        raise BufferError("__cuda_array_interface__: masked memory has no tensor equivalent")
    gpu = gpu_of()
    stream = told.get("stream")
    if stream is not None:
        with gpu.marked(stream) as event:
            gpu.stream().wait(event)
    return received(np.asarray(_Described(x, told)), gpu.index)
