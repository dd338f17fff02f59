"""Sums and products of many elements are as near to the exact ones as torch's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ingot.ir.op import OPS
from tests.support.calling import run_compiled
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
