"""Values at infinities, signed zeros, and of nothing, where a scan beside torch found another one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot

INF = float("inf")
LOSSES = [
    ("smooth_l1_loss(x, y)", [INF, -INF, 1.0, 5.0], [1.0, 0.0, 1.5, 1.0]),
    ("huber_loss(x, y, delta=0.7)", [INF, -INF, 1.0, 5.0], [1.0, 0.0, 1.5, 1.0]),
]


@pytest.mark.parametrize("expr, x, y", LOSSES)
def test_gradients_beyond_the_square(expr: str, x: list, y: list) -> None:
    found = []
    for m in (ingot, torch):
        a = m.tensor(x, requires_grad=True)
        eval(f"m.nn.functional.{expr}", {"m": m, "x": a, "y": m.tensor(y)}).backward()
        found.append(a.grad.numpy())
    np.testing.assert_array_equal(*found)


def test_powers_of_two_at_infinity() -> None:
    x, e = [0.0, 1.0, 2.0, 3.0], [-INF, -INF, INF, -200.0]
    mine, theirs = (m.ldexp(m.tensor(x, dtype=m.float64), m.tensor(e, dtype=m.float64)) for m in (ingot, torch))
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_bounds_keep_the_sign_of_a_zero() -> None:
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        y = ingot.nn.functional.relu6(ingot.tensor([-0.0, 0.0, -1.0, 7.0], dtype=getattr(ingot, dtype)))
        assert y.signbit().tolist() == [True, False, False, False]
    assert ingot.nn.functional.hardtanh(ingot.tensor([-1, 1, 3])).tolist() == [-1, 1, 1]


def test_unique_of_slices_of_nothing() -> None:
    for m in (ingot, torch):
        with pytest.raises(RuntimeError, match="0 sized dimensions"):
            m.unique(m.zeros(0, 3), dim=1)
    assert tuple(ingot.unique(ingot.zeros(0, 3), dim=0).shape) == (0, 3)


RESULTS = [
    "m.arange(0, 3.1, dtype=m.uint8)", "m.arange(-0.9, 2.1, 2.0, dtype=m.int16)", "m.arange(0.0, -8.000001, -4.0, dtype=m.int32)",
    "m.arange(0, 3.1, dtype=m.int64)", "m.arange(0, 1, 0.5, dtype=m.int32)", "m.add(u, u, alpha=-3)", "m.sub(u, u, alpha=-1)",
    "u.index_add(0, m.tensor([1, 1]), u[:2], alpha=-1)", "m.addbmm(u[:, None], u.view(1, 3, 1), u[:1].view(1, 1, 1))",
    "m.tensordot(u.view(1, 3), u[:1].view(1, 1), ([1], [0]))", "m.logspace(4.3, 2, 3, 3.0, dtype=m.complex128)",
    "m.linalg.vander(m.tensor(3.0), N=3)", "m.nn.functional.softsign(c)", "m.nn.functional.tanhshrink(c)",
    "m.renorm(c.view(2, 2), 2, 0, 1.0)",
    "m.logsumexp(c, 0)", "m.ldexp(c, c)", "m.istft(c.view(2, 2).repeat(2, 1), 4, window=c, onesided=False, return_complex=True)",
]  # fmt: skip


@pytest.mark.parametrize("expr", RESULTS)
def test_dtypes_that_are_seldom_asked_for(expr: str) -> None:
    mine, theirs = (
        eval(expr, {"m": m, "u": m.tensor([200, 100, 3], dtype=m.uint8), "c": m.tensor([1 + 2j, 0.5j, -3 + 1j, 2 - 1j])})
        for m in (ingot, torch)
    )
    assert str(mine.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=2e-6)
