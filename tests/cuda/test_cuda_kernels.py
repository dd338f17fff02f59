"""Elementwise chains and reductions in blocks and threads: emulated on the CPU, in both orders of the threads, against the interpreter."""

import numpy as np
import pytest

from ingot.backends.cuda.block_kernel import asked_for
from ingot.ir import interpret
from ingot.ir.dtypes import by_name
from ingot.ir.op import OPS
from tests.support.calling import compare, run_loops
from tests.support.cuda import assemble, check, emulated, launches, scheduled
from tests.support.generate import generate
from tests.support.graphs import graph_of

SHAPES = [(), (1,), (0,), (3,), (257,), (5, 7), (1, 33), (64, 1), (4, 0), (3, 4, 5), (300, 70)]


def array(shape, dtype="f32", seed=0):
    d = by_name(dtype)
    x = np.random.default_rng(seed).standard_normal(shape) * 3
    return np.asarray(x > 0 if d.kind == "b" else np.abs(x) if d.kind == "u" else x).astype(d.numpy)


def softmax(x, axis=-1):
    axes = (axis % x.rank,)
    e = OPS["exp"](x - OPS["reduce_max"](x, axes=axes))
    return e / OPS["reduce_sum"](e, axes=axes)


def variance(x, axes):
    n = np.prod([x.shape[a] for a in axes])
    centred = x - x.sum(axes) * (1 / n)
    return (centred * centred).sum(axes) * (1 / n)


def layer_norm(x, w, b):
    axes = (x.rank - 1,)
    n = x.shape[-1]
    centred = x - x.sum(axes) * (1 / n)
    var = (centred * centred).sum(axes) * (1 / n)
    return centred * OPS["rsqrt"](var + 1e-5) * w + b


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_chain_of_every_shape(shape):
    check(lambda x, y: OPS["tanh"](x * y + 1.0) - OPS["exp"](-x * x), array(shape), array(shape, seed=1))


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64", "i8", "u8", "i32", "i64", "u64"])
def test_arithmetic_of_every_dtype(dtype):
    half = {"f16": 1e-3, "bf16": 8e-3}.get(dtype, 1e-6)
    x, y = array((9, 37), dtype), array((9, 37), dtype, 1)
    check(lambda x, y: (OPS["maximum"](x + y, x) * y, x.cast(by_name("f32")), x < y), x, y, rtol=half)


def test_bools():
    check(lambda a, b: (a & b, OPS["logical_xor"](a, ~b), a.cast(by_name("i64"))), array((11, 13), "bool"), array((11, 13), "bool", 1))


def test_integer_division_and_shifts():
    x = array((500,), "i64")
    x[:4] = [0, -1, 2**63 - 1, -(2**63)]
    y = array((500,), "i64", 1)
    y |= 1
    check(lambda a, b: (OPS["floor_divide"](a, b), OPS["remainder"](a, b), OPS["shift_right"](a, 3), OPS["bitwise_or"](a, b)), x, y)


def test_float_remainder_and_rounding():
    x, y = array((400,)), array((400,), seed=1)
    check(lambda a, b: (OPS["fmod"](a, b), OPS["remainder"](a, b), OPS["round"](a), OPS["floor"](a), OPS["sign"](b)), x, y)


@pytest.mark.parametrize("name", ["exp", "log", "sin", "cos", "tanh", "erf", "sigmoid", "log1p", "expm1", "sqrt", "lgamma", "atan"])
def test_elementary_functions(name):
    check(OPS[name], np.abs(array((333,))) + np.float32(0.1), rtol=1e-5)


def test_broadcasting():
    check(lambda x, row, column: x * row + column - OPS["broadcast"](row, shape=(30, 50)), array((30, 50)), array((50,)), array((30, 1)))


def test_movement_is_folded_in():
    def f(x, y):
        t = OPS["transpose"](x, perm=(1, 0))
        s = OPS["slice"](t, starts=(1, 0), stops=(20, 30), steps=(2, 3))
        p = OPS["pad"](s, s.const(2.0), low=(1, 0), high=(0, 3), interior=(1, 0))
        c = OPS["concatenate"](OPS["reverse"](t, axes=(0,)), y, axis=0)
        return p * 2.0, c + 1.0, OPS["reshape"](t, shape=(4, -(-x.shape[0] * x.shape[1] // 4))) * x.const(0.5)

    program, _ = check(f, array((32, 24)), array((5, 32)))
    assert all(k.schedule.startswith("Points(") for k in program.kernels.values())


def test_gather_checks_its_indices():
    def f(x, i):
        return OPS["gather"](x, i, axis=1)

    x, i = array((6, 9)), np.random.default_rng(0).integers(-9, 9, (6, 4))
    check(f, x, i)
    i[3, 2] = 9
    graph = graph_of([x, i], f)
    program = scheduled(graph)
    assert emulated(program, graph, [x, i])[0] in program.checks


@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (5, 300), (70, 1000), (0, 5), (257, 3), (2, 3, 129)], ids=str)
def test_softmax(shape):
    check(softmax, array(shape))


@pytest.mark.parametrize("shape", [(1, 5), (33, 64), (8, 1500)], ids=str)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_layer_norm(shape, dtype):
    check(layer_norm, array(shape, dtype), array(shape[-1:], dtype, 1), array(shape[-1:], dtype, 2), rtol=1e-4, atol=1e-5)


def test_rows_too_long_for_shared_memory():
    for length, kept, asked in ((40000, False, 0), (20000, True, 80000), (1200, True, 0)):
        graph = graph_of([(17, length)], softmax)
        program = scheduled(graph)
        (kernel,) = program.kernels.values()
        assert ("kept" in kernel.schedule) == kept and program.arena_bytes == 0
        assert (asked_for(kernel) > 0) == (asked > 0) and asked <= asked_for(kernel) <= 227 << 10
        assert (".extern .shared" in assemble(program)) == (asked > 0)
    graph = graph_of([(17, 15000)], softmax)
    x = array((17, 15000))
    code, got = emulated(scheduled(graph), graph, [x])
    assert code == 0
    compare(graph, [x], got)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("shape", [(7, 40, 65), (1, 1, 300), (3, 0, 4), (4, 5, 0)], ids=str)
def test_sums(shape, axes):
    check(lambda x: x.sum(axes), array(shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f64", "i32", "i64", "u8"])
@pytest.mark.parametrize("name", ["reduce_sum", "reduce_max", "reduce_min", "reduce_prod"])
def test_reductions_of_every_dtype(name, dtype):
    x = array((5, 270), dtype) if name != "reduce_prod" else np.ones((5, 270)).astype(by_name(dtype).numpy)
    check(lambda x: (OPS[name](x, axes=(1,)), OPS[name](x, axes=(0,))), x, rtol={"f16": 2e-3, "bf16": 1e-2}.get(dtype, 1e-9))


def test_reductions_of_bools():
    check(lambda x: (OPS["reduce_and"](x, axes=(1,)), OPS["reduce_or"](x, axes=(0, 1))), array((20, 40), "bool"))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_arg_reductions_take_the_first_and_nan_wins(name):
    x = np.round(array((6, 500)))
    x[1, 77] = x[1, 300] = np.nan
    check(lambda x: (OPS[name](x, axis=1), OPS[name](x, axis=0)), x)


def test_maximum_propagates_nan():
    x = array((3, 400))
    x[1, 399] = np.nan
    check(lambda x: (OPS["reduce_max"](x, axes=(1,)), softmax(x)), x)


def test_variance():
    check(lambda x: (variance(x, (1,)), variance(x, (0,)), variance(x, (0, 1))), array((60, 333)), rtol=1e-4)


def test_long_reductions_take_two_launches():
    program, _ = check(lambda x: (x.sum((0, 1)), x.sum((0,))), array((3000, 130)), rtol=1e-3, atol=1e-2)
    assert len(launches(program)) == 4 and program.arena_bytes > 0


def test_large_chain_is_spread_over_blocks():
    program, _ = check(lambda x, y: OPS["exp"](x * y) + x, array((1000003,)), array((1000003,), seed=1))
    ((_, blocks, threads),) = launches(program)
    assert 1000003 <= 4 * blocks * threads < 1000003 + 4 * threads  # four elements to a thread


def test_scan_repeats_its_kernels():
    body = graph_of([(40,), (40,)], lambda c, x: (OPS["tanh"](c + x), c * x))

    def f(c, xs):
        return OPS["scan"](c, xs, body=body, n_const=0, n_carry=1, length=6, reverse=False)

    check(f, array((40,)), array((6, 40)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_values_decide_which_steps_run(sign):
    one, other = (graph_of([(4,)], f) for f in (lambda x: OPS["sin"](x), lambda x: x * 2.0))

    def f(x):
        return OPS["cond"](OPS["lt"](x.sum((0,)).reshape(()), x.const(0.0)), x, true=one, false=other)

    check(f, np.full(4, sign, np.float32))


def test_scalars_and_random_bits():
    from ingot.ir.builder import Builder
    from ingot.ir.types import tensor_type

    b = Builder("noise")
    seed, offset = (b.input(tensor_type(by_name("i64"), ()), scalar=True) for _ in range(2))
    (bits,) = b.emit(OPS["random_bits"], (seed, offset), ((7, 45),))
    graph = b.freeze((bits,))
    arrays = [np.array(1234567890123, np.int64), np.array(5, np.int64)]
    _, (got,) = emulated(scheduled(graph), graph, arrays)
    np.testing.assert_array_equal(got, interpret.run(graph, arrays)[0])


def test_loop_interpreter_agrees_with_the_emulation():
    arrays = [array((3, 70))]
    graph = graph_of(arrays, softmax)
    program = scheduled(graph)
    code, got = emulated(program, graph, arrays)
    assert code == 0 and got[0].tobytes() == run_loops(graph, arrays, program)[0].tobytes()


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed):
    graph, arrays = generate(seed + 5000, 8)
    program = scheduled(graph)
    want = interpret.run(graph, list(arrays))
    for backwards in (False, True):
        code, got = emulated(program, graph, arrays, backwards)
        assert code == 0
        for g, w in zip(got, want):
            tolerance = 1e-2 if w.dtype.itemsize == 2 and w.dtype.kind not in "iu" else 3e-4
            np.testing.assert_allclose(g.astype(np.float64), np.asarray(w, np.float64), rtol=tolerance, atol=tolerance)


def test_products():
    a, b = array((70, 90)), array((90, 65), seed=1)
    program, _ = check(lambda a, b, c: OPS["maximum"](product(a, b) + c, a.const(0.0)), a, b, array((65,), seed=2), rtol=1e-4, atol=1e-4)
    assert len(program.kernels) == 1  # bias and relu are applied where the sum is
    check(lambda a, b: product(a, b), a.astype(by_name("bf16").numpy), b.astype(by_name("bf16").numpy), rtol=1e-2, atol=1e-1)


def product(a, b):
    return OPS["dot"](a, b, batch=((), ()), contract=((1,), (0,)))


@pytest.mark.parametrize("n", [1, 2, 31, 300])
@pytest.mark.parametrize("descending", [False, True])
def test_sorting_is_stable(n, descending):
    x = np.round(array((3, n)))
    x[1, n // 2] = np.nan
    check(lambda x: OPS["sort"](x, axis=1, descending=descending), x)
    check(lambda x: OPS["sort"](x, axis=0, descending=descending), x)


@pytest.mark.parametrize("mode", ["set", "add", "min"])
def test_scatters_are_in_the_order_of_their_indices(mode):
    rng = np.random.default_rng(0)
    x, i, src = array((5, 300)), rng.integers(0, 5, (40, 300)), array((40, 300), seed=1)
    check(lambda x, i, s: OPS["scatter"](x, i, s, axis=0, mode=mode), x, i, src)
    check(lambda x, s, i: OPS["index_put"](x, s, i, axes=(0,), mode=mode), x, src, i[:, 0].copy())


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_many_updates_are_brought_together_by_their_places(dtype):
    rng = np.random.default_rng(0)
    x, src = array((7, 5), dtype), array((1100, 5), dtype, seed=1)
    i = rng.integers(-7, 7, 1100)
    for mode in ("add", "set", "max"):
        program, _ = check(lambda x, s, i, mode=mode: OPS["index_put"](x, s, i, axes=(0,), mode=mode), x, src, i, rtol=1e-2, atol=1e-2)
        assert any("Segments" in k.schedule for k in program.kernels.values())
    check(lambda x, s, i, j: OPS["index_put"](x, s, i, j, axes=(0, 1), mode="add"), x, src[:, 0].copy(), i, i % 5, rtol=1e-2, atol=1e-2)
    check(lambda x, s, i: OPS["scatter"](x, i, s, axis=0, mode="add"), x[:, 0].copy(), src[:, 0].copy(), i, rtol=1e-2, atol=1e-2)
    i[77] = 7
    graph = graph_of([x, src, i], lambda x, s, i: OPS["index_put"](x, s, i, axes=(0,), mode="add"))
    program = scheduled(graph)
    assert emulated(program, graph, [x, src, i])[0] in program.checks


def test_window_scatter():
    i = np.random.default_rng(0).integers(0, 20, (9, 31, 8))
    check(lambda g, i: OPS["window_scatter"](g, i, spatial=(20,)), array((9, 31, 8)), i)


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "cummax"])
def test_running_folds(name):
    x = array((30, 300)) / 3
    if name == "cummax":
        for axis in (0, 1):
            check(lambda x, axis=axis: OPS[name](x, axis=axis), x)
    else:
        check(lambda x: (OPS[name](x, axis=0, reverse=True), OPS[name](x, axis=1, reverse=False)), x, rtol=1e-4, atol=1e-4)


def test_results_may_take_the_memory_of_what_their_own_thread_reads():
    assert scheduled(graph_of([(100,)], lambda x: x + 1.0)).aliases == {0: (0,)}
    assert scheduled(graph_of([(100, 50)], softmax)).aliases == {}  # a team's threads go on at different times
