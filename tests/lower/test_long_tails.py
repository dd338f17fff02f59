"""What follows a product, where it is long: written once for all rows of a tile, whatever the shapes."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.loop.ir import For, Kernel, Let
from ingot.ir.loop.walk import statements
from ingot.ir.lower import lower
from ingot.ir.op import OPS
from ingot.ir.parse import parse
from ingot.ir.size import evaluate
from tests.support.calling import CPU, HOST_LEVELS, WIDE, compare, load, outputs, run_compiled, run_loops
from tests.support.graphs import arrays_for, graph_of
from tests.support.symbolic import check_at


def product(a, b, batch=0):
    lead = tuple(range(batch))
    return OPS["dot"](a, b, batch=(lead, lead), contract=((batch + 1,), (batch,)))


def gelu(x):
    return x * (OPS["erf"](x * 0.7071067811865476) + 1.0) * 0.5


def most_written(kernels: list[Kernel], op: str) -> int:
    """How often a kernel has an instruction in its text, at most."""
    return max(sum(isinstance(s, Let) and s.op == op for s in statements(k.body)) for k in kernels)


@pytest.mark.parametrize("m, k, n", [(12, 8, 32), (13, 40, 33), (70, 9, 45), (5, 70, 64), (129, 300, 31)])
def test_any_shape(m: int, k: int, n: int) -> None:
    graph = graph_of([(m, k), (k, n), (n,), (m, n)], lambda a, b, c, d: gelu(product(a, b) + c) * d)
    arrays = arrays_for(graph)
    compare(graph, arrays, run_loops(graph, arrays, lower(graph, WIDE)))
    for level in HOST_LEVELS:
        outs = outputs(graph)
        assert load(lower(graph, CPU.target(level)), level)([*arrays, *outs]) == 0
        compare(graph, arrays, outs)


def test_several_results_of_which_one_is_read_in_place() -> None:
    def step(a, b, p, m):
        g = product(a, b)
        m = m * 0.9 + g * 0.1
        for _ in range(3):
            p = (p + OPS["tanh"](m * p)) * 0.5
        return p, m

    graph = graph_of([(37, 50), (50, 40), (37, 40), (37, 40)], step)
    arrays = arrays_for(graph)
    compare(graph, arrays, run_compiled(graph, arrays))


@pytest.mark.parametrize("dtype", [D.bf16, D.f64], ids=str)
def test_batches_and_dtypes(dtype) -> None:
    graph = graph_of([((3, 21, 40), dtype), ((3, 40, 33), dtype)], lambda a, b: gelu(product(a, b, 1)))
    arrays = arrays_for(graph)
    compare(graph, arrays, run_compiled(graph, arrays))


def test_sizes_that_only_the_call_knows() -> None:
    graph = parse(
        "func @main(%a: f32[M,K], %b: f32[K,40]) -> f32[M,40] {\n"
        "  %0 = dot %a, %b {batch=[[], []], contract=[[1], [0]]} : f32[M,40]\n"
        "  %1 = tanh %0 : f32[M,40]\n  %2 = erf %1 : f32[M,40]\n  %3 = exp %2 : f32[M,40]\n  return %3\n}\n"
    )
    program = load(lower(graph, WIDE))
    rng = np.random.default_rng(0)
    for m, k in ((0, 5), (1, 0), (7, 30), (12, 1), (100, 65)):
        values = {"M": m, "K": k}
        arrays = [rng.standard_normal([evaluate(d, values) for d in t.shape]).astype(np.float32) for t in graph.in_types]
        check_at(graph, program, arrays, values)


def test_it_is_written_once() -> None:
    def kernels(after) -> list[Kernel]:
        return list(lower(graph_of([(256, 256), (256, 256)], lambda a, b: after(product(a, b))), WIDE).kernels.values())

    once = most_written(kernels(OPS["erf"]), "fma")
    assert once and most_written(kernels(lambda x: OPS["erf"](OPS["erf"](x))), "fma") == 2 * once
    assert most_written(kernels(lambda x: x + 1.0), "add") > 2  # what is short is written for each row
    assert any(isinstance(s, For) and s.kind == "serial" for k in kernels(gelu) for s in statements(k.body))
