"""A graph that computes some of its sizes falls into stages."""

import ingot.ir.ops  # noqa: F401
from ingot.ir.builder import Builder
from ingot.ir.dtypes import bool_, f32, i64
from ingot.ir.op import OPS
from ingot.ir.size import symbol
from ingot.ir.transforms.stages import stages
from ingot.ir.types import tensor_type
from ingot.ir.verify import verify


def test_everything_runs_as_late_as_it_may_but_what_sizes_follow_from():
    u, v = symbol("u0", 0, 6), symbol("u1", 0, 6)
    b = Builder("f")
    x = b.input(tensor_type(f32, (6,)), "x")
    mask = b.input(tensor_type(bool_, (6,)), "mask")

    def count(m):
        return b.emit(OPS["reduce_sum"], b.emit(OPS["cast"], (m,), (i64,)), ((0,),))[0]

    first = b.emit(OPS["reshape"], (count(mask),), ((),))[0]
    square = b.emit(OPS["mul"], (x, x))[0]  # nothing of the first stage reads it
    some = b.emit(OPS["slice"], (square,), ((0,), (u,), (1,)))[0]
    positive = b.emit(OPS["gt"], (some, some))[0]
    second = b.emit(OPS["reshape"], (count(positive),), ((),))[0]
    fewer = b.emit(OPS["slice"], (square,), ((0,), (v,), (1,)))[0]
    graph = b.freeze((fewer, first, second, x))
    parts = stages(graph, {"u0": 1, "u1": 2})
    for p in parts:
        verify(p.graph)
    assert [[n.op.name for n in p.graph.nodes] for p in parts] == [
        ["cast", "reduce_sum", "reshape"], ["mul", "slice", "gt", "cast", "reduce_sum", "reshape"], ["slice"]
    ]  # fmt: skip
    assert [p.measured for p in parts] == [("u0",), ("u1",), ()]
    assert [p.takes for p in parts] == [(1,), (0,), (6, 0)]  # 0 and 1 are the inputs, 2 to 5 the outputs, 6 is handed on
    assert [p.gives for p in parts] == [(3,), (4, 6), (2, 5)]
    assert [p.graph.input_names for p in parts] == [("mask",), ("x",), ("made6", "x")]
