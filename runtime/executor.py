"""From a graph to something that runs it: compiled code, or the interpreter (`INGOT_BACKEND=interpreter`).

Both have one method, `run(*slots)`: the addresses of the inputs (numbers, for scalar inputs), then of the outputs.
"""

from __future__ import annotations

from typing import Any

from ingot.ir.graph import Graph
from ingot.runtime import switches

__all__ = ["executable", "Interpreted"]


class Interpreted:
    """A graph run by the NumPy interpreter, with the calling convention of compiled code."""

    def __init__(self, graph: Graph):
        self.graph = graph

    def run(self, *slots: Any) -> None:
        """Run on the memory at the given addresses; outputs are written last. IndexError for an index out of range."""
        import numpy as np

        from ingot.ir import interpret

        g = self.graph
        ins = []
        for i, (v, slot) in enumerate(zip(g.inputs, slots)):
            if i in g.scalars:
                ins.append(np.asarray(slot).astype(v.type.dtype.numpy))
            else:
                ins.append(_at(slot, v.type))
        outs = interpret.run(g, ins)
        for v, slot, out in zip(g.outputs, slots[len(ins) :], outs):
            _at(slot, v.type)[...] = out


def _at(address: int, t: Any) -> Any:
    from ingot.runtime.memory import Buffer

    return Buffer(address, t.nbytes, None).array(t.dtype.numpy, t.shape)


def executable(graph: Graph) -> Any:
    """What runs `graph`: an object with `run(*slots)`, from the cache where it was compiled before."""
    if switches.get("INGOT_BACKEND") == "interpreter":
        return Interpreted(graph)
    from ingot.runtime import compiler

    return compiler.executable(graph)
