"""Sorting by radix gives what sorting by comparison gives, to the bit: NaN last, equal elements in their order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.builder import Expr
from ingot.ir.lower.sort import LONG
from ingot.ir.op import OPS
from tests.support.calling import run_compiled
from tests.support.graphs import graph_of

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
