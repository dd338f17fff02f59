"""Running a graph through the lowering: compiled, or by the loop IR's interpreter."""

from __future__ import annotations

import numpy as np

import ingot.ir.ops  # noqa: F401
from ingot.ir import dtypes as D
from ingot.ir import interpret
from ingot.ir.builder import Builder
from ingot.ir.graph import Graph
from ingot.ir.loop.interpret import run_program
from ingot.ir.lower import lower
from ingot.ir.machine import Machine
from ingot.ir.types import tensor_type
from ingot.runtime import compiler, memory

WIDE = Machine(64, 32)  # what programs are lowered for where no code is made of them
TOLERANCE = {2: 2e-2, 4: 2e-4, 8: 1e-9}


def build(inputs, fn) -> Graph:
    """A graph of `fn` over Exprs; an input is a shape (f32) or (shape, dtype)."""
    b = Builder()
    values = []
    for spec in inputs:
        shape, dtype = spec if spec and isinstance(spec[0], tuple) else (spec, D.f32)
        values.append(b.expr(b.input(tensor_type(dtype, shape))))
    out = fn(*values)
    return b.freeze(tuple(o.value for o in (out if isinstance(out, tuple) else (out,))))


def arrays_for(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Standard normal floats; small non-negative integers (they may be indices)."""
    rng = np.random.default_rng(seed)
    out = []
    for t in graph.in_types:
        x = rng.standard_normal(t.shape) if t.dtype.kind == "f" else rng.integers(0, 2, t.shape)
        out.append(np.asarray(x).astype(t.dtype.numpy))
    return out


def run_compiled(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of compiled code."""
    exe = compiler.executable(graph)
    buffers = [memory.from_numpy(np.ascontiguousarray(a)) for a in arrays]
    slots = [a.item() if i in graph.scalars else b.address for i, (a, b) in enumerate(zip(arrays, buffers))]
    outs = [memory.allocate(v.type.nbytes) for v in graph.outputs]
    exe.run(*slots, *(b.address for b in outs))
    return [b.array(v.type.dtype.numpy, v.type.shape) for b, v in zip(outs, graph.outputs)]


def run_loops(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of the lowered program, executed by the loop IR's interpreter."""
    program = lower(graph, WIDE)
    outs = [np.zeros(t.shape, t.dtype.numpy) for t in graph.out_types]
    assert run_program(program, [np.ascontiguousarray(a).copy() for a in arrays] + outs) == 0
    return outs


def compare(graph: Graph, arrays: list[np.ndarray], got: list[np.ndarray], scale: float = 1.0) -> None:
    """Equality with the tensor interpreter, within the tolerance of the coarsest float dtype that the graph computes in."""
    sizes = [v.type.dtype.itemsize for n in graph.nodes for v in n.outputs if v.type.dtype.kind == "f"]
    for k, (want, out) in enumerate(zip(interpret.run(graph, arrays), got)):
        want = np.asarray(want)
        assert want.dtype == out.dtype and want.shape == out.shape, (k, want.dtype, out.dtype, want.shape, out.shape)
        if want.dtype.kind in "biu":
            assert np.array_equal(want, out), f"output {k} differs\n{want}\n{out}"
        else:
            t = TOLERANCE[min(sizes, default=8)] * scale
            np.testing.assert_allclose(out.astype(np.float64), want.astype(np.float64), rtol=t, atol=t, err_msg=f"output {k}")


def check(graph: Graph, arrays: list[np.ndarray] | None = None, scale: float = 1.0) -> None:
    """Compiled code against the tensor interpreter."""
    arrays = arrays_for(graph) if arrays is None else arrays
    compare(graph, arrays, run_compiled(graph, arrays), scale)
