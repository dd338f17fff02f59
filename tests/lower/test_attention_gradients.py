"""Gradients of attention on CPUs: every mask, odd sizes, long sums, every size, any number of threads; the matrix is nowhere in memory."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
import ingot.nn.functional as F
from ingot.ir.dtypes import by_name
from ingot.ir.lower import STAGES, lower, run
from ingot.ir.lower.attention_schedule import AttentionPanels, takes
from ingot.ir.lower.cpu import cpu
from ingot.ir.lower.schedule import ScheduleError
from ingot.ir.machine import Machine
from ingot.ir.op import OPS as O
from ingot.ir.parse import parse
from ingot.ir.struct import replace
from ingot.ir.transforms.vjp import vjp
from tests.support.attention import SYMBOLIC, array, attend, dot, graph, mask, softmax, traced
from tests.support.calling import HOST_LEVELS, compare, load, outputs, run_loops
from tests.support.graphs import arrays_for, graph_of
from tests.support.symbolic import arrays_of, check_at

F32 = by_name("f32")
AT = [s.name for s in STAGES].index("schedule") + 1


def gradients(g, wanted=None):
    return vjp(g, wanted or (True,) * 3 + (False,) * (len(g.inputs) - 3), (True,)).graph


def program_of(g, lanes):
    program = lower(g, cpu(Machine(lanes)))
    assert any(k.schedule.startswith("AttentionPanels(") for k in program.kernels.values())
    return program


SHAPES = [((), 16, 16, 1, 1), ((2,), 21, 18, 20, 13), ((2, 1), 33, 50, 7, 9), ((), 40, 103, 3, 8)]


@pytest.mark.parametrize("lanes", [16, 32, 64])
@pytest.mark.parametrize("sizes", SHAPES)
def test_loops_of_odd_sizes(sizes, lanes):
    batch, rows, columns, *_ = sizes
    g = gradients(graph(*sizes, (*batch, rows, columns), (*batch, 1, columns), (rows, 1)))
    arrays = arrays_for(g)
    compare(g, arrays, run_loops(g, arrays, program_of(g, lanes)))


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True), (True, False, True)])
def test_some_of_them(wanted):
    g = gradients(graph((2,), 37, 50, 12, 9), wanted)
    arrays = arrays_for(g)
    compare(g, arrays, run_loops(g, arrays, program_of(g, 32)))


def test_factors_that_are_made_where_they_are_read():
    g = graph_of([((2, 19, 12), F32), ((2, 101, 12), F32), ((2, 101, 9), F32)], lambda q, k, v: attend(q, k * 0.5, v + 1.0))
    g = gradients(g)
    arrays = arrays_for(g)
    compare(g, arrays, run_loops(g, arrays, program_of(g, 64)))


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
def test_every_level(level):
    g = gradients(graph((3,), 77, 205, 65, 31, (77, 205)))
    arrays = arrays_for(g)
    outs = outputs(g)
    assert load(lower(g, cpu(level.machine)), level)([*arrays, *outs]) == 0
    compare(g, arrays, outs)


def test_rows_in_chunks_whose_sums_are_added_up():
    """A single matrix is work for several workers."""
    g = gradients(graph((), 400, 17, 16, 4))
    (s,) = panels(g)
    assert s.chunks > 1
    arrays = arrays_for(g)
    compare(g, arrays, run_loops(g, arrays, program_of(g, 32)))


def test_blocks_of_several_vectors_of_rows():
    g = gradients(graph((8,), 530, 70, 8, 8))
    (s,) = panels(g)
    assert s.rows == 2 * s.lanes and s.chunks == 1
    outs, arrays = outputs(g), arrays_for(g)
    for level in HOST_LEVELS:
        assert load(lower(g, cpu(level.machine)), level)([*arrays, *outs]) == 0
        compare(g, arrays, outs)


def test_long_sums_stay_accurate():
    """Those of runs of tiles, and of runs of blocks, are added up on their own."""
    for rows, columns in ((16, 50_000), (50_000, 16)):
        g = gradients(graph((9,) if rows > columns else (), rows, columns, 1, 1))
        (s,) = panels(g)
        assert s.run if columns > rows else s.run_of_blocks
        level = HOST_LEVELS[-1]
        arrays = [np.zeros(t.shape, np.float32) for t in (v.type for v in g.inputs)]
        for x in arrays[1:]:
            x += 0.1
        arrays[3] += 0.1
        outs = outputs(g)
        assert load(lower(g, cpu(level.machine)), level)([*arrays, *outs]) == 0
        dv = outs[-1]
        total = arrays[3].sum(dtype=np.float64) / (9 if rows > columns else 1)
        np.testing.assert_allclose(dv, total / columns, rtol=2e-6)


def test_one_program_serves_every_size():
    g = gradients(parse(SYMBOLIC))
    for level in HOST_LEVELS[-1:] + HOST_LEVELS[:1]:
        program = lower(g, cpu(level.machine))
        assert any(k.schedule.startswith("AttentionPanels(") for k in program.kernels.values())
        call = load(program, level)
        rng = np.random.default_rng(0)
        for b, t in [(0, 5), (1, 1), (1, 300), (3, 70), (33, 97), (64, 96), (70, 3), (530, 40)]:
            sizes = {"B": b, "T": t}
            assert check_at(g, call, arrays_of(g, [rng.standard_normal(9999).astype(np.float32) for _ in g.inputs], sizes), sizes)


def panels(g, machine=None):
    return [s for s in run(g, cpu(machine or Machine(32)), STAGES[:AT]).schedules if isinstance(s, AttentionPanels)]


# -- by the public function ------------------------------------------------------------------------------------------


def reference(q, k, v, d, m, causal):
    """O and the gradients of sum(O * d), in double precision."""
    q, k, v, d = (x.astype(np.float64) for x in (q, k, v, d))
    scale = q.shape[-1] ** -0.5
    s = np.einsum("bhid,bhjd->bhij", q, k) * scale
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)
    if m is not None:
        s = np.where(m, s, -np.inf) if m.dtype == bool else s + m
    top = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isinf(top), 0, top))
    total = e.sum(-1, keepdims=True)
    p = e / np.where(total == 0, 1, total)
    dp = np.einsum("bhid,bhjd->bhij", d, v)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) * scale
    out = np.einsum("bhij,bhjd->bhid", p, v)
    return (out, np.einsum("bhij,bhjd->bhid", ds, k), np.einsum("bhij,bhid->bhjd", ds, q), np.einsum("bhij,bhid->bhjd", p, d))


def step(forward, **options):
    @ingot.compile
    def f(q, k, v, d, m):
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=m, **options)
        grads = ingot.autograd.grad(out, (q, k, v), d)
        return (out.detach(), *grads) if forward else grads

    return f


CASES = {"plain": {}, "causal": {"is_causal": True}, "bool": {"m": "bool"}, "padding": {"m": "padding"}, "bias": {"m": "bias"}}


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows, columns", [(37, 120), (128, 128)])
def test_gradients_take_one_kernel(case, rows, columns, forward):
    options = dict(CASES[case])
    m = mask(options.pop("m"), rows, columns) if "m" in options else None
    given = [array(2, 3, n, d, seed=n + d) for n, d in ((rows, 20), (columns, 20), (columns, 12), (rows, 12))]
    f = step(forward, **options)
    got = f(*map(ingot.tensor, given), None if m is None else ingot.tensor(m))
    for x, y in zip(got, reference(*given, m, case == "causal")[not forward :]):
        np.testing.assert_allclose(x.numpy(), y, rtol=1e-4, atol=5e-6)
    kinds = [s.split("(")[0] for s in traced(f) if s.startswith("Attention")]
    assert kinds == ["AttentionRows", "AttentionPanels"][not forward :]
    assert all(("diagonal" in s) == (case == "causal") for s in traced(f) if s.startswith("Attention"))


@pytest.mark.parametrize("dtype, tolerance", [("bfloat16", 4e-2), ("float16", 5e-3)])
@pytest.mark.parametrize("causal", [False, True])
def test_halves(dtype, tolerance, causal):
    given = [ingot.tensor(array(2, 3, 90, 24, seed=n)).to(getattr(ingot, dtype)) for n in range(4)]
    f = step(True, is_causal=causal)
    got = f(*given, None)
    for x, y in zip(got, reference(*(t.float().numpy() for t in given), None, causal)):
        assert x.dtype is getattr(ingot, dtype)
        np.testing.assert_allclose(x.float().numpy(), y, rtol=tolerance, atol=tolerance)
    assert [s.split("(")[0] for s in traced(f) if s.startswith("Attention")] == ["AttentionRows", "AttentionPanels"]


def test_dropout_drops_the_same_elements_in_both():
    """What an element is multiplied with in the result is what its gradient is: O is linear in V."""
    q, k, v, d = (ingot.tensor(array(1, 2, 64, 16, seed=n)) for n in range(4))

    @ingot.compile
    def f(q, k, v, d):
        v = v.detach().requires_grad_()
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.4)
        (dv,) = ingot.autograd.grad(out, (v,), d)
        return out.detach(), dv

    out, dv = (x.numpy().astype(np.float64) for x in f(q, k, v, d))
    np.testing.assert_allclose((out * d.numpy()).sum(), (dv * v.numpy()).sum(), rtol=1e-4)


def test_bits_are_equal_for_any_number_of_threads():
    x = [ingot.tensor(array(1, 2, 401, 40, seed=n)) for n in range(4)]
    f = step(True, is_causal=True)
    before, found = ingot.get_num_threads(), set()
    try:
        for n in (1, 2, 3):
            ingot.set_num_threads(n)
            found.add(b"".join(y.numpy().tobytes() for y in f(*x, None)))
    finally:
        ingot.set_num_threads(before)
    assert len(found) == 1


def test_numbers_that_are_none():
    q, k, v, d = array(40, 8), array(130, 8, seed=1), array(130, 8, seed=2), array(40, 8, seed=3)
    m = np.zeros((40, 130), np.float32)
    m[3], m[4, :100], m[6, 120] = -np.inf, -np.inf, np.nan
    q[7, 0], d[9, 0] = np.nan, np.inf
    g = gradients(graph((), 40, 130, 8, 8, (40, 130)))
    with np.errstate(all="ignore"):
        compare(g, [q, k, v, m, d], run_loops(g, [q, k, v, m, d], program_of(g, 64)))


# -- what stays as it is ---------------------------------------------------------------------------------------------


def test_what_is_wanted_besides_has_the_matrix_in_memory():
    def f(q, k, v):
        p = softmax(dot(q, k, 1))
        return dot(p, v, 0), p

    g = graph_of([((20, 8), F32), ((24, 8), F32), ((24, 8), F32)], f)
    assert not panels(vjp(g, (True,) * 3, (True, True)).graph)


def test_halves_are_products_of_their_own_where_an_instruction_sums_them():
    half = by_name("bf16")
    g = graph_of([((20, 8), half), ((24, 8), half), ((24, 8), half)], lambda q, k, v: dot(O["cast"](softmax(O["cast"](
        dot(q, k, 1), dtype=F32)), dtype=half), v, 0))  # fmt: skip
    assert panels(gradients(g))
    assert not panels(gradients(g), Machine(64, dot_halves=True)) and not takes(g, Machine(64, dot_halves=True))


def test_a_schedule_that_leaves_too_much_out_is_none():
    found = run(gradients(graph((), 20, 24, 8, 8)), cpu(Machine(32)), STAGES[:AT])
    (s, group), *_ = [(s, g) for s, g in zip(found.schedules, found.fused.groups) if isinstance(s, AttentionPanels)]
    for wrong in (replace(s, diagonal=True), replace(s, columns=s.at_once + 1), replace(s, rows=s.lanes + 1), replace(s, chunks=0)):
        with pytest.raises(ScheduleError):
            wrong.verify(group)
