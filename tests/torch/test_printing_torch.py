"""Printing against torch's, character by character."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot

SAMPLES = [
    "m.tensor(1.5)", "m.tensor(3)", "m.tensor(True)", "m.tensor([1., 2., 3.])", "m.tensor([1.5, 2., -3.25])", "m.tensor([1e-5, 1.])",
    "m.tensor([1e10, 1.])", "m.tensor([1e9])", "m.tensor([float('nan'), 1., float('inf')])", "m.tensor([float('nan')])",
    "m.tensor([float('nan'), 1.5])", "m.tensor([0., -0.])", "m.tensor([])", "m.zeros(2, 0)", "m.zeros(2, 0, dtype=m.int32)",
    "m.tensor([], dtype=m.int64)", "m.ones(2, 3)", "m.ones(2, 3, 2)", "m.ones(2, 1, 2, 2)", "m.arange(12).reshape(3, 4)",
    "m.tensor([1, -20, 300])", "m.tensor([[True, False]])", "m.ones(2, dtype=m.float16)", "m.ones(2, dtype=m.bfloat16)",
    "m.tensor([1.1, 2.2], dtype=m.float64)", "m.ones(2, dtype=m.int32)", "m.ones(2, dtype=m.uint8)", "m.arange(1001)", "m.arange(2000.)",
    "m.arange(1000)", "m.ones(40, 40)", "m.arange(100.)", "m.arange(100.) / 7", "m.zeros(100, 100)", "m.ones(11, 11, 11)",
    "m.ones(2, 1001)", "m.tensor([0.1, 1234.5])", "m.tensor([0.0001, 0.01])", "m.tensor([0.00001])", "m.tensor([1e38, 1.0])",
    "m.tensor([123456789.])", "m.tensor([12345.678])", "m.tensor([1e-40])", "m.ones(2, requires_grad=True)",
    "m.ones(30, requires_grad=True)", "m.ones(2, 2, requires_grad=True)", "m.ones(24, dtype=m.float64)",
    "m.ones(25, dtype=m.float64, requires_grad=True)", "m.tensor(r)", "m.tensor(r * 1e6)", "m.tensor(r, dtype=m.bfloat16)",
    "m.tensor(r)[0]", "m.tensor(r).T", "m.tensor(2.5, dtype=m.float16)", "m.tensor([1., 2., float('-inf')])", "m.ones(3, 0, 2)",
    "m.tensor(1e-9)", "m.tensor(123456.0)", "m.arange(7 * 1001).reshape(7, 1001)", "m.tensor([[1.5], [-2.0]])", "m.tensor([-1., 2.])",
    "m.tensor([2**40, 1])", "m.tensor([255], dtype=m.uint8)",
]  # fmt: skip


@pytest.mark.parametrize("expr", SAMPLES)
@pytest.mark.parametrize(
    "options",
    [{}, dict(precision=2), dict(sci_mode=True), dict(sci_mode=False), dict(threshold=5, edgeitems=2), dict(linewidth=40)],
    ids=str,
)
def test_repr(expr: str, options: dict) -> None:
    r = np.linspace(-3, 11, 15).reshape(3, 5) ** 3
    torch.set_printoptions(profile="default")
    ingot.set_printoptions(profile="default")
    try:
        torch.set_printoptions(**options)
        ingot.set_printoptions(**options)
        want = repr(eval(expr, {"m": torch, "r": r})).replace("torch.", "ingot.")
        assert repr(eval(expr, {"m": ingot, "r": r})) == want
    finally:
        torch.set_printoptions(profile="default")
        ingot.set_printoptions(profile="default")


def test_grad_fn_and_format() -> None:
    x = ingot.ones(2, requires_grad=True)
    assert repr(x * 2) == repr(torch.ones(2, requires_grad=True) * 2)
    assert f"{ingot.tensor(1.23456):.2f}" == "1.23"
    assert str(ingot.tensor(2)) == "tensor(2)"
    assert f"{ingot.tensor(2.5)}" == f"{torch.tensor(2.5)}"
    assert f"{ingot.ones(2)}" == f"{torch.ones(2)}"


def test_dtypes_as_text():
    for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"):
        ours, theirs = getattr(ingot, name), getattr(torch, name)
        assert str(ours).split(".")[1] == str(theirs).split(".")[1] == f"{ours}".split(".")[-1]
