"""Graphs run by the NumPy interpreter in the place of compiled code: where `INGOT_BACKEND=interpreter` asks for it, or in a frozen
process for the little that NumPy computes alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.ir.graph import Graph, Node
from ingot.runtime.frozen import is_frozen

__all__ = ["Interpreted", "UntilThawed", "inexact"]


class Interpreted:
    """What runs a graph, called as compiled code is: see `Executable.run`."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.manifest: dict[str, Any] = {}

    def run(self, *slots: Any) -> None:
        """Run on the memory at the given addresses; outputs are written last. IndexError for an index out of range.

        ShapeError for the value of a symbol that is outside of its bounds.
        """
        from ingot.ir import interpret
        from ingot.runtime.failures import arrays_of, of_sizes

        g = self.graph
        if g.symbols:
            g = of_sizes(g, slots)
        outs = interpret.run(g, arrays_of(g, slots))
        for v, slot, out in zip(g.outputs, slots[len(g.inputs) :], outs):
            _at(slot, v.type)[...] = out


class UntilThawed(Interpreted):
    """Interpreted while compiling is frozen; at the first run after that what `compile` makes of the graph."""

    def __init__(self, graph: Graph, compile: Callable[[Graph], Any]):
        super().__init__(graph)
        self._compile = compile
        self._code: Any = None

    def run(self, *slots: Any) -> None:
        """See `Interpreted.run`."""
        if self._code is None and not is_frozen():
            self._code = self._compile(self.graph).run
        if self._code is None:
            super().run(*slots)
        else:
            self._code(*slots)


def inexact(graph: Graph) -> Node | None:
    """The first node whose result NumPy does not compute as code does: the others create, move or convert values, or round correctly.

    They are what may be folded into constants, too: + - * / sqrt, comparisons, selections, integers. A product and a sum are rounded
    twice, where code may round them once.
    """
    from ingot.ir.facts import FREE, Foldable, View
    from ingot.ir.passes.inline import inline

    def plain(n: Any) -> bool:
        lowering = n.op.lowering
        if n.op.foldable is Foldable.ALWAYS or isinstance(lowering, View) and lowering.cost is FREE:
            return True
        return n.op.foldable is Foldable.INTEGERS and all(v.type.dtype.kind != "f" for v in (*n.inputs, *n.outputs))

    return next((n for n in inline(graph).nodes if not plain(n)), None)


def _at(address: int, t: Any) -> Any:
    from ingot.runtime.memory import Buffer

    return Buffer(address, t.nbytes, None).array(t.dtype.numpy, t.shape)
