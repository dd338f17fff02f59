"""What kernels of several groups make of the same values lies between kernels once."""

from __future__ import annotations

from ingot.ir.graph import Graph
from ingot.ir.loop.program import Launch, Repeat, Step
from ingot.ir.lower import lower
from ingot.ir.op import OPS
from tests.support.calling import WIDE, compare, run_loops
from tests.support.graphs import arrays_for, graph_of
from tests.support.programs import dot


def launches(steps: tuple[Step, ...]) -> list[str]:
    return [x for s in steps for x in ([s.kernel] if isinstance(s, Launch) else launches(s.steps) if isinstance(s, Repeat) else [])]


def check(graph: Graph, most: int) -> None:
    program = lower(graph, WIDE)
    assert len(launches(program.steps)) == most
    arrays = arrays_for(graph)
    compare(graph, arrays, run_loops(graph, arrays, program))


def test_a_factor_of_several_products_is_packed_once() -> None:
    shapes = [(30, 20), (30, 20), (50, 20)]
    check(graph_of(shapes, lambda a, b, w: (dot(a, w, 1, 1), dot(b, w, 1, 1))), 3)


def test_products_in_turn() -> None:
    def steps(x, w):
        for _ in range(4):
            x = OPS["tanh"](dot(x, w, 1, 1))
        return x

    check(graph_of([(30, 40), (40, 40)], steps), 5)


def test_other_factors_are_packed_apart() -> None:
    shapes = [(30, 20), (50, 20), (50, 20)]
    check(graph_of(shapes, lambda a, v, w: (dot(a, v, 1, 1), dot(a, w, 1, 1))), 4)
