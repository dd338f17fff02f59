"""Running a graph as compiled code on NumPy arrays, and comparing its results with the interpreter's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.ir.graph import Graph
from ingot.runtime import compiler, memory

# what rounding in another order may leave: a few units of the last place, times the length of a chain
TOLERANCE = {"float64": 1e-10, "float32": 2e-4, "float16": 3e-2, "bfloat16": 2e-1}


def run_compiled(graph: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of `graph` from machine code, through the process's cache."""
    exe = compiler.executable(graph)
    slots: list[int | float] = []
    keep = []
    for i, a in enumerate(arrays):
        if i in graph.scalars:
            slots.append(a.item() if a.dtype.name != "bfloat16" else float(a))
            continue
        buffer = memory.allocate(max(a.nbytes, 1))
        buffer.array(a.dtype, a.shape)[...] = a
        keep.append(buffer)
        slots.append(buffer.address)
    outputs = []
    for t in graph.out_types:
        buffer = memory.allocate(max(t.nbytes, 1))
        out = buffer.array(t.dtype.numpy, t.shape)
        outputs.append(out)
        slots.append(buffer.address)
    exe.run(*slots)
    return outputs


def disagreement(got: np.ndarray, want: np.ndarray, loosest: str) -> str | None:
    """What is wrong with `got`, or None. Integers and bools agree to the bit; floats within the tolerance of the
    coarsest dtype that their computation passed through."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
    if want.dtype.kind in "biu":
        bad = got != want
    else:
        tolerance = max(TOLERANCE[want.dtype.name], TOLERANCE[loosest])
        g, w = got.astype(np.float64), want.astype(np.float64)
        with np.errstate(all="ignore"):
            bad = ~((np.abs(g - w) <= tolerance * (1 + np.abs(w))) | (np.isnan(g) & np.isnan(w)))
    if not bad.any():
        return None
    at = tuple(int(i[0]) for i in np.nonzero(bad))
    return f"{int(bad.sum())} of {bad.size} elements differ, the first at {list(at)}: {got[at]!r}, not {want[at]!r}"


def coarsest(graph: Graph) -> str:
    """The float dtype of the graph with the fewest digits."""
    names = {v.type.dtype.numpy.name for n in graph.nodes for v in (*n.inputs, *n.outputs) if v.type.dtype.kind == "f"}
    return max(names or {"float64"}, key=TOLERANCE.__getitem__)
