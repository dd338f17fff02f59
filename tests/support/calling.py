"""Calling what was lowered or compiled, on NumPy arrays.

A graph: `run_compiled` by the runtime, as users do; `run_loops` by the loop IR's interpreter; `check` against the meaning of
the graph. A program or kernel, for any level of this machine: `load` and `run_kernel`, with a serial stand-in for the pool.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Sequence

import numpy as np

from ingot.backends import backend
from ingot.backends.built import Built
from ingot.backends.llvm.level import Level
from ingot.ir import interpret
from ingot.ir.graph import Graph
from ingot.ir.loop.interpret import run_program
from ingot.ir.loop.ir import Kernel
from ingot.ir.loop.program import Launch, Program, Ref
from ingot.ir.lower import lower
from ingot.ir.lower.cpu import cpu
from ingot.ir.machine import Machine
from ingot.ir.types import tensor_type
from ingot.runtime import compiler, memory
from ingot.runtime.formula import formula
from tests.support.graphs import arrays_for

WIDE = cpu(Machine(64))  # what programs are lowered for where no code is made of them
GUARD = 4096  # bytes behind an arena that nothing may write to
TOLERANCE = {2: 2e-2, 4: 2e-4, 8: 1e-9}  # by the size of a float

CPU = backend("cpu")
HOST_LEVELS = [level for level in CPU.levels.values() if CPU.runs(level, CPU.host_level())]

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
            f.write(built.code)
        self.library = ctypes.CDLL(f.name)
        os.unlink(f.name)
        self.entry = getattr(self.library, built.manifest["entry"])
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
        manifest = self.built.manifest
        symbols = [s["name"] for s in manifest.get("symbols", ())]
        values = [int(x) for x in slots[len(slots) - len(symbols) :]]
        nbytes = sum(formula(manifest[f], symbols)(*values) for f in ("arena_bytes", "scratch_bytes"))
        arena = np.zeros(min(max(nbytes, 0), 1 << 30) + 64 + GUARD, np.uint8)
        base = -(-arena.ctypes.data // 64) * 64
        code = self.entry(args.ctypes.data, ctypes.addressof(_TABLE), base)
        assert not arena[base - arena.ctypes.data + max(nbytes, 0) :].any(), "something is written behind the arena"
        return code


def load(program: Program, level: Level | None = None) -> Loaded:
    return Loaded(CPU.build(program, level or CPU.host_level()))


def program_of(kernel: Kernel, *params: Sequence[int]) -> Program:
    """A launch of a kernel for each of `params` (or one), each on argument slots of its own: as many as the kernel has buffers."""
    n = len(kernel.buffers)
    launches = [Launch(kernel.name, tuple(Ref(i * n + k) for k in range(n)), tuple(p)) for i, p in enumerate(params or ((),))]
    types = tuple(tensor_type(b.dtype, ()) for b in kernel.buffers) * len(launches)
    return Program(kernel.name, types, (), frozenset(), {kernel.name: kernel}, tuple(launches), 0)


def run_kernel(kernel: Kernel, arrays: Sequence[np.ndarray], params: Sequence[int] = (), level: Level | None = None) -> int:
    """Compile a kernel and run it on these arrays (changed in place)."""
    return load(program_of(kernel, params), level)(list(arrays))


def outputs(graph: Graph) -> list[np.ndarray]:
    """Arrays for the results of a graph, full of something else."""
    return [np.full(t.shape, 3, t.dtype.numpy) for t in graph.out_types]


def run_loops(graph: Graph, arrays: Sequence[np.ndarray], program: Program | None = None) -> list[np.ndarray]:
    """The outputs of a lowered program (by default the graph's, as a CPU has it), executed by the loop IR's interpreter."""
    outs = outputs(graph)
    assert run_program(program or lower(graph, WIDE), [np.ascontiguousarray(a).copy() for a in arrays] + outs) == 0
    return outs


def run_compiled(graph: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of compiled code, called by the runtime."""
    exe = compiler.executable(graph)
    buffers = [memory.from_numpy(np.ascontiguousarray(a)) for a in arrays]
    slots = [a.item() if i in graph.scalars else b.address for i, (a, b) in enumerate(zip(arrays, buffers))]
    outs = [memory.allocate(v.type.nbytes) for v in graph.outputs]
    exe.run(*slots, *(b.address for b in outs))
    return [b.array(v.type.dtype.numpy, v.type.shape) for b, v in zip(outs, graph.outputs)]


def compare(graph: Graph, arrays: Sequence[np.ndarray], got: Sequence[np.ndarray], scale: float = 1.0) -> None:
    """Equality with the tensor interpreter, within the tolerance of the coarsest float dtype that the graph computes in."""
    sizes = [v.type.dtype.to_real().itemsize for n in graph.nodes for v in n.outputs if v.type.dtype.kind in "fc"]
    for k, (want, out) in enumerate(zip(interpret.run(graph, list(arrays)), got)):
        want = np.asarray(want)
        assert want.dtype == out.dtype and want.shape == out.shape, (k, want.dtype, out.dtype, want.shape, out.shape)
        if want.dtype.kind in "biu":
            assert np.array_equal(want, out), f"output {k} differs\n{want}\n{out}"
        else:
            t = TOLERANCE[min(sizes, default=8)] * scale
            wide = np.complex128 if want.dtype.kind == "c" else np.float64
            np.testing.assert_allclose(out.astype(wide), want.astype(wide), rtol=t, atol=t, err_msg=f"output {k}")


def check(graph: Graph, arrays: Sequence[np.ndarray] | None = None, scale: float = 1.0) -> None:
    """Compiled code against the tensor interpreter."""
    arrays = arrays_for(graph) if arrays is None else arrays
    compare(graph, arrays, run_compiled(graph, arrays), scale)
