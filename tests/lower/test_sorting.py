"""Sorting by radix or by a network gives what sorting by comparison gives, to the bit: NaN last, equal elements in their order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import ingot
from ingot.functions.chosen import _chosen_first
from ingot.functions.matrix_scans import _traced
from ingot.functions.sort import _of_rank
from ingot.ir import dtypes as D
from ingot.ir.builder import Expr
from ingot.ir.lower import STAGES, lower, run
from ingot.ir.lower.cpu import cpu
from ingot.ir.lower.schedule import ScheduleError
from ingot.ir.lower.sort import LONG
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from ingot.ir.struct import replace
from tests.support.calling import HOST_LEVELS, load, outputs, run_compiled, run_loops
from tests.support.graphs import graph_of

AT = [s.name for s in STAGES].index("schedule") + 1
LINES = [((2, 257, 2), 1), ((300,), 0), ((3, 600), 1), ((1, LONG + 3), 1)]


def numbers(rng: np.random.Generator, dtype: D.DType, shape: tuple[int, ...], few: bool) -> np.ndarray:
    if dtype.kind == "f":
        x = rng.standard_normal(shape).astype(np.float32)
        x = np.round(x * 3) if few else x
        special = rng.choice([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0], shape).astype(np.float32)
        return np.where(rng.random(shape) < 0.1, special, x).astype(dtype.numpy)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    info = np.iinfo(dtype.numpy)
    x = rng.integers(0 if few else info.min, 5 if few else info.max, shape, dtype.numpy, endpoint=True)
    return np.where(rng.random(shape) < 0.1, rng.choice(np.array([info.min, info.max], dtype.numpy), shape), x)


def results(kept: tuple[int, ...], axis: int, descending: bool) -> Callable[[Expr], tuple[Expr, ...]]:
    return lambda x: tuple(OPS["sort"](x, axis=axis, descending=descending)[i] for i in kept)


@pytest.mark.parametrize("dtype", D.REAL, ids=str)
def test_lines_in_order(dtype: D.DType) -> None:
    seed = D.REAL.index(dtype)
    rng = np.random.default_rng(seed)
    for at, (shape, axis) in enumerate(LINES):
        x = numbers(rng, dtype, shape, few=bool(rng.integers(2)))
        descending = bool((at + seed) % 2)
        want = OPS["sort"].ref(x, axis, descending)
        kept = ((0, 1), (0,), (1,), (0, 1))[(at + seed // 2) % 4]  # a result that nobody reads is not made
        for i, got in zip(kept, run_compiled(graph_of([x], results(kept, axis, descending)), [x])):
            assert got.tobytes() == np.ascontiguousarray(want[i]).tobytes(), (seed, dtype, shape, descending, i)


def test_many_of_the_first() -> None:
    x = numbers(np.random.default_rng(0), D.f32, (3, 400), few=True)
    want = OPS["top"].ref(x, 1, True, 200)
    got = run_compiled(graph_of([x], lambda x: OPS["top"](x, axis=1, descending=True, count=200)), [x])
    assert all(g.tobytes() == np.ascontiguousarray(w).tobytes() for g, w in zip(got, want))


# -- many lines at once ----------------------------------------------------------------------------------------------

MANY = [((37, 64), 1), ((2, 5, 33), 2), ((70, 13), 0), ((3, 40, 17), 1), ((16, 3), 1), ((19, 2), 1), ((33, 130), 1)]


def sort_graph(x: np.ndarray, axis: int, descending: bool, kept: tuple[int, ...], count: int):
    if count:
        return graph_of([x], lambda x: tuple(OPS["top"](x, axis=axis, descending=descending, count=count)[i] for i in kept))
    return graph_of([x], results(kept, axis, descending))


@pytest.mark.parametrize("dtype", [d for d in D.REAL if d.bits >= 16], ids=str)
@pytest.mark.parametrize("kept", [(0, 1), (0,), (1,)])
def test_lines_side_by_side(dtype: D.DType, kept: tuple[int, ...]) -> None:
    rng = np.random.default_rng(dtype.bits)
    for at, (shape, axis) in enumerate(MANY):
        x = numbers(rng, dtype, shape, few=at % 2 == 0)
        for descending in (False, True):
            for count in (0, 2):
                want = OPS["top"].ref(x, axis, descending, count) if count else OPS["sort"].ref(x, axis, descending)
                g = sort_graph(x, axis, descending, kept, count)
                for i, got in zip(kept, run_compiled(g, [x])):
                    assert got.tobytes() == np.ascontiguousarray(want[i]).tobytes(), (dtype, shape, descending, count, i)


@pytest.mark.parametrize("lanes", [16, 32, 64])
@pytest.mark.parametrize("kept", [(0, 1), (0,)])
def test_loops_of_lines_side_by_side(lanes: int, kept: tuple[int, ...]) -> None:
    rng = np.random.default_rng(lanes)
    for shape, axis in (((19, 21), 1), ((2, 11, 18), 1)):
        x = numbers(rng, D.f32, shape, few=True)
        g = sort_graph(x, axis, False, kept, 0)
        program = lower(g, cpu(Machine(lanes)))
        assert any("lines=" in k.schedule for k in program.kernels.values())
        want = OPS["sort"].ref(x, axis, False)
        for i, got in zip(kept, run_loops(g, [x], program)):
            assert got.tobytes() == np.ascontiguousarray(want[i]).tobytes()


def test_every_level_sorts_lines_side_by_side() -> None:
    x = numbers(np.random.default_rng(0), D.f32, (40, 200), few=True)
    g = sort_graph(x, 1, True, (0, 1), 0)
    want = OPS["sort"].ref(x, 1, True)
    for level in HOST_LEVELS:
        out = outputs(g)
        assert load(lower(g, cpu(level.machine)), level)([x, *out]) == 0
        assert all(a.tobytes() == np.ascontiguousarray(b).tobytes() for a, b in zip(out, want))


def test_what_is_not_sorted_at_once() -> None:
    """Few lines, and long ones; a schedule that says otherwise is none."""
    for shape in ((2, 100), (64, 8192)):
        found = run(sort_graph(np.zeros(shape, np.float32), 1, False, (0, 1), 0), cpu(Machine(32)), STAGES[:AT])
        (s,) = found.schedules
        assert not s.lines
        if shape[1] > 4096:
            with pytest.raises(ScheduleError, match="at once"):
                replace(s, lines=8).verify(found.fused.groups[0])


@pytest.mark.parametrize("dtype", [d for d in D.REAL if d.kind != "b"], ids=str)
def test_elements_of_a_rank(dtype: D.DType) -> None:
    """What sorting and taking gives, by counting digits."""
    rng = np.random.default_rng(dtype.bits)
    lines = 9
    x = numbers(rng, dtype, (lines, 50), few=dtype.bits == 32)
    ranks = rng.integers(0, 50, lines)
    ranks[:2] = 0, 49
    graph = _traced(_of_rank, "test", (ingot.tensor(x), ingot.tensor(ranks)))
    at = OPS["sort"].ref(x, 1, False)[1][np.arange(lines), ranks]
    want = x[np.arange(lines), at], at
    whole = run(graph, cpu(Machine(32)), STAGES[:AT])
    (s,) = whole.schedules
    for other in (s, replace(s, digit=3, block=16, width=2)):
        got = run_loops(graph, [x, ranks], run(replace(whole, schedules=(other,)), cpu(Machine(32)), STAGES[AT:]))
        assert all(g.tobytes() == w.tobytes() for g, w in zip(got, want)), other
    assert all(g.tobytes() == w.tobytes() for g, w in zip(run_compiled(graph, [x, ranks]), want))


def test_places_in_a_mask() -> None:
    for n, share in ((1, 1.0), (7, 0.5), (41, 0.1), (2500, 0.5), (70001, 0.01)):
        x = np.random.default_rng(n).random(n) < share
        graph = _traced(_chosen_first, "test", (ingot.tensor(x),))
        found = np.flatnonzero(x)
        want = np.concatenate([found, np.zeros(n - len(found), np.int64)])
        whole = run(graph, cpu(Machine(32)), STAGES[:AT])
        if n < 100:
            for s in (whole.schedules[0], replace(whole.schedules[0], parts=3, block=8, width=2)):
                got = run_loops(graph, [x], run(replace(whole, schedules=(s,)), cpu(Machine(32)), STAGES[AT:]))
                assert np.array_equal(got[0], want) and got[1] == len(found), (n, s)
        got = run_compiled(graph, [x])
        assert np.array_equal(got[0], want) and got[1] == len(found), n
