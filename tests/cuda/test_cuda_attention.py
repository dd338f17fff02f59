"""Attention on chip: every mask, both precisions, gradients; the matrix of scores is nowhere in memory."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
import ingot.nn.functional as F
from ingot.backends.cuda import attention
from ingot.ir import interpret
from ingot.ir.dtypes import by_name
from ingot.ir.loop.parse import parse_kernel
from ingot.ir.loop.text import print_kernel
from ingot.ir.lower import STAGES, run
from ingot.ir.op import OPS
from ingot.ir.struct import replace
from tests.support.calling import compare
from tests.support.cuda import CUDA, assemble, check, emulated, raced, scheduled
from tests.support.graphs import arrays_for, graph_of

AT, FUSED = ([s.name for s in STAGES].index(name) + 1 for name in ("schedule", "fuse"))
TARGET = CUDA.target(CUDA.levels["sm_80"])
BATCH, HEADS, ROWS, COLUMNS, DEPTH, WIDTH = 1, 2, 21, 18, 24, 16


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def mask(kind):
    """An attn_mask: where one row is masked out altogether, and one that is added."""
    if kind == "bias":
        return ingot.tensor(array(BATCH, 1, ROWS, COLUMNS, seed=7))
    some = array(ROWS, COLUMNS, seed=8) > -0.5
    some[5] = False
    return ingot.tensor(some)


CASES = {
    "plain": {}, "causal": {"is_causal": True}, "bool": {"attn_mask": "bool"}, "bias": {"attn_mask": "bias"},
    "dropout": {"dropout_p": 0.25}, "groups": {"enable_gqa": True}, "scaled": {"scale": 0.3, "attn_mask": "bool", "dropout_p": 0.25},
}  # fmt: skip


def traced(case, dtype, gradients=False):
    """The graph of a call and what goes into it."""
    options = dict(CASES[case])
    if "attn_mask" in options:
        options["attn_mask"] = mask(options["attn_mask"])
        if options["attn_mask"].dtype is not ingot.bool:
            options["attn_mask"] = options["attn_mask"].to(dtype)
    heads = 1 if case == "groups" else HEADS
    given = [
        array(BATCH, ROWS, HEADS, DEPTH, seed=1), array(BATCH, COLUMNS, heads, DEPTH, seed=2), array(BATCH, COLUMNS, heads, WIDTH, seed=3),
    ]  # fmt: skip

    @ingot.compile
    def attend(q, k, v, g=None):
        out = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), **options)
        if not gradients:
            return out
        (out.float() * g).sum().backward()
        return out, q.grad, k.grad, v.grad

    ingot.manual_seed(3)
    tensors = [ingot.tensor(x).to(dtype).requires_grad_(gradients) for x in given]
    if gradients:
        tensors.append(ingot.tensor(array(BATCH, HEADS, ROWS, WIDTH, seed=4)))
    attend(*tensors)
    ((entry,),) = attend._entries.values()
    graph = entry.call.traced.graph
    return graph, inputs(graph, tensors, options)


def inputs(graph, tensors, options):
    """Arrays for a graph: what the function took, a mask, numbers of a random stream."""
    by = dict(zip("qkvg", tensors))
    out = []
    for v, name in zip(graph.inputs, graph.input_names):
        x = by.get(name)
        if x is None and v.type.rank == 0 and v.type.dtype.name == "i64":
            out.append(np.array(5, np.int64))
        elif x is None and v.type.dtype.kind == "b":
            out.append(options["attn_mask"].numpy())
        else:
            found = options["attn_mask"] if x is None and v.type.shape[-1:] == (COLUMNS,) else x
            out.append(array(*v.type.shape, seed=4) if found is None else found.detach().numpy().astype(v.type.dtype.numpy))
    return out


def verified(graph, arrays, tolerance):
    program = scheduled(graph)
    want = interpret.run(graph, arrays)
    for backwards in (False, True):
        code, got = emulated(program, graph, arrays, backwards)
        assert code == 0
        for g, w in zip(got, want):
            np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=tolerance, atol=tolerance)
    return program


HALVES = [("causal", "bfloat16"), ("scaled", "bfloat16"), ("bias", "float16")]


@pytest.mark.parametrize("case, dtype", [*((c, "float32") for c in CASES), *HALVES])
def test_the_result_takes_one_kernel_and_no_memory(case, dtype):
    graph, arrays = traced(case, getattr(ingot, dtype))
    program = verified(graph, arrays, 1e-5 if dtype == "float32" else 2e-2)
    (kernel,) = program.kernels.values()
    assert kernel.schedule.startswith("Attention(") and program.arena_bytes == 0
    assert ("diagonal" in kernel.schedule) == (case == "causal")
    assert print_kernel(parse_kernel(print_kernel(kernel))) == print_kernel(kernel)
    if (case, dtype) in (("causal", "bfloat16"), ("scaled", "float32")):
        assemble(program)


@pytest.mark.parametrize("case, dtype", [*((c, "float32") for c in ("causal", "groups", "scaled")),
                                         *((c, "bfloat16") for c in ("causal", "groups"))])  # fmt: skip
def test_gradients_read_statistics_of_rows(case, dtype):
    graph, arrays = traced(case, getattr(ingot, dtype), gradients=True)
    program = verified(graph, arrays, 1e-4 if dtype == "float32" else 4e-2)
    kernels = [k for k in program.kernels.values() if k.schedule.startswith("Attention(")]
    assert len(kernels) == 4  # the result, sums of rows, and what rows and columns of the matrix make
    assert all("diagonal" in k.schedule for k in kernels) == (case == "causal")
    matrix = (BATCH, HEADS, ROWS, COLUMNS)
    assert not any(v.type.shape == matrix for g in run(graph, TARGET, STAGES[:FUSED]).groups for v in g.outputs)
    if dtype == "bfloat16":
        assert [k.schedule.partition("first=")[2] for k in kernels] == ["(0, 1))", "(0, 1))", "(0, 1, 0))", ""]  # g passes registers
        assemble(program)


def softmax(x):
    e = OPS["exp"](x - OPS["reduce_max"](x, axes=(1,)))
    return e / OPS["reduce_sum"](e, axes=(1,))


def dot(a, b, left, right):
    return OPS["dot"](a, b, batch=((), ()), contract=((left,), (right,)))


def attend(q, k, v):
    return dot(softmax(dot(q, k, 1, 1).cast(by_name("f32"))).cast(q.dtype), v, 1, 0)


def rounded_attend(q, k, v):
    r = OPS["round_tf32"]
    return dot(r(softmax(dot(r(q), r(k), 1, 1))), r(v), 1, 0)


TABLES = ((attention.TILES, "f32"), (attention.TILES_WORDS, "bf16"), (attention.TILES_WORDS[1:6:2], "tf32"))


@pytest.mark.parametrize("tile, threads, dtype", [(*t, d) for some, d in TABLES for t in some])
def test_every_tile(tile, threads, dtype):
    function, kept = (rounded_attend, by_name("f32")) if dtype == "tf32" else (attend, by_name(dtype))
    graph = graph_of([((70, 20), kept), ((45, 20), kept), ((45, 12), kept)], function)
    found = run(graph, TARGET, STAGES[:AT])
    (s,) = found.schedules
    s = replace(s, tile=tile, threads=threads)
    s.verify(found.fused.groups[0])
    program = run(replace(found, schedules=(s,)), TARGET, STAGES[AT:])
    arrays = [(x.astype(np.float32) / 4).astype(x.dtype) for x in arrays_for(graph)]
    code, got = emulated(program, graph, arrays)
    assert code == 0
    if dtype == "tf32":  # powers are rounded before they are divided, so by other amounts
        np.testing.assert_allclose(got[0], interpret.run(graph, arrays)[0], rtol=2e-3, atol=2e-3)
    else:
        compare(graph, arrays, got)


def test_what_comes_by_is_copied_where_it_lies_in_chunks():
    bf16 = by_name("bf16")

    def first_columns(q, k):  # the same memory, in tiles of two sizes
        return attend(q, k, OPS["slice"](k, starts=(0, 0), stops=(45, 16), steps=(1, 1)))

    for inputs, function, ways in (
        (((70, 24), (45, 24), (45, 16)), attend, "turned=(False, True), first=(0, 1)"),
        (((70, 24), (48, 24), (16, 48)), lambda q, k, v: attend(q, k, OPS["transpose"](v, perm=(1, 0))),
         "turned=(False, False), first=(0, 1)"),
        (((70, 24), (45, 24), (24,)), lambda q, k, _: attend(q, k, k), "turned=(False, True), first=(0, 0)"),
        (((70, 24), (45, 24), (24,)), lambda q, k, _: first_columns(q, k), "turned=(False, True), first=(0, 1)"),
        (((70, 20), (45, 20), (45, 16)), attend, ""),
        (((70, 24), (45, 24), (45, 16)), lambda q, k, v: attend(q, OPS["neg"](k), v), ""),
    ):  # fmt: skip
        graph = graph_of([(s, bf16) for s in inputs], function)
        program = scheduled(graph)
        (kernel,) = program.kernels.values()
        assert ways in kernel.schedule and bool(ways) == ("turned" in kernel.schedule)
        arrays = [(x.astype(np.float32) / 4).astype(x.dtype) for x in arrays_for(graph)]
        for backwards in (False, True):
            compare(graph, arrays, emulated(program, graph, arrays, backwards)[1])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_heads_are_up_to_256_wide(dtype):
    graph = graph_of([((40, 256), by_name(dtype)), ((20, 256), by_name(dtype)), ((20, 250), by_name(dtype))], attend)
    program = scheduled(graph)
    assert [k.schedule.partition("(")[0] for k in program.kernels.values()] == ["Attention"]
    arrays = [(x.astype(np.float32) / 8).astype(x.dtype) for x in arrays_for(graph)]
    compare(graph, arrays, emulated(program, graph, arrays)[1])
    wider = scheduled(graph_of([((40, 264), by_name(dtype)), ((20, 264), by_name(dtype)), ((20, 250), by_name(dtype))], attend))
    assert not any(k.schedule.startswith("Attention(") for k in wider.kernels.values())


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_masks_that_are_put_together_or_padded_are_read_where_they_are(dtype):
    def batched(a, b, right):
        return OPS["dot"](a, b, batch=((0,), (0,)), contract=((2,), (right,)))

    def f(q, k, v, m, n, p):
        padded = OPS["pad"](p, p.const(0.5), low=(0, 2), high=(0, 3), interior=(0, 0))
        s = batched(q, k, 2).cast(by_name("f32")) + OPS["concatenate"](m, n, axis=0) + padded
        e = OPS["exp"](s - OPS["reduce_max"](s, axes=(2,)))
        return batched((e / e.sum((2,))).cast(q.dtype), v, 1)

    kept = by_name(dtype)
    graph = graph_of([((3, 18, 8), kept), ((3, 20, 8), kept), ((3, 20, 8), kept), (1, 18, 20), (2, 18, 20), (18, 15)], f)
    program = scheduled(graph)
    assert [k.schedule.partition("(")[0] for k in program.kernels.values()] == ["Attention"]
    arrays = arrays_for(graph)
    for backwards in (False, True):
        compare(graph, arrays, emulated(program, graph, arrays, backwards)[1])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_no_thread_depends_on_another_but_through_barriers(dtype, monkeypatch):
    monkeypatch.setattr(attention, "TILES_WORDS", (((32, 16), 64),))  # of two warps
    monkeypatch.setattr(attention, "TILES", (((32, 16), 64),))
    width, columns = (8, 40) if dtype == "bf16" else (5, 18)  # several tiles that are copied
    graph = graph_of([((17, width), by_name(dtype)), ((columns, width), by_name(dtype)), ((columns, width), by_name(dtype))], attend)
    arrays = arrays_for(graph)
    compare(graph, arrays, raced(scheduled(graph), graph, arrays))


def test_rows_of_nothing_and_infinities_are_as_they_are_elsewhere():
    q, k, v = array(20, 8), array(24, 8, seed=1), array(24, 8, seed=2)
    m = np.zeros((20, 24), np.float32)
    m[3], m[4, :16], m[5, 2] = -np.inf, -np.inf, np.inf
    q[6, 0] = np.nan

    def f(q, k, v, m):
        return dot(softmax(dot(q, k, 1, 1) + m), v, 1, 0)

    program, _ = check(f, q, k, v, m, rtol=1e-4)
    assert len(program.kernels) == 1


def test_what_is_wanted_besides_is_in_memory():
    def f(q, k, v):
        p = softmax(dot(q, k, 1, 1))
        return dot(p, v, 1, 0), p

    program, _ = check(f, array(20, 8), array(24, 8, seed=1), array(24, 8, seed=2), rtol=1e-4)
    assert not any(k.schedule.startswith("Attention(") for k in program.kernels.values())

