"""Graphs of several ops: fusion, reductions, tiles, loops of steps, memory. Compiled and by the loop interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.builder import Builder
from ingot.ir.lower import lower
from ingot.ir.op import OPS as O
from ingot.ir.transforms.vjp import vjp
from ingot.ir.types import tensor_type
from ingot.runtime.executable import CheckError
from tests.support.calling import WIDE, check, compare, run_compiled, run_loops
from tests.support.graphs import arrays_for, graph_of
from tests.support.programs import CASES, dot, lstm, relu


@pytest.mark.parametrize("name", CASES)
def test_compiled(name: str) -> None:
    check(graph_of(*CASES[name]))


@pytest.mark.parametrize("name", [n for n in CASES if "large" not in n and "long" not in n])
def test_loops(name: str) -> None:
    graph = graph_of(*CASES[name])
    arrays = arrays_for(graph)
    compare(graph, arrays, run_loops(graph, arrays))


DIFFERENTIATED = (
    "product, transposed, bias, relu", "convolution", "odd convolution", "softmax, then layer_norm", "batch_norm", "cross entropy",
    "embedding", "attention scores",
)  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_backward(name: str) -> None:
    graph = graph_of(*CASES[name])
    wrt = tuple(t.dtype.kind == "f" for t in graph.in_types)
    check(vjp(graph, wrt, (True,) * len(graph.outputs)).graph, scale=10)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan(reverse: bool) -> None:
    graph = lstm(reverse)
    check(graph)
    check(vjp(graph, (True,) * 4, (True,) * 3).graph, scale=10)


def test_a_loop_adds_up_in_what_it_fills_anew() -> None:
    """The gradient of what each step reads of a constant: zeros, and one place added to, at every step."""

    b = Builder("step")
    a, c, k = (b.expr(b.input(t)) for t in (tensor_type(D.f32, (2, 3)), tensor_type(D.f32, (2,)), tensor_type(D.i64, (1,))))
    body = b.freeze(((c * O["index_get"](a, k, axes=(1,)).reshape((2,))).value,))
    b = Builder()
    ins = tuple(b.input(t) for t in (tensor_type(D.f32, (2, 3)), tensor_type(D.f32, (2,)), tensor_type(D.i64, (3, 1))))
    backward = vjp(b.freeze(b.emit(O["scan"], ins, (body, 1, 1, 3, False))), (True, True, False), (True,)).graph
    arrays = [np.arange(1, 7, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32), np.arange(3)[:, None], np.ones(2, np.float32)]
    compare(backward, arrays, run_compiled(backward, arrays))
    compare(backward, arrays, run_loops(backward, arrays))


def test_a_loop_packs_its_weights_once() -> None:
    program = lower(lstm(False), WIDE)
    kinds = [type(s).__name__ for s in program.steps]
    at = kinds.index("Repeat")
    assert kinds[:at].count("Launch") == 1  # the packing
    assert [type(s).__name__ for s in program.steps[at].steps].count("Launch") == 2  # the product and the cell


def test_equal_kernels_are_one() -> None:
    def steps(x, *ws):
        for w in ws:
            x = relu(dot(x, w, 1, 1))
        return x

    program = lower(graph_of([(16, 20)] + [(20, 20)] * 6, steps), WIDE)
    assert len(program.kernels) == 2
    assert len(program.steps) == 12


def test_a_transposed_product_is_made_the_other_way_round() -> None:
    graph = graph_of([(3, 40, 20), (3, 20, 30)], lambda a, b: dot(a, b, 2, 1, ((0,), (0,))).transpose((0, 2, 1)))
    assert len(lower(graph, WIDE).steps) == 2
    check(graph)


def test_a_product_of_a_transposed_operand_reads_it_as_it_lies() -> None:
    for shape, perm, batch in (((50, 200), (1, 0), ((), ())), ((3, 50, 200), (0, 2, 1), ((0,), (0,)))):
        lead = shape[:-2]
        graph = graph_of(
            [(*lead, 1, 200), shape], lambda a, b, perm=perm, batch=batch: dot(a, b.transpose(perm), a.rank - 1, b.rank - 2, batch)
        )
        plain = graph_of([(*lead, 1, 200), shape], lambda a, b, batch=batch: dot(a, b, a.rank - 1, b.rank - 1, batch))
        assert [repr(k.body) for k in lower(graph, WIDE).kernels.values()] == [repr(k.body) for k in lower(plain, WIDE).kernels.values()]
        check(graph)


def test_updates_may_be_in_place() -> None:
    aliases = lower(graph_of(*CASES["adam"]), WIDE).aliases
    assert all(k in aliases[k] for k in range(3))  # p, m and v, each in its own place
    graph = graph_of([(8, 8)], lambda x: x + x.transpose((1, 0)))
    assert lower(graph, WIDE).aliases == {}


def test_index_out_of_range_fails_the_call() -> None:
    graph = graph_of(*CASES["embedding"])
    arrays = arrays_for(graph)
    arrays[1][2, 3] = 20
    with pytest.raises(CheckError, match="out of range"):
        run_compiled(graph, arrays)
    arrays[1][2, 3] = -20
    check(graph, arrays)


def test_indices_into_nothing_that_are_none_are_not_checked() -> None:
    """The first index is known before any loop runs, but there is no element to read with it."""
    graph = graph_of([(0, 4), ((2,), D.i64)], lambda x, i: O["index_get"](x, i.const(np.zeros((0, 1)), D.i64), i, axes=(0, 1)))
    check(graph)
    graph = graph_of([(5, 4), ((0,), D.i64)], lambda x, i: O["index_get"](x, i.const([[9]], D.i64), i, axes=(0, 1)))
    check(graph)


def test_same_graph_same_bits() -> None:
    graph = graph_of(*CASES["softmax, then layer_norm"])
    arrays = arrays_for(graph)
    first = run_compiled(graph, arrays)[0].tobytes()
    assert all(run_compiled(graph, arrays)[0].tobytes() == first for _ in range(3))
    assert np.isfinite(np.frombuffer(first, np.float32)).all()
