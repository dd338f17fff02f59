"""Comparing an artifact's outputs with its golden samples.

At the level that made the samples the same code runs, and Ingot's results are the same bits on every machine and for
any number of threads: there every bit must agree. At another level sums are taken in another order: floating-point
outputs may differ by atol + rtol * |golden|, others not at all. NaN agrees with NaN, whatever its payload.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Agreement", "compare"]


class Agreement(NamedTuple):
    """How an output agrees with its golden sample: `error` is at most `allowed` where it does.

    `allowed` is 0 where the bits must agree, and `error` then the number of elements that do not; else it is 1, and
    `error` the largest difference, in units of what the tolerances allow.
    """

    name: str
    error: float
    allowed: float


def compare(name: str, got: np.ndarray, golden: np.ndarray, rtol: float, atol: float, exact: bool) -> Agreement:
    """How an output agrees. Arrays of the same dtype and shape."""
    if got.dtype.kind == "c":  # part by part
        part = np.dtype(f"f{got.dtype.itemsize // 2}")
        got, golden = (np.ascontiguousarray(a).reshape(-1).view(part) for a in (got, golden))
    if got.dtype.kind in "biu":
        return Agreement(name, float(np.count_nonzero(got != golden)), 0.0)
    if exact:
        word = np.dtype(f"u{got.dtype.itemsize}")
        with np.errstate(invalid="ignore"):
            same = (got.view(word) == golden.view(word)) | ((got != got) & (golden != golden))
        return Agreement(name, float(np.count_nonzero(~same)), 0.0)
    a, b = got.astype(np.float64), golden.astype(np.float64)
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        error = np.where(same, 0.0, np.abs(a - b) / (atol + rtol * np.abs(b)))
        error = np.where(np.isnan(error), np.inf, error)  # one of the two is NaN, or the golden one alone infinite
    return Agreement(name, float(np.max(error, initial=0.0)), 1.0)
