"""Graphs run by the NumPy interpreter in the place of compiled code (`INGOT_BACKEND=interpreter`)."""

from __future__ import annotations

from typing import Any

from ingot.ir.graph import Graph

__all__ = ["Interpreted"]


class Interpreted:
    """What runs a graph, called as compiled code is: see `Executable.run`."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.manifest: dict[str, Any] = {}

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
