"""Window functions against torch: lengths, symmetry, parameters, dtypes, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot

CASES = [
    ("bartlett", {}), ("blackman", {}), ("cosine", {}), ("exponential", {}), ("exponential", {"tau": 2.5}), ("gaussian", {}),
    ("gaussian", {"std": 0.7}), ("general_cosine", {"a": [0.4, 0.3, 0.2]}), ("general_cosine", {"a": (0.4,)}), ("general_hamming", {}),
    ("general_hamming", {"alpha": 0.7}), ("hamming", {}), ("hann", {}), ("kaiser", {}), ("kaiser", {"beta": 0.0}), ("kaiser", {"beta": 5}),
    ("nuttall", {}),
]  # fmt: skip


@pytest.mark.parametrize("name, options", CASES, ids=str)
def test_windows(name: str, options: dict) -> None:
    for m in (0, 1, 2, 3, 8, 51):
        for sym in (True, False):
            for dtype in ("float32", "float64"):
                got = getattr(ingot.signal.windows, name)(m, **options, sym=sym, dtype=getattr(ingot, dtype))
                want = getattr(torch.signal.windows, name)(m, **options, sym=sym, dtype=getattr(torch, dtype))
                tol = 2e-6 if dtype == "float32" else 1e-12
                assert got.dtype.torch_name == dtype and not got.requires_grad
                np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=tol, atol=tol)
    assert getattr(ingot.signal.windows, name)(4, **options, requires_grad=True).requires_grad
    assert getattr(ingot.signal.windows, name)(4, **options).dtype is ingot.float32


def test_the_center_of_a_periodic_window() -> None:
    got = ingot.signal.windows.exponential(6, center=1.5, tau=0.5, sym=False)
    np.testing.assert_allclose(got.numpy(), torch.signal.windows.exponential(6, center=1.5, tau=0.5, sym=False).numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "expr",
    [
        "hann(-1)", "hann(4, dtype=m.int32)", "kaiser(4, dtype=m.float16)", "kaiser(4, beta=-1)", "gaussian(4, std=0)",
        "exponential(4, tau=0)", "exponential(4, center=1)", "general_cosine(4, a=[])", "general_cosine(4, a=3)", "bartlett(-2)",
    ],
)  # fmt: skip
def test_errors(expr: str) -> None:
    for m in (torch, ingot):
        with pytest.raises(TypeError if "a=3" in expr else ValueError):
            eval(f"m.signal.windows.{expr}", {"m": m})
