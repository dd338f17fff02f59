"""The work of a stage grows with the graph, not with its square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.ir.lower import STAGES, run
from ingot.ir.lower.fuse import joining
from ingot.ir.op import OPS
from tests.support.calling import WIDE
from tests.support.graphs import graph_of


def layers(n: int) -> Callable[..., Any]:
    def f(x, *weights):
        for w in weights:
            x = OPS["tanh"](OPS["dot"](x, w, batch=((), ()), contract=((1,), (0,)))) + x.sum((1,)).reshape((24, 1)).broadcast((24, 24))
        return (x, *(w * 2.0 for w in weights))

    return f


def examined(n: int, monkeypatch) -> int:
    """How many groups fusion goes through to tell them what they depend on."""
    seen = [0]

    class Counted(dict):
        def values(self):
            seen[0] += len(self)
            return super().values()

    class Joined(joining.Joined):
        def __init__(self, graph):
            super().__init__(graph)
            self.groups = Counted()

    graph = graph_of([(24, 24)] * (n + 1), layers(n))
    stages = STAGES[: next(k for k, s in enumerate(STAGES) if s.name == "fuse")]
    graph = run(graph, WIDE, stages)
    with monkeypatch.context() as m:
        m.setattr(joining, "Joined", Joined)
        joining.join(graph)
    return seen[0]


def test_groups_that_nothing_depends_on_tell_nobody(monkeypatch):
    few, many = examined(20, monkeypatch), examined(80, monkeypatch)
    assert many <= 4 * few + 80, (few, many)
