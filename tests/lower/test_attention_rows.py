"""Attention on CPUs: every mask, rows of nothing, odd sizes, every size, any number of threads; the matrix is nowhere in memory."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
import ingot.nn.functional as F
from ingot.ir.dtypes import by_name
from ingot.ir.lower import STAGES, lower, run
from ingot.ir.lower.attention_schedule import AttentionRows
from ingot.ir.lower.cpu import cpu
from ingot.ir.lower.schedule import ScheduleError
from ingot.ir.machine import Machine
from ingot.ir.op import OPS as O
from ingot.ir.parse import parse
from ingot.ir.struct import replace
from tests.support.attention import SYMBOLIC, array, attend, dot, graph, mask, softmax, traced
from tests.support.calling import HOST_LEVELS, compare, load, outputs, run_loops
from tests.support.graphs import arrays_for, graph_of
from tests.support.symbolic import arrays_of, check_at

F32 = by_name("f32")
AT = [s.name for s in STAGES].index("schedule") + 1


def program_of(g, lanes):
    program = lower(g, cpu(Machine(lanes)))
    (kernel,) = program.kernels.values()
    assert kernel.schedule.startswith("AttentionRows(") and program.arena_bytes == 0
    return program


SHAPES = [((), 16, 16, 1, 1), ((2,), 21, 18, 20, 13), ((2, 1), 33, 50, 7, 9), ((), 40, 103, 3, 8)]


@pytest.mark.parametrize("lanes", [16, 32, 64])
@pytest.mark.parametrize("sizes", SHAPES)
def test_loops_of_odd_sizes(sizes, lanes):
    batch, rows, columns, *_ = sizes
    g = graph(*sizes, (*batch, rows, columns), (*batch, 1, columns), (rows, 1))
    arrays = arrays_for(g)
    compare(g, arrays, run_loops(g, arrays, program_of(g, lanes)))


@pytest.mark.parametrize("lanes", [16, 64])
def test_factors_that_are_made_where_they_are_read(lanes):
    def f(q, k, v):
        return attend(q, k * 0.5, v + 1.0)

    g = graph_of([((2, 19, 12), F32), ((2, 101, 12), F32), ((2, 101, 9), F32)], f)
    arrays = arrays_for(g)
    compare(g, arrays, run_loops(g, arrays, program_of(g, lanes)))


def test_masks_that_are_put_together():
    def f(q, k, v, m, n):
        s = dot(q, k, 2) + O["concatenate"](m, n, axis=0)
        return dot(softmax(s), v, 1)

    g = graph_of([((3, 18, 4), F32), ((3, 20, 4), F32), ((3, 20, 5), F32), ((1, 18, 20), F32), ((2, 18, 20), F32)], f)
    arrays = arrays_for(g)
    program = lower(g, cpu(Machine(32)))
    assert any(k.schedule.startswith("AttentionRows(") for k in program.kernels.values())
    compare(g, arrays, run_loops(g, arrays, program))


@pytest.mark.parametrize("causal", [False, True])
def test_many_tiles(causal):
    """Sums of runs are added up on their own."""
    q, k, v = array(1, 1, 2400, 3), array(1, 1, 2600, 3, seed=1), array(1, 1, 2600, 5, seed=2)
    k[..., 1700:2500, :] *= 3  # maxima grow late
    f = ingot.compile(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal))
    got = f(*map(ingot.tensor, (q, k, v))).numpy()
    assert all("run=16" in s for s in traced(f))
    np.testing.assert_allclose(got, reference(q, k, v, None, causal, 3**-0.5), rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
def test_every_level(level):
    g = graph((3,), 77, 205, 65, 31, (77, 205))
    arrays = arrays_for(g)
    outs = outputs(g)
    assert load(lower(g, cpu(level.machine)), level)([*arrays, *outs]) == 0
    compare(g, arrays, outs)


def test_one_program_serves_every_size():
    g = parse(SYMBOLIC)
    for level in HOST_LEVELS[-1:] + HOST_LEVELS[:1]:
        program = lower(g, cpu(level.machine))
        assert [k.schedule[:14] for k in program.kernels.values()] == ["AttentionRows("]
        call = load(program, level)
        rng = np.random.default_rng(0)
        for b, t in [(0, 5), (5, 0), (0, 0), (1, 1), (1, 300), (3, 70), (33, 97), (64, 96), (70, 3)]:
            sizes = {"B": b, "T": t}
            arrays = arrays_of(g, [rng.standard_normal(999).astype(np.float32) for _ in g.inputs], sizes)
            assert check_at(g, call, arrays, sizes) or t == 0  # nothing has a largest element
        out = np.full((2, 5, 5), 3, np.float32)
        assert call([*arrays_of(g, [np.zeros(1, np.float32)] * 4, {"B": 5, "T": 0}), out, np.int64(5), np.int64(0)]) == 0
        assert not out.any()


# -- by the public function ------------------------------------------------------------------------------------------


def reference(q, k, v, m, causal, scale):
    s = np.einsum("bhid,bhjd->bhij", q.astype(np.float64), k) * scale
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)
    if m is not None:
        s = np.where(m, s, -np.inf) if m.dtype == bool else s + m
    top = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isinf(top), 0, top))
    total = e.sum(-1, keepdims=True)
    return np.einsum("bhij,bhjd->bhid", e / np.where(total == 0, 1, total), v)


CASES = {
    "plain": {}, "causal": {"is_causal": True}, "bool": {"m": "bool"}, "padding": {"m": "padding"}, "bias": {"m": "bias"},
    "scaled": {"m": "bool", "scale": 0.3},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows, columns", [(37, 120), (128, 128)])
def test_the_result_takes_one_kernel(case, rows, columns):
    options = dict(CASES[case])
    m = mask(options.pop("m"), rows, columns) if "m" in options else None
    given = [array(2, n, 3, d, seed=n + d) for n, d in ((rows, 20), (columns, 20), (columns, 12))]  # heads lie side by side

    @ingot.compile
    def f(q, k, v, m):
        return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), attn_mask=m, **options)

    got = f(*map(ingot.tensor, given), None if m is None else ingot.tensor(m)).numpy()
    q, k, v = (x.transpose(0, 2, 1, 3) for x in given)
    np.testing.assert_allclose(got, reference(q, k, v, m, case == "causal", options.get("scale", 20**-0.5)), rtol=2e-5, atol=2e-6)
    (schedule,) = traced(f)
    assert schedule.startswith("AttentionRows(") and ("diagonal" in schedule) == (case == "causal")


def test_bits_are_equal_for_any_number_of_threads():
    x = [ingot.tensor(array(2, 4, 201, 40, seed=n)) for n in range(3)]
    f = ingot.compile(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))
    before = ingot.get_num_threads()
    found = set()
    try:
        for n in (1, 2, 3):
            ingot.set_num_threads(n)
            found.add(f(*x).numpy().tobytes())
    finally:
        ingot.set_num_threads(before)
    assert len(found) == 1


def test_numbers_that_are_none():
    q, k, v = array(40, 8), array(130, 8, seed=1), array(130, 8, seed=2)
    m = np.zeros((40, 130), np.float32)
    m[3], m[4, :100], m[5, 2], m[6, 120] = -np.inf, -np.inf, np.inf, np.nan
    q[7, 0] = np.nan
    q[8] *= 1e4
    g = graph((), 40, 130, 8, 8, (40, 130))
    with np.errstate(all="ignore"):
        compare(g, [q, k, v, m], run_loops(g, [q, k, v, m], program_of(g, 64)))


def test_long_rows_stay_accurate():
    q, k, v = np.zeros((1, 1, 16, 8), np.float32), array(1, 1, 50_000, 8), np.full((1, 1, 50_000, 8), 0.1, np.float32)
    out = ingot.compile(F.scaled_dot_product_attention)(*map(ingot.tensor, (q, k, v))).numpy()
    np.testing.assert_allclose(out, 0.1, rtol=1e-6)


# -- what stays as it is ---------------------------------------------------------------------------------------------


def scheduled(g):
    return [str(s) for s in run(g, cpu(Machine(32)), STAGES[:AT]).schedules]


def test_what_is_wanted_besides_has_the_matrix_in_memory():
    def f(q, k, v):
        p = softmax(dot(q, k, 1))
        return dot(p, v, 0), p

    g = graph_of([((20, 8), F32), ((24, 8), F32), ((24, 8), F32)], f)
    assert not any("AttentionRows" in s for s in scheduled(g))


def test_a_schedule_that_leaves_too_much_out_is_none():
    g = graph((), 20, 24, 8, 8)
    found = run(g, cpu(Machine(32)), STAGES[:AT])
    (s,), (group,) = found.schedules, found.fused.groups
    assert isinstance(s, AttentionRows)
    for wrong in (replace(s, diagonal=True), replace(s, columns=s.at_once + 1), replace(s, rows=3)):
        with pytest.raises(ScheduleError):
            wrong.verify(group)
