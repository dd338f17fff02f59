"""The samples of an op's declaration, as graphs and arrays that compiled code is held to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.ir import dtypes
from ingot.ir.builder import Builder
from ingot.ir.graph import Graph, Value
from ingot.ir.op import Op
from ingot.ir.ops import samples
from ingot.ir.types import tensor_type

Case = tuple[list[np.ndarray], Any]


def cases_of(op: Op) -> list[Case]:
    """(arrays, attributes) of each sample; there is one."""
    cases = [([_within(op.name, np.asarray(a)) for a in arrays], attrs) for arrays, attrs in samples.cases(op, np.random.default_rng(0))]
    assert cases, f"{op.name} has no samples"
    return cases


def graph_of_cases(op: Op, cases: Sequence[Case]) -> Graph:
    """The op on the inputs of each case: one graph."""
    b = Builder()
    out: list[Value] = []
    for arrays, attrs in cases:
        out += b.emit(op, tuple(b.input(tensor_type(dtypes.by_numpy(a.dtype), a.shape)) for a in arrays), attrs)
    return b.freeze(tuple(out))


def _within(name: str, a: np.ndarray) -> np.ndarray:
    """The documented range of the functions that have one (ir/elementary)."""
    if name in ("sin", "cos", "tan") and a.dtype == np.float64:
        return np.where(np.abs(a) > 2.0**50, 1.0, a)
    if name == "lgamma" and a.dtype == np.float64:
        return np.where(np.abs(a) < 1e-300, 0.5, a)
    return a
