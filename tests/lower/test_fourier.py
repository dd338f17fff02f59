"""Fourier transforms by passes over columns: every way to cut a length, every table of roots, rows, columns and reals, at every edge."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
from ingot.functions import fourier
from ingot.functions.matrix_scans import _traced
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.cpu import cpu
from ingot.ir.lower.fourier import kind
from ingot.ir.lower.fourier.kind import Fourier
from ingot.ir.lower.fourier.plan import radices, roots, split
from ingot.ir.machine import Machine
from ingot.ir.struct import replace
from tests.support.calling import run_compiled, run_loops

AT = [s.name for s in STAGES].index("schedule") + 1
EPS = {"c8": 2.0**-24, "c16": 2.0**-53, "f4": 2.0**-24, "f8": 2.0**-53}


def numbers(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(len(shape))
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if dtype[0] == "c" else x).astype(dtype)


def transform(axis: int, inverse: bool = False):  # type: ignore[no-untyped-def]
    return lambda x: (fourier.apply("fft", x, attrs=(axis, inverse)),)


def wrong(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.abs(got - want) ** 2) / np.mean(np.abs(want) ** 2)))


def test_plans() -> None:
    for n in (*range(2, 200), 1 << 20, 30030, 13**4):
        found = radices(n)
        if found is None:
            assert any(n % p == 0 for p in range(17, n + 1) if all(p % q for q in range(2, p)))
            continue
        assert np.prod(found) == n and max(found) <= 13
        assert np.prod(split(n, 8)) == n
    k = np.arange(12)
    assert np.abs(np.exp(-2j * np.pi * k / 12) - sum(x * f for x, f in zip(roots(k, 12, -1), (1, 1j)))).max() < 4e-15
    assert roots(np.array([3, 6]), 12, 1)[0].tolist() == [0, -1]


@pytest.mark.parametrize("table", [1 << 12, 40, 0], ids=["one table", "two tables", "calculated"])
@pytest.mark.parametrize("cut", [(36, 1), (6, 6), (4, 9), (2, 18), (12, 3)], ids=str)
def test_every_cut_gives_the_same(cut: tuple[int, int], table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpreted: lanes that are not there hold anything."""
    monkeypatch.setattr(kind, "TABLE", table)
    x = numbers((3, 36), "c8")
    graph = _traced(transform(1, table == 40), "test", (ingot.tensor(x),))
    want = np.fft.ifft(x.astype("c16")) * 36 if table == 40 else np.fft.fft(x.astype("c16"))
    for machine in (Machine(16), Machine(64)):
        whole = run(graph, cpu(machine), STAGES[:AT])
        for apart in {False, cut[1] > 1}:
            s = Fourier(2, whole.schedules[0].width, cut, apart)
            s.verify(whole.fused.groups[0])
            (got,) = run_loops(graph, [x], run(replace(whole, schedules=(s,)), cpu(machine), STAGES[AT:]))
            assert wrong(got, want) < 4 * EPS["c8"], (machine, s)


@pytest.mark.parametrize("shape, axis", [
    ((17, 8), 1), ((33, 77), 1), ((2, 1000), 1), ((1, 1 << 14), 1), ((2, 6, 5), 1), ((2, 34, 3), 1), ((1, 4, 2), 0), ((5000, 3), 0),
], ids=str)  # fmt: skip
def test_rows_and_columns(shape: tuple[int, ...], axis: int) -> None:
    for dtype in ("c8", "c16"):
        x = numbers(shape, dtype)
        (got,) = run_compiled(_traced(transform(axis), "test", (ingot.tensor(x),)), [x])
        assert wrong(got, np.fft.fft(x.astype("c16"), axis=axis)) < 6 * EPS[dtype], dtype


@pytest.mark.parametrize("shape", [(1, 2), (17, 6), (33, 130)], ids=str)
def test_real_numbers(shape: tuple[int, ...]) -> None:
    for dtype in ("f4", "f8"):
        x = numbers(shape, dtype)
        half = np.fft.rfft(x.astype("f8")).astype("c8" if dtype == "f4" else "c16")
        noise = half + 1j * (np.arange(half.shape[1]) % (half.shape[1] - 1) == 0).astype(dtype)  # what would not be real is not read
        pairs = (
            (fourier._real_rows, x, half), (fourier._whole_rows, x, np.fft.fft(x.astype("f8"))),
            (fourier._rows_of_halves, noise, x * shape[1]),
        )  # fmt: skip
        for fn, given, want in pairs:
            (got,) = run_compiled(_traced(lambda x, fn=fn: (fn(x),), "test", (ingot.tensor(given),)), [given])
            assert wrong(got, want) < 6 * EPS[dtype], (fn, dtype)


def test_rows_are_counted_in_calls() -> None:
    @ingot.compile(dynamic=True)
    def f(x: ingot.Tensor) -> ingot.Tensor:
        return ingot.fft.ifft(ingot.fft.fft(x), dim=0)

    for b in (3, 40, 1):
        x = numbers((b, 24), "c8")
        assert wrong(f(ingot.tensor(x)).numpy(), np.fft.ifft(np.fft.fft(x), axis=0)) < 1e-6
