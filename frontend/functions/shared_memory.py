"""Methods of tensors about memory that processes share, or that is pinned for GPUs."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot._tensor.recording import from_array
from ingot._tensor.state import wrap
from ingot.functions.numpy_names import methods

__all__: list[str] = []


def _share_memory_(self: Tensor) -> Tensor:
    """Move this tensor to memory that processes share which are forked from now on: what one writes in place, all see. In place.

    RuntimeError for a tensor that an operation made. Nothing for one on a GPU.
    """
    if not self.is_cuda and not _is_shared(self):
        dtype = self.dtype.numpy
        memory = mmap.mmap(-1, max(self.numel() * dtype.itemsize, 1))
        array = np.frombuffer(memory, dtype, self.numel()).reshape(tuple(self.shape))
        array[...] = self.detach().numpy()
        self.data = from_array(array, share=True)
    return self


def _is_shared(self: Tensor) -> bool:
    """Whether processes share this tensor's memory: see `share_memory_`."""
    storage = self._storage
    buffer = None if storage is None else storage.base.buffer
    owner: Any = None if buffer is None else buffer.owner
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner, mmap.mmap) or isinstance(owner, memoryview) and isinstance(owner.obj, mmap.mmap)


def _is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether this tensor's memory is pinned, so that GPUs copy from and to it by themselves."""
    buffer = None if self.is_cuda else self._now().buffer
    if buffer is None:
        return False
    from ingot.runtime.cuda.allocator import PINNED

    return buffer.address in PINNED


def _pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """A copy in pinned memory, which GPUs copy from and to by themselves; itself where it is such.

    RuntimeError where there is no CUDA device, and for a tensor on one.
    """
    if self.is_cuda:
        raise RuntimeError(f"cannot pin '{self.type()}' only dense CPU tensors can be pinned")
    if _is_pinned(self):
        return self
    from ingot.runtime.array import Array
    from ingot.runtime.cuda.allocator import pinned
    from ingot.runtime.cuda.device import device as gpu

    value = self._value()
    buffer = pinned(gpu(), value.nbytes)
    buffer.array(value.dtype, value.shape)[...] = value
    return wrap((Array(self._array.type, buffer, None, None), None))


METHODS = methods(share_memory_=_share_memory_, is_shared=_is_shared, is_pinned=_is_pinned, pin_memory=_pin_memory)
