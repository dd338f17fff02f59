"""Every scalar instruction for every dtype, on edge values, compiled for every level this machine runs, against NumPy."""

import itertools

import numpy as np
import pytest

from ingot.ir import dtypes
from ingot.ir.dtypes import REAL, Half
from ingot.ir.loop import index as ix
from ingot.ir.loop.interpret import run_kernel as interpret
from ingot.ir.loop.ir import Buffer, For, Kernel, Let, Load, Store
from ingot.ir.loop.verify import verify_kernel
from tests.support.calling import HOST_LEVELS, run_kernel
from tests.support.instructions import kernel_of


def edge_values(d):
    if d.kind == "b":
        return np.array([False, True])
    if d.kind == "f":
        tiny = float(np.finfo(d.numpy).tiny) if d not in Half else 2.0**-14 if d is dtypes.f16 else 2.0**-126
        big = 3e38 if d in (dtypes.f32, dtypes.bf16) else 65504.0 if d is dtypes.f16 else 1.7e308
        vals = [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 3.7, -3.7, 7.0, -0.75, 1e-3, 127.5, 255.0, 256.0, -128.0, 32768.0, 65535.5,
                2147483648.0, -2147483648.0, 4294967296.0, 9.3e18, -9.3e18, 1.9e19, big, -big, tiny, -tiny, tiny / 4, 8388607.5,
                1.0 + 2**-10, 3.1415926, np.inf, -np.inf, np.nan]  # fmt: skip
        with np.errstate(all="ignore"):
            return np.array(vals, np.float64).astype(d.numpy)
    lo, hi = (0, 2**d.bits - 1) if d.kind == "u" else (-(2 ** (d.bits - 1)), 2 ** (d.bits - 1) - 1)
    vals = {0, 1, 2, 3, 5, 7, 8, 10, 31, 33, 63, 64, 100, 127, hi, hi - 1, lo, lo + 1, hi // 3, hi // 2 + 1}
    if d.kind == "i":
        vals |= {-1, -2, -3, -7, -8, -100}
    return np.array(sorted(v for v in vals if lo <= v <= hi), dtype=d.numpy)


def same_bits(got, want):
    if dtypes.by_numpy(got.dtype).kind == "f":
        got, want = np.asarray(got), np.asarray(want)
        with np.errstate(invalid="ignore"):
            nan = np.isnan(got) & np.isnan(want)
        width = {2: np.uint16, 4: np.uint32, 8: np.uint64}[got.dtype.itemsize]
        return nan | (got.view(width) == want.view(width))
    return got == want


def denormal(x):
    """Where float32, or the bfloat16 in the high bits, is denormal."""
    bits = x.view(np.uint32)
    return (bits & 0x7F800000 == 0) & (bits & 0x7FFFFF != 0)


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("d", REAL, ids=str)
def test_every_instruction(d, level):
    values = edge_values(d)
    pairs = np.array(list(itertools.product(range(len(values)), repeat=2)))
    rng = np.random.default_rng(1)
    a, b = values[pairs[:, 0]], values[pairs[:, 1]]
    c, p = values[rng.integers(0, len(values), len(a))], rng.integers(0, 2, len(a)).astype(bool)
    if d.kind == "f" and d not in Half:  # ordinary numbers too
        extra = [(rng.standard_normal(300) * 10.0 ** rng.integers(-12, 12, 300)).astype(d.numpy) for _ in range(3)]
        a, b, c = (np.concatenate([x, e]) for x, e in zip((a, b, c), extra))
        p = np.concatenate([p, rng.integers(0, 2, 300).astype(bool)])
    want = None
    for kind in ("serial", "vector"):
        ops, kernel = kernel_of(d, kind, len(a))
        verify_kernel(kernel)
        out = [np.zeros(len(a), r.numpy) for _, _, r in ops]
        assert run_kernel(kernel, [a, b, c, p, *out], level=level) == 0
        if want is None:
            want = [np.zeros(len(a), r.numpy) for _, _, r in ops]
            interpret(kernel_of(d, "vector", len(a))[1], [a, b, c, p, *want])
        for (op, args, result), got, expected in zip(ops, out, want):
            ok = same_bits(got, expected)
            if op == "dot_halves" and level.machine.dot_halves:
                ok |= denormal(c) | denormal(expected) | np.any([denormal(x.view(np.uint32) << s) for x in (a, b) for s in (0, 16)], axis=0)
            if not ok.all():
                k = int(np.argmin(ok))
                operands = f"a={a[k]!r} b={b[k]!r} c={c[k]!r}"
                pytest.fail(f"{kind} {op}{args} -> {result}: {operands}: {got[k]!r}, want {expected[k]!r}; {(~ok).sum()} differ")


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("half", sorted(Half, key=str), ids=str)
def test_half_conversions_of_every_value(half, level):
    x = np.arange(65536, dtype=np.uint16).view(half.numpy)
    rng = np.random.default_rng(2)
    bits = x.astype(np.float32).view(np.uint32)
    # every value, the halfway points above them, and their neighbours; then random bits
    f = np.concatenate([bits, bits + np.uint32(0x1000), bits + 0x0FFF, bits + 0x1001, bits + 0x8000, bits + 0x7FFF, bits + 0x8001,
                        rng.integers(0, 2**32, 65536, dtype=np.uint32)]).astype(np.uint32).view(np.float32)  # fmt: skip
    v = ix.var("v")
    for kind in ("serial", "vector"):
        up = Kernel("up", (Buffer("x", half, "r"), Buffer("y", dtypes.f32, "w")), (), [For("v", ix.const(len(x)), kind, [
            Load("a", "x", v), Let("b", "cast", ("a",), dtypes.f32), Store("y", v, "b")], 16 if kind == "vector" else 1)])  # fmt: skip
        out = np.zeros(len(x), np.float32)
        run_kernel(up, [x, out], level=level)
        assert same_bits(out, x.astype(np.float32)).all()
        down = Kernel("down", (Buffer("x", dtypes.f32, "r"), Buffer("y", half, "w")), (), [For("v", ix.const(len(f)), kind, [
            Load("a", "x", v), Let("b", "cast", ("a",), half), Store("y", v, "b")], 16 if kind == "vector" else 1)])  # fmt: skip
        back = np.zeros(len(f), half.numpy)
        run_kernel(down, [f, back], level=level)
        with np.errstate(all="ignore"):
            ok = same_bits(back, f.astype(half.numpy))
        assert ok.all(), (f[~ok][:5], back[~ok][:5])
