"""Routines of matrices by blocks give what their loops over columns give: factors, permutations, systems, at every edge of a block."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import ingot
from ingot.functions import matrix_scans
from ingot.ir.graph import Graph
from ingot.ir.interpret import run as interpret
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.cpu import cpu
from ingot.ir.lower.matrices.routines import is_routine
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from ingot.ir.parse import parse
from tests.support.calling import run_compiled, run_loops

EPS = {"f4": 2.0**-23, "f8": 2.0**-52}
SIZES = [(1, 1), (2, 5), (5, 2), (31, 31), (33, 40), (65, 33), (32, 32), (97, 97), (270, 270)]


def traced(fn, *arrays: np.ndarray) -> Graph:  # type: ignore[no-untyped-def]
    """A graph that calls a routine."""
    return matrix_scans._traced(fn, "test", tuple(ingot.tensor(a) for a in arrays))


def lu(a):  # type: ignore[no-untyped-def]
    return matrix_scans.lu(a)


def cholesky(a):  # type: ignore[no-untyped-def]
    return (matrix_scans.cholesky(a),)


def solved(upper: bool, unit: bool):  # type: ignore[no-untyped-def]
    return lambda a, b: (matrix_scans.triangular(a, b, upper, unit),)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_lu(kind: str, size: tuple[int, int]) -> None:
    a = np.random.default_rng(size[0]).standard_normal((2, *size)).astype(kind)
    f, perm, sign = run_compiled(traced(lu, a), [a])
    m, n = size
    k = min(size)
    low, up = np.tril(f[:, :, :k], -1) + np.eye(m, k), np.triu(f[:, :k])
    assert np.abs(low).max() <= 1 and sorted(perm[0].tolist()) == list(range(m))
    rows = np.take_along_axis(a, perm[:, :, None], 1)
    assert np.abs(low @ up - rows).max() <= 2 * max(size) * EPS[kind] * np.abs(a).max()
    signs = [np.linalg.det(np.eye(m)[p]) for p in perm]
    assert np.array_equal(np.round(signs), sign)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("n", [1, 2, 7, 31, 32, 33, 64, 65, 96, 270])
def test_cholesky_and_triangular_systems(kind: str, n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.standard_normal((3, n, n))
    a = (x @ x.transpose(0, 2, 1) + n * np.eye(n)).astype(kind)
    tilted = a + np.triu(rng.standard_normal((n, n)), 1).astype(kind)  # above the diagonal nothing is read
    (low,) = run_compiled(traced(cholesky, a), [tilted])
    assert not np.triu(low, 1).any()
    assert np.abs(low @ low.transpose(0, 2, 1) - a).max() <= 4 * n * EPS[kind] * np.abs(a).max()
    for columns in (1, 5, 40, 300):
        b = rng.standard_normal((3, n, columns)).astype(kind)
        for upper in (False, True):
            for unit in (False, True):
                t = (low.transpose(0, 2, 1) if upper else low) / (n if unit else 1)
                t = t + (np.tril if upper else np.triu)(np.full((n, n), np.nan, kind), -1 if upper else 1)  # not read
                (got,) = run_compiled(traced(solved(upper, unit), t, b), [np.ascontiguousarray(t), b])
                used = np.where(np.isnan(t), 0, t)
                used = used - unit * (used * np.eye(n)) + unit * np.eye(n)
                wrong = np.abs(used @ got.astype("f8") - b).max()
                assert wrong <= 8 * n * EPS[kind] * max(1, np.abs(used).max()) * np.abs(got).max(), (columns, upper, unit)


def factored(a):  # type: ignore[no-untyped-def]
    return matrix_scans.qr(a, a.shape[1])


@pytest.mark.parametrize("fn", [lu, cholesky, factored, solved(False, False), solved(True, True)])
def test_loops_give_what_columns_give(fn) -> None:  # type: ignore[no-untyped-def]
    """The loop IR's interpreter, which knows of races, beside the graph's."""
    rng = np.random.default_rng(0)
    n = 35
    x = rng.standard_normal((2, n, n))
    arrays = [x @ x.transpose(0, 2, 1) + n * np.eye(n)]
    if fn not in (lu, cholesky, factored):
        arrays.append(rng.standard_normal((2, n, 3)))
    graph = traced(fn, *arrays)
    for got, want in zip(run_loops(graph, arrays), interpret(graph, arrays)):
        assert np.allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_qr(kind: str, size: tuple[int, int]) -> None:
    m, n = size
    a = np.random.default_rng(m).standard_normal((2, m, n)).astype(kind)
    a[1, :, -1] = 0
    for columns in {min(m, n), m}:
        q, r = run_compiled(traced(partial(matrix_scans.qr, columns=columns), a), [a])
        assert q.shape == (2, m, columns) and not np.tril(r, -1).any()
        limit = 4 * max(m, n) * EPS[kind]
        assert np.abs(q.transpose(0, 2, 1) @ q - np.eye(columns)).max() <= limit
        assert np.abs(q @ r - a).max() <= limit * np.abs(a).max()


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 3), (9, 9), (40, 33), (130, 100)], ids=str)
def test_rotations(kind: str, size: tuple[int, int]) -> None:
    m, n = size
    rng = np.random.default_rng(m)
    a = rng.standard_normal((4, m, n)).astype(kind)
    a[1, :, 0] = a[1, :, -1]  # of lower rank
    a[2] = 0
    a[3] *= np.logspace(0, -12, n)  # far apart
    av, v = run_compiled(traced(matrix_scans.rotations, a), [a])
    limit = 4 * max(m, n) * EPS[kind]
    assert np.abs(v.transpose(0, 2, 1) @ v - np.eye(n)).max() <= limit
    assert np.abs(a @ v - av).max() <= limit * np.abs(a).max()
    lengths = np.sqrt((av.astype("f8") ** 2).sum(1))
    want = np.linalg.svd(a.astype("f8"), compute_uv=False)
    assert np.abs(-np.sort(-lengths, 1) - want).max() <= limit * want.max()
    wide = np.where(lengths == 0, 1, lengths)[:, None]
    gram = (av / wide).transpose(0, 2, 1) @ (av / wide)
    assert np.abs(gram[[0, 3]] - np.eye(n)).max() <= limit  # however short


def test_singular_and_indefinite_matrices() -> None:
    a = np.zeros((3, 40, 40))
    a[1] = np.diag(np.arange(40.0))
    a[2] = np.ones((40, 40))
    f, perm, _ = run_compiled(traced(lu, a), [a])
    assert np.array_equal(f[0], a[0]) and np.array_equal(f[2][0], np.ones(40)) and not np.triu(f[2])[1:].any()
    assert sorted(np.diag(f[1]).tolist()) == list(range(40))
    bad = np.eye(70)[None].repeat(3, 0)
    bad[0, 50, 50], bad[1, 50, 50], bad[2, 50, 50] = -1, 0, np.nan
    (low,) = run_compiled(traced(cholesky, bad), [bad])
    for one in low:
        assert np.isnan(np.diag(one)).argmax() == 50 and np.isnan(one[50, 50]) and not np.isnan(one[:50]).any()


def test_nan_and_infinity_pass_through() -> None:
    a = np.random.default_rng(0).standard_normal((1, 40, 40))
    a[0, 3, 35] = np.nan
    f, _, _ = run_compiled(traced(lu, a), [a])
    assert np.isfinite(f[0, :, :35]).all() and np.isnan(f[0, :, 35:]).any()


def test_sizes_that_are_symbols() -> None:
    for n in (3, 50, 20, 33, 1, 70):
        a = np.random.default_rng(n).standard_normal((n, n)) + n * np.eye(n)
        b = np.ones((n, 2))
        assert np.allclose(ingot.linalg.solve(ingot.tensor(a), ingot.tensor(b)).numpy(), np.linalg.solve(a, b))
        assert np.allclose(ingot.linalg.cholesky(ingot.tensor(a @ a.T)).numpy(), np.linalg.cholesky(a @ a.T))


def test_a_routine_stays_one_in_texts_and_under_no_other_name() -> None:
    a, b = np.eye(4)[None], np.eye(3)[None]
    graph = traced(lambda x, y: (matrix_scans.cholesky(x), matrix_scans.cholesky(y)), a, b)
    for g in (graph, parse(str(graph))):
        calls = [n.attrs[0] for n in g.nodes if n.op is OPS["call"]]
        assert len(calls) == 2 and all(map(is_routine, calls))
        kept = run(g, cpu(Machine(32)), STAGES[:1])
        assert [n.op.name for n in kept.nodes] == ["call", "call"]
    other = calls[0].replace(name="cholesky")
    assert not is_routine(other)
