"""Symbolic graphs run by the interpreter: the slots end with the values of the symbols."""

import numpy as np
import pytest

from ingot.ir import ops as _ops  # noqa: F401  (fills OPS)
from ingot.ir.parse import parse
from ingot.ir.size import ShapeError
from ingot.ir.sized import sized
from ingot.runtime.interpreted import Interpreted

ROWS = """func @main(%a0: f32[B,T], %a1: f32[T]) -> f32[B*T+2] where 1 <= B <= 4, T <= 9 {
  %0 = broadcast %a1 {shape=[B,T]} : f32[B,T]
  %1 = call %a0, %0 {graph=@twice} : f32[B,T]
  %2 = reshape %1 {shape=[B*T]} : f32[B*T]
  %3 = constant {value=[0x1p+0, 0x1p+1]} : f32[2]
  %4 = concatenate %2, %3 {axis=0} : f32[B*T+2]
  return %4
}
func @twice(%a0: f32[B,T], %a1: f32[B,T]) -> f32[B,T] where 1 <= B <= 4, T <= 9 {
  %0 = add %a0, %a1 : f32[B,T]
  %1 = add %0, %a1 : f32[B,T]
  return %1
}
"""


def _run(graph, b, t):
    x, y = np.random.default_rng(0).random((b, t), np.float32), np.arange(t, dtype=np.float32)
    out = np.empty(b * t + 2, np.float32)
    Interpreted(graph).run(x.ctypes.data, y.ctypes.data, out.ctypes.data, b, t)
    return out, np.concatenate([(x + y + y).reshape(-1), np.float32([1, 2])])


@pytest.mark.parametrize("sizes", [(1, 0), (1, 1), (2, 7), (4, 9)])
def test_a_symbolic_graph_runs_at_any_size_within_its_bounds(sizes):
    graph = parse(ROWS)
    assert [s.bounds_text for s in graph.symbols] == ["1 <= B <= 4", "T <= 9"]
    got, want = _run(graph, *sizes)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("sizes, name", [((0, 3), "B"), ((5, 3), "B"), ((2, 10), "T")])
def test_sizes_outside_of_the_bounds_are_refused(sizes, name):
    with pytest.raises(ShapeError, match=f"got {name} = "):
        _run(parse(ROWS), *sizes)


def test_symbols_of_called_graphs_are_the_graphs_own():
    graph = sized(parse(ROWS), {"B": 3})
    assert [s.name for s in graph.symbols] == ["T"] and str(graph.out_types[0]) == "f32[3*T+2]"
    assert sized(graph, {"T": 2}).symbols == () and "T" not in sized(graph, {"T": 2}).text
