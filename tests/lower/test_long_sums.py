"""Sums and products of many elements are as near to the exact ones as torch's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.lower import lower
from ingot.ir.lower.cpu import cpu
from ingot.ir.op import OPS
from tests.support.calling import HOST_LEVELS, load, outputs, run_compiled
from tests.support.cuda import emulated
from tests.support.cuda import scheduled as in_blocks
from tests.support.graphs import graph_of

N = 300_000
NEAR = 1e-6  # 1.3e-6 is what torch.testing allows


def near(got: np.ndarray, want: np.ndarray) -> None:
    assert np.abs(got.astype(np.float64) / want - 1).max() < NEAR


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape, axis", [((N,), 0), ((N // 10, 10), 0), ((2, N // 2), 1)])
def test_running_sums_and_products(shape: tuple[int, ...], axis: int, reverse: bool) -> None:
    rng = np.random.default_rng(0)
    for name, x in (("cumsum", rng.uniform(0, 1, shape)), ("cumprod", 1 + rng.normal(size=shape) * 1e-3)):
        x = x.astype(np.float32)
        (got,) = run_compiled(graph_of([x], lambda x, op=OPS[name]: op(x, axis=axis, reverse=reverse)), [x])
        along = np.flip(x, axis) if reverse else x
        want = getattr(np, name)(along.astype(np.float64), axis=axis)
        near(got, np.flip(want, axis) if reverse else want)


@pytest.mark.parametrize("shape, axes", [((3000, 1030), 0), ((3, 4000, 300), 1), ((40, 16, 70, 100), (0, 2)), ((2000, 40, 64), (0, 2))])
def test_sums_over_rows(shape: tuple[int, ...], axes: int | tuple[int, ...]) -> None:
    axes = axes if isinstance(axes, tuple) else (axes,)
    x = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    total, most = run_compiled(graph_of([x], lambda x: (OPS["reduce_sum"](x, axes=axes), OPS["reduce_max"](x, axes=axes))), [x])
    near(total, x.sum(axes, dtype=np.float64, keepdims=True))
    assert (most == x.max(axes, keepdims=True)).all()


@pytest.mark.parametrize("shape, axes", [((N,), (0,)), ((N // 10, 10), (0,)), ((4, N // 4), (1,)), ((100, 30, 70), (0, 2))])
def test_products(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = (1 + np.random.default_rng(0).normal(size=shape) * 1e-3).astype(np.float32)
    (got,) = run_compiled(graph_of([x], lambda x: OPS["reduce_prod"](x, axes=axes)), [x])
    near(got, x.prod(axes, dtype=np.float64, keepdims=True))


def dot(a, b, *axes: int):
    return OPS["dot"](a, b, batch=((), ()), contract=(axes, axes))


@pytest.mark.parametrize(
    "product",
    [
        lambda a, b: dot(a, b, 0),
        lambda a, b: dot(a + 0.0 * b, b, 0),  # not in memory
        lambda a, b: dot(OPS["reverse"](a, axes=(0,)), OPS["reverse"](b, axes=(0,)), 0),
        lambda a, b: dot(a.reshape((1, N)), b.reshape((1, N)), 1),
        lambda a, b: dot(a.reshape((500, N // 500)), b.reshape((500, N // 500)), 0, 1),
        lambda a, b: OPS["reduce_sum"](OPS["mul"](a, b), axes=(0,)),
    ],
)
def test_products_of_vectors(product: Callable) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(0, 1, N).astype(np.float32) for _ in range(2))
    (got,) = run_compiled(graph_of([a, b], product), [a, b])
    near(got, a.astype(np.float64) @ b.astype(np.float64))


def total(*axes: int):
    return lambda x: OPS["reduce_sum"](x, axes=axes)


def conv(x, w):
    return OPS["conv"](x, w, stride=(1,), padding=((0, 0),), dilation=(1,), groups=1)


# Every element is 0.1, so that the roundings of a chain go one way: shapes, what is computed, how often x or x * x is added up.
SUMS = {
    "of all": ([(1_500_000,)], total(0), 1_500_000),
    "over rows": ([(N // 4, 4)], total(0), N // 4),
    "over few rows": ([(700, 300)], total(0), 700),
    "of rows": ([(20, N // 20)], total(1), N // 20),
    "of few rows": ([(3, N // 3)], total(1), N // 3),
    "over the middle": ([(3, N // 12, 4)], total(1), N // 12),
    "over both ends": ([(300, 5, 200)], total(0, 2), 300 * 200),
    "over the first and the third": ([(40, 3, 500, 7)], total(0, 2), 40 * 500),
    "of what is multiplied": ([(N // 4, 4), (N // 4, 4)], lambda a, b: OPS["reduce_sum"](a * b, axes=(0,)), N // 4),
    "of a window": ([(1, 1, N)], lambda x: OPS["window_sum"](x, window=(N,), stride=(1,), padding=((0, 0),), dilation=(1,)), N),
}
PRODUCTS = {
    "of vectors": ([(N,), (N,)], lambda a, b: dot(a, b, 0), N),
    "matrix times vector": ([(5, N // 5), (N // 5,)], lambda a, b: OPS["dot"](a, b, batch=((), ()), contract=((1,), (0,))), N // 5),
    "vector times matrix": ([(N // 4, 4), (N // 4,)], lambda a, b: dot(a, b, 0), N // 4),
    "tiles": ([(8, N // 16), (16, N // 16)], lambda a, b: dot(a, b, 1), N // 16),
    "tiles, of columns": ([(N // 16, 8), (N // 16, 16)], lambda a, b: dot(a, b, 0), N // 16),
    "tiles, k of two dims": ([(8, 30, 1001), (16, 30, 1001)], lambda a, b: dot(a, b, 1, 2), 30030),
    "few rows": ([(2, N // 16), (16, N // 16)], lambda a, b: dot(a, b, 1), N // 16),
    "batched": ([(2, 8, 9001), (2, 9001, 8)], lambda a, b: OPS["dot"](a, b, batch=((0,), (0,)), contract=((2,), (1,))), 9001),
    "convolution": ([(1, 8, 5000), (8, 8, 4990)], conv, 8 * 4990),
}  # fmt: skip
BOUND = {D.f32: 3e-6, D.f64: 2e-14, D.bf16: 2**-8, D.f16: 2**-11}
CASES = {**{f"sum {k}": (*v, 1) for k, v in SUMS.items()}, **{f"product, {k}": (*v, 2) for k, v in PRODUCTS.items()}}
CASES["sum of what is multiplied"] = (*SUMS["of what is multiplied"], 2)


def tenths(shapes: list[tuple[int, ...]], dtype: D.DType) -> tuple[list[np.ndarray], float]:
    """Arrays full of 0.1, and that number as they have it."""
    arrays = [np.full(s, 0.1).astype(dtype.numpy) for s in shapes]
    return arrays, float(arrays[0].reshape(-1)[0])


@pytest.mark.parametrize("dtype", BOUND, ids=lambda d: d.name)
@pytest.mark.parametrize("name", CASES)
def test_no_digits_are_lost(name: str, dtype: D.DType) -> None:
    shapes, function, count, power = CASES[name]
    arrays, x = tenths(shapes, dtype)
    want = count * x**power
    if dtype is D.f16 and want > 60000:
        pytest.skip("the sum is too large for f16")
    (got,) = run_compiled(graph_of(arrays, function), arrays)
    assert np.abs(got.astype(np.float64) / want - 1).max() <= BOUND[dtype]


@pytest.mark.parametrize("name", CASES)
def test_at_every_level_and_in_blocks(name: str) -> None:
    shapes, function, count, power = CASES[name]
    arrays, x = tenths(shapes, D.f32)
    graph = graph_of(arrays, function)
    for level in HOST_LEVELS[:-1]:
        (got,) = outs = outputs(graph)
        assert load(lower(graph, cpu(level.machine)), level)([*arrays, *outs]) == 0
        assert np.abs(got.astype(np.float64) / (count * x**power) - 1).max() <= BOUND[D.f32], level.name
    code, (got,) = emulated(in_blocks(graph), graph, arrays)
    assert code == 0 and np.abs(got.astype(np.float64) / (count * x**power) - 1).max() <= BOUND[D.f32]


ADDED = {
    "scatter": lambda x, i, s: OPS["scatter"](x, i, s, axis=0, mode="add"),
    "index_put": lambda x, i, s: OPS["index_put"](x, s, i, axes=(0,), mode="add"),
}


@pytest.mark.parametrize("dtype", [D.bf16, D.f16], ids=lambda d: d.name)
@pytest.mark.parametrize("name", ADDED)
def test_halves_are_scattered_in_f32(name: str, dtype: D.DType) -> None:
    n = 30_000
    x, s, i = np.ones(3, dtype.numpy), np.full(n, 0.1).astype(dtype.numpy), np.arange(n) % 3
    graph = graph_of([x, i, s], ADDED[name])
    want = 1 + n // 3 * s[0].astype(np.float64)
    code, (blocks,) = emulated(in_blocks(graph), graph, [x, i, s])
    assert code == 0
    for got in (*run_compiled(graph, [x, i, s]), blocks):
        assert np.abs(got.astype(np.float64) / want - 1).max() <= BOUND[dtype]


@pytest.mark.parametrize("dtype", [D.bf16, D.f16], ids=lambda d: d.name)
def test_halves_are_scattered_into_planes_in_f32(dtype: D.DType) -> None:
    n = 30_000
    g, i = np.full((1, 2, n), 0.1).astype(dtype.numpy), np.arange(2 * n).reshape(1, 2, n) % 3
    graph = graph_of([g, i], lambda g, i: OPS["window_scatter"](g, i, spatial=(3,)))
    code, (blocks,) = emulated(in_blocks(graph), graph, [g, i])
    assert code == 0
    for got in (*run_compiled(graph, [g, i]), blocks):
        assert np.abs(got.astype(np.float64) / (n // 3 * float(g[0, 0, 0])) - 1).max() <= BOUND[dtype]
