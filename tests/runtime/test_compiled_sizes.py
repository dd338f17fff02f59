"""Graphs with symbols, compiled once and run at many sizes, against the interpreter of the graph at each of them."""

import numpy as np
import pytest

import ingot
import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.ir import dtypes as dt
from ingot.ir import interpret
from ingot.ir.builder import Builder
from ingot.ir.op import OPS
from ingot.ir.size import symbol
from ingot.ir.types import tensor_type
from ingot.runtime import compiler, memory, reproduce
from ingot.runtime.cache import the_cache
from ingot.runtime.executable import CheckError
from ingot.runtime.failures import of_sizes

B, T = symbol("B", 0, 64), symbol("T", 1, 512)


def attention():
    """softmax(x x^T / 4) x, and the largest element of each row."""
    b = Builder("attention")
    x = b.expr(b.input(tensor_type(dt.f32, (B, T, 16)), "x"))
    scores = OPS["dot"](x, x, contract=((2,), (2,)), batch=((0,), (0,))) * 0.25
    e = OPS["exp"](scores - OPS["reduce_max"](scores, axes=(2,)))
    weights = e / OPS["reduce_sum"](e, axes=(2,))
    out = OPS["dot"](weights, x, contract=((2,), (1,)), batch=((0,), (0,)))
    return b.freeze((out.value, OPS["reduce_max"](x, axes=(2,)).value))


def run(graph, arrays, *sizes):
    exe = compiler.executable(graph)
    inputs = [memory.from_numpy(a) for a in arrays]
    types = [v.type for v in of_sizes(graph, sizes).outputs]
    outs = [memory.allocate(t.nbytes) for t in types]
    exe.run(*(x.address for x in inputs), *(o.address for o in outs), *sizes)
    return [o.array(t.dtype.numpy, t.shape) for o, t in zip(outs, types)]


SIZES = [(0, 1), (1, 1), (3, 1), (2, 7), (5, 31), (64, 13), (1, 128)]


@pytest.mark.parametrize("sizes", SIZES)
def test_attention_at_any_size(sizes):
    graph = attention()
    x = np.random.default_rng(sizes[0]).standard_normal((*sizes, 16)).astype(np.float32)
    before = compiler.counts["compiled"]
    for got, want in zip(run(graph, [x], *sizes), interpret.run(of_sizes(graph, sizes), [x])):
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)
    assert compiler.counts["compiled"] - before <= (sizes == SIZES[0])


def test_what_does_not_fit_is_refused_by_name():
    graph = attention()
    with pytest.raises(CheckError, match="T, the extent of input 0 in dim 1, must be at least 1 and at most 512, not 513"):
        compiler.executable(graph).run(1, 2, 3, 1, 513)


def test_the_entry_is_what_the_compiler_writes():
    code = compiler.code_of(attention())
    found = the_cache().lookup(code.key)
    found.entry.check_deep()
    assert reproduce.compare(found.entry) == ("same", "")


@pytest.mark.compiled
def test_a_limit_of_a_call_is_enforced_before_it_runs(monkeypatch):
    f = ingot.compile(lambda x: (x @ x.t()).sort(-1)[0] @ x, dynamic=True)
    f(ingot.ones(30, 8))
    monkeypatch.setenv("INGOT_MAX_CALL_BYTES", "64KiB")
    assert f(ingot.ones(40, 8)).shape == (40, 8)
    with pytest.raises(RuntimeError, match=r"with s0 = 3000.*working memory \(.*s0.*INGOT_MAX_CALL_BYTES permits 65536: nothing"):
        f(ingot.ones(3000, 8))
    static = ingot.compile(lambda x: (x @ x.t()).sort(-1)[0] @ x, dynamic=False)
    with pytest.raises(RuntimeError, match="INGOT_MAX_CALL_BYTES permits 65536: nothing has run"):
        static(ingot.ones(3000, 8))
    monkeypatch.delenv("INGOT_MAX_CALL_BYTES")
    assert f(ingot.ones(3000, 8)).shape == (3000, 8)
