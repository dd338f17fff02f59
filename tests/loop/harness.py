"""Running programs from tests: the compiled entry with a serial stand-in for the worker pool, on NumPy arrays."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Sequence

import numpy as np

from ingot.backends.cpu import LEVELS, Built, Level, at_most, build, host_level
from ingot.ir.loop.ir import Kernel
from ingot.ir.loop.program import Launch, Program, Ref
from ingot.ir.types import tensor_type

HOST_LEVELS = [level for level in LEVELS.values() if at_most(level, host_level())]

_PHASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_PARALLEL = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64
)


@_PARALLEL
def _serial(pool, fn, ctx, n, scratch, stride):
    """Chunks of two, from the last to the first: phases must not depend on order."""
    phase = _PHASE(fn)
    for begin in reversed(range(0, n, 2)):
        phase(ctx, begin, min(begin + 2, n), scratch)


class _Table(ctypes.Structure):
    _fields_ = [("abi", ctypes.c_int64), ("nthreads", ctypes.c_int64), ("pool", ctypes.c_void_p), ("parallel", ctypes.c_void_p)]


_TABLE = _Table(1, 1, None, ctypes.cast(_serial, ctypes.c_void_p))


class Loaded:
    """A built program, mapped and ready to call."""

    def __init__(self, built: Built):
        self.built = built
        with tempfile.NamedTemporaryFile(suffix=".so", delete=False) as f:
            f.write(built.so)
        self.library = ctypes.CDLL(f.name)
        os.unlink(f.name)
        self.entry = getattr(self.library, built.entry)
        self.entry.restype = ctypes.c_int32
        self.entry.argtypes = [ctypes.c_void_p] * 3

    def __call__(self, slots: Sequence[np.ndarray | np.generic]) -> int:
        """Run on argument slots: arrays by address, NumPy scalars by value. Returns the entry's code."""
        args = np.zeros(max(len(slots), 1), np.int64)
        for k, x in enumerate(slots):
            if isinstance(x, np.ndarray):
                args[k] = x.ctypes.data
            else:
                value = np.asarray(x)
                args[k : k + 1].view(np.uint8)[: value.itemsize] = value.reshape(1).view(np.uint8)
        arena = np.zeros(self.built.arena_bytes + self.built.scratch_bytes + 64, np.uint8)
        base = -(-arena.ctypes.data // 64) * 64
        return self.entry(args.ctypes.data, ctypes.addressof(_TABLE), base)


def load(program: Program, level: Level | None = None) -> Loaded:
    return Loaded(build(program, level or host_level()))


def program_of(kernel: Kernel, params: Sequence[int] = ()) -> Program:
    """One launch of a kernel whose buffers are the argument slots."""
    refs = tuple(Ref(k) for k in range(len(kernel.buffers)))
    types = tuple(tensor_type(b.dtype, ()) for b in kernel.buffers)
    return Program(kernel.name, types, (), frozenset(), {kernel.name: kernel}, (Launch(kernel.name, refs, tuple(params)),), 0)


def run_kernel(kernel: Kernel, arrays: Sequence[np.ndarray], params: Sequence[int] = (), level: Level | None = None) -> int:
    """Compile a kernel and run it on these arrays (changed in place)."""
    return load(program_of(kernel, params), level)(list(arrays))
