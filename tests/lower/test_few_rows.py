"""Products of a few rows with a matrix that is read row by row, whatever the shapes, and when that is chosen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.graph import Graph
from ingot.ir.lower import STAGES, lower, run
from ingot.ir.lower.few_rows import FewRows
from ingot.ir.lower.schedule import ScheduleError
from ingot.ir.op import OPS
from ingot.ir.parse import parse
from ingot.ir.size import evaluate
from ingot.ir.struct import replace
from tests.support.calling import CPU, HOST_LEVELS, WIDE, compare, load, outputs, run_loops
from tests.support.graphs import arrays_for, graph_of
from tests.support.symbolic import check_at

AT = [s.name for s in STAGES].index("schedule") + 1
SMALL = FewRows(width=4, step=3, part=7, block=16, combine=8, run=2)


def product(a, b):
    return OPS["dot"](a, b, batch=((), ()), contract=((1,), (0,)))


def batched(a, b):
    return OPS["dot"](a, b, batch=((0,), (0,)), contract=((2,), (1,)))


def program_of(graph: Graph, s: FewRows, target=WIDE):
    """The program of a graph whose last group has this schedule."""
    whole = run(graph, target, STAGES[:AT])
    s.verify(whole.fused.groups[-1])
    return run(replace(whole, schedules=(*whole.schedules[:-1], s)), target, STAGES[AT:])


def check(graph: Graph, s: FewRows) -> None:
    """By the interpreter of loops, and every level of this machine."""
    arrays = arrays_for(graph)
    compare(graph, arrays, run_loops(graph, arrays, program_of(graph, s)))
    for level in HOST_LEVELS:
        outs = outputs(graph)
        assert load(program_of(graph, s, CPU.target(level)), level)([*arrays, *outs]) == 0
        compare(graph, arrays, outs)


@pytest.mark.parametrize("m, k, n", [(1, 21, 32), (1, 5, 3), (2, 40, 33), (3, 22, 9), (8, 64, 48), (5, 1, 17), (4, 13, 70)])
def test_any_shape(m: int, k: int, n: int) -> None:
    if k > 1:
        check(graph_of([(m, k), (k, n)], product), SMALL)
    check(graph_of([(m, k + 1), (k + 1, n), (n,)], lambda a, b, c: OPS["tanh"](product(a, b) + c)), replace(SMALL, run=0))


def test_columns_of_two_dims() -> None:
    check(graph_of([(2, 30), (30, 3, 7), (7,)], lambda a, b, c: product(a, b) + c), SMALL)


@pytest.mark.parametrize("per_out", [1, 2])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "behind another"])
def test_pointwise_convolutions_to_few_channels(per_out: int, inside: bool) -> None:
    geometry = dict(stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1))

    def function(x, v, w):
        x = OPS["conv"](x, v, **geometry, groups=1) if inside else x
        return OPS["conv"](x, w, **geometry, groups=2)

    g = graph_of([(2, 34, 21, 24), (34, 34, 1, 1), (2 * per_out, 17, 1, 1)], function)
    assert inside or schedules(g)[-1].startswith("FewRows")
    arrays = arrays_for(g)
    compare(g, arrays, run_loops(g, arrays))
    for level in HOST_LEVELS:
        outs = outputs(g)
        assert load(CPU.lower(g, level), level)([*arrays, *outs]) == 0
        compare(g, arrays, outs)


def test_gradients_of_an_input_from_one_channel_are_written_along_it() -> None:
    geometry = dict(stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)
    g = graph_of([(2, 1, 19, 23), (1, 34, 1, 1)], lambda y, w: OPS["conv_input_grad"](y, w, input_shape=(2, 34, 19, 23), **geometry))
    assert schedules(g)[-1].startswith("Nest")
    arrays = arrays_for(g)
    compare(g, arrays, run_loops(g, arrays))


@pytest.mark.parametrize("dtype", [D.bf16, D.f16, D.f64], ids=str)
def test_dtypes(dtype) -> None:
    check(graph_of([((2, 30), dtype), ((30, 21), dtype)], product), SMALL)


def test_rows_by_columns_and_batches() -> None:
    across = graph_of([(30, 2), (30, 21)], lambda a, b: OPS["dot"](a, b, batch=((), ()), contract=((0,), (0,))))
    check(across, SMALL)
    check(graph_of([(3, 2, 30), (3, 30, 21)], batched), SMALL)
    check(graph_of([(2, 30), (30, 21)], lambda a, b: product(OPS["exp"](a), b)), SMALL)


@pytest.mark.parametrize("inputs, function", [
    ([(2, 30), (21, 30)], lambda a, b: OPS["dot"](a, b, batch=((), ()), contract=((1,), (1,)))),
    ([((2, 30), D.i32), ((30, 21), D.i32)], product),
    ([(30, 21)], lambda a: OPS["reduce_sum"](a, axes=(0,))),
    ([(2, 30), (21, 30, 4)], lambda a, b: OPS["dot"](a, b, batch=((), ()), contract=((1,), (1,)))),
], ids=["columns apart", "integers", "no product", "columns in two dims apart"])  # fmt: skip
def test_what_does_not_fit(inputs, function: Callable) -> None:
    (group,) = run(graph_of(inputs, function), WIDE, STAGES[:AT]).fused.groups
    with pytest.raises(ScheduleError, match="no rows of a matrix"):
        SMALL.verify(group)


@pytest.mark.parametrize("wrong", [dict(width=3), dict(step=0), dict(combine=2), dict(block=24), dict(combine=32), dict(run=-1)])
def test_schedules_that_are_none(wrong) -> None:
    (group,) = run(graph_of([(2, 30), (30, 21)], product), WIDE, STAGES[:AT]).fused.groups
    with pytest.raises(ScheduleError):
        replace(SMALL, **wrong).verify(group)


def schedules(graph: Graph) -> list[str]:
    return [k.schedule for k in lower(graph, WIDE).kernels.values()]


@pytest.mark.parametrize("m, k, n, chosen", [
    (1, 4096, 4096, True), (4, 768, 3072, True), (8, 4096, 4096, True), (8, 768, 3072, False), (9, 4096, 4096, False),
    (1, 512, 512, False), (1, 4096, 256, True), (1, 128, 8192, True), (2, 512, 64, True), (3, 16, 512, True), (1, 2048, 16, False),
])  # fmt: skip
def test_when_it_is_chosen(m: int, k: int, n: int, chosen: bool) -> None:
    """Where the matrix is far, its rows long, and the rows of the result few."""
    assert schedules(graph_of([(m, k), (k, n)], product))[0].startswith("FewRows") == chosen


@pytest.mark.parametrize("m, k", [("2", "K"), ("1", "K+3"), ("2", "600"), ("M", "600")])
def test_symbolic_sizes(m: str, k: str) -> None:
    n = "1100" if "K" in k else "N"
    graph = parse(
        f"func @main(%a: f32[{m},{k}], %b: f32[{k},{n}]) -> f32[{m},{n}] {{\n"
        f"  %0 = dot %a, %b {{batch=[[], []], contract=[[1], [0]]}} : f32[{m},{n}]\n  return %0\n}}\n"
    )
    assert schedules(graph)[0].startswith("FewRows") == (m != "M")
    program = load(lower(graph, WIDE))
    rng = np.random.default_rng(0)
    for size in (0, 1, 7, 300, 517):
        values = {s.name: size for s in graph.symbols}
        arrays = [rng.standard_normal([evaluate(d, values) for d in t.shape]).astype(np.float32) for t in graph.in_types]
        check_at(graph, program, arrays, values)


def test_long_sums() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(0, 1, shape).astype(np.float32) for shape in ((1, 20_000), (20_000, 512)))
    graph = graph_of([a, b], product)
    outs = outputs(graph)
    assert schedules(graph)[0].startswith("FewRows") and load(lower(graph, WIDE))([a, b, *outs]) == 0
    assert np.abs(outs[0] / (a.astype(np.float64) @ b) - 1).max() < 1e-6
