"""Array: the handle of one immutable value, which Tensors, the tape and the recorder share.

Its value is in memory (`buffer`), or a host number that has no memory yet, or *pending*: recorded and not run yet.
Values and nodes know nothing of handles, and a handle knows no gradient, so nothing here can form a reference cycle.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ingot.ir.types import TensorType
from ingot.runtime import memory

__all__ = ["Array", "HOST", "MADE", "META", "copied", "host", "from_buffer", "from_numpy", "meta", "ready", "to_numpy"]


class _Host:
    """The source of an Array whose value is a Python number."""

    def __repr__(self) -> str:
        return "HOST"


class _Made:
    """Stands for the value of an Array in memory that was made for no user, but by a function that needs it beside its operands."""

    def __repr__(self) -> str:
        return "MADE"


HOST = _Host()
MADE = _Made()
META = NotImplementedError("Cannot copy out of meta tensor; no data!")  # the source of an Array that is a type alone


class Array:
    """A value: `type`, and one of

    buffer   its memory, C-contiguous
    value    the number, where `source` is HOST; else its index in the recorder `source`, which has not run yet
    source   an exception: the run that should have made this value failed, or (META) there is to be none
    """

    __slots__ = ("type", "buffer", "value", "source", "__weakref__")

    def __init__(self, type: TensorType, buffer: memory.Buffer | None, value: Any, source: Any):
        self.type = type
        self.buffer = buffer
        self.value = value
        self.source = source

    def __repr__(self) -> str:
        state = "ready" if self.buffer is not None else "host" if self.source is HOST else "meta" if self.source is META else "pending"
        return f"<Array {self.type} {state}>"


def from_buffer(type: TensorType, buffer: memory.Buffer) -> Array:
    """The Array of a value that is in memory."""
    return Array(type, buffer, None, None)


def host(type: TensorType, number: Any) -> Array:
    """The Array of a Python number, passed by value to whatever reads it."""
    return Array(type, None, number, HOST)


def meta(type: TensorType) -> Array:
    """The Array of a type without a value: what is computed with it is such, too, and reading it raises META."""
    return Array(type, None, None, META)


def from_numpy(type: TensorType, array: np.ndarray) -> Array:
    """A copy of `array`, which has the dtype and shape of `type`."""
    buffer = memory.allocate(type.nbytes)
    buffer.array(type.dtype.numpy, type.shape)[...] = array
    return Array(type, buffer, None, None)


def copied(a: Array) -> Array:
    """A copy of the value of `a`, which is in memory."""
    assert a.buffer is not None
    nbytes = a.type.nbytes
    buffer = memory.allocate(nbytes)
    ctypes.memmove(buffer.address, a.buffer.address, nbytes)
    return Array(a.type, buffer, None, None)


def ready(a: Array) -> memory.Buffer:
    """The memory of `a`, computed now if it is pending. Raises what made it fail, each time."""
    if a.buffer is None:
        source = a.source
        if source is HOST:
            buffer = memory.allocate(a.type.nbytes)
            buffer.array(a.type.dtype.numpy, ())[...] = a.value
            a.buffer = buffer
            return buffer
        if not isinstance(source, BaseException):
            source.need(a)
        if a.buffer is None:
            raise again(a.source)
    return a.buffer


def again(error: Any) -> BaseException:
    """The error to raise for a value that failed: a copy, so that tracebacks do not pile up."""
    if not isinstance(error, BaseException):
        raise AssertionError(f"a pending value did not run: {error!r}")
    try:
        import copy

        return copy.copy(error)
    except Exception:
        return error


def to_numpy(a: Array) -> np.ndarray:
    """The value as an array that shares memory with it: for reading only."""
    return ready(a).array(a.type.dtype.numpy, a.type.shape)
