"""Expressions over complex tensors, run in ingot and in torch on the same numbers: values, dtypes, gradients, second gradients."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import ingot

TOLERANCE = {"complex64": 4e-5, "float32": 4e-5, "complex128": 1e-9, "float64": 1e-9}


def numbers(shape: tuple[int, ...], dtype: str, seed: str = "x") -> np.ndarray:
    """Normal numbers, complex ones in all quadrants."""
    rng = np.random.default_rng(zlib.crc32(f"{seed}{shape}".encode()))
    x = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def array_of(t: Any) -> np.ndarray:
    return t.detach().resolve_conj().resolve_neg().numpy()


def dtype_of(t: Any) -> str:
    return str(t.dtype).split(".")[1]


def close(mine: Any, theirs: Any, tol: float, what: str) -> None:
    assert dtype_of(mine) == dtype_of(theirs), f"{what}: {mine.dtype}, torch has {theirs.dtype}"
    a, b = array_of(mine), array_of(theirs)
    assert a.shape == b.shape, f"{what}: {a.shape}, torch has {b.shape}"
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol, equal_nan=True, err_msg=what)


def _tensors(value: Any) -> list:
    return [t for v in value for t in _tensors(v)] if isinstance(value, (tuple, list)) else [value]


def _weighted(m: Any, outs: Sequence[Any]) -> Any:
    """A real sum in which every part of every number counts differently."""
    total: Any = 0
    for y in outs:
        if y.requires_grad:
            for part in (y.real, y.imag) if y.is_complex() else (y,):
                w = np.cos(np.arange(part.numel()) + 0.3).reshape(tuple(part.shape)).astype(dtype_of(part))
                total = total + (part * m.tensor(w)).sum()
    return total


def _gradients(m: Any, outs: Sequence[Any], ins: Sequence[Any], again: bool) -> list:
    loss = _weighted(m, outs)
    if isinstance(loss, int):
        return []
    return [g for g in m.autograd.grad(loss, ins, create_graph=again, allow_unused=True) if g is not None]


def compare(expr: str, arrays: dict[str, np.ndarray], grad: bool = True, twice: bool = False, room: float = 1.0) -> None:
    """`expr` over `m` and the named arrays, in both."""
    found = []
    for m in (ingot, torch):
        ins = {k: m.tensor(a) for k, a in arrays.items()}
        leaves = [t.requires_grad_() for t in ins.values() if grad and (t.is_floating_point() or t.is_complex())]
        results = [_tensors(eval(expr, {"m": m, "np": np, **ins}))]
        if grad:
            results.append(_gradients(m, results[0], leaves, twice))
        if twice:
            results.append(_gradients(m, results[1], leaves, False))
        found.append(results)
    tol = room * max(TOLERANCE.get(a.dtype.name, 4e-5) for a in arrays.values())
    for order, (mine, theirs) in enumerate(zip(*found)):
        assert len(mine) == len(theirs), f"{expr}: {len(mine)} results of order {order}, torch has {len(theirs)}"
        for i, (a, b) in enumerate(zip(mine, theirs)):
            close(a, b, tol * 5**order, f"{expr}: result {i} of order {order}")
