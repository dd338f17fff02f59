"""The elementary functions against a wider format: the greatest error in units of the last place, and special values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ingot.ir import elementary
from ingot.ir.dtypes import bf16, f32, f64, i8, i32, i64, u8
from ingot.ir.numpy_emitter import NumpyEmitter, evaluate
from ingot.ir.op import OPS
from ingot.ir.ops.transcendental import digamma as _  # noqa: F401  fills OPS

WIDE = {np.float32: np.float64, np.float64: np.longdouble}


def each(fn):
    """A function of Python floats, on arrays; poles and overflow give inf."""

    def one(x: float) -> float:
        try:
            return fn(x)
        except (ValueError, OverflowError):
            return math.nan if math.isnan(x) or x == -math.inf and fn is not math.lgamma else math.inf

    return lambda x: np.vectorize(one, otypes=[np.float64])(x.astype(np.float64))


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


REFERENCES = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "sigmoid": sigmoid, "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh,
    "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "rsqrt": lambda x: 1 / np.sqrt(x), "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "erf": each(math.erf), "erfc": each(math.erfc), "lgamma": each(math.lgamma),
}  # fmt: skip
# the greatest error allowed, in ulp: float32, float64
BOUNDS = {
    "exp": (1.5, 1.4), "exp2": (1.3, 1.5), "expm1": (1.6, 1.8), "sigmoid": (2.3, 2.3), "tanh": (2.4, 2.3), "sinh": (0.51, 1.9),
    "cosh": (0.51, 1.8), "log": (1.0, 1.3), "log2": (1.5, 1.5), "log10": (1.6, 1.6), "log1p": (1.5, 1.8), "asinh": (0.51, 2.3),
    "acosh": (0.51, 2.0), "atanh": (0.51, 2.0), "rsqrt": (1.5, 1.5), "sin": (1.6, 0.9), "cos": (1.6, 0.9), "tan": (0.9, 2.2),
    "asin": (0.51, 1.7), "acos": (0.51, 1.3), "atan": (1.3, 1.4), "erf": (1.5, 2.0), "erfc": (0.51, 4.0), "lgamma": (0.51, 4.0),
}  # fmt: skip


def samples(dtype: type, n: int) -> np.ndarray:
    """Every exponent, and more where functions are interesting."""
    rng = np.random.default_rng(0)
    width = np.dtype(dtype).itemsize * 8
    any_bits = rng.integers(0, 2**width, n, dtype=np.uint64).astype(f"u{width // 8}").view(dtype)
    middle = (rng.standard_normal(n) * np.exp2(rng.integers(-6, 9, n))).astype(dtype)
    near_one = (1 + rng.integers(-4000, 4000, n // 8) * np.finfo(dtype).eps).astype(dtype)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 2, 0.5, -0.5, np.finfo(dtype).max, np.finfo(dtype).tiny,
                        np.finfo(dtype).smallest_subnormal, -np.finfo(dtype).smallest_subnormal], dtype)  # fmt: skip
    return np.concatenate([any_bits, middle, near_one, special])


def ulps(got: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """The error of each element; inf where one is NaN or infinite and the other is not."""
    with np.errstate(all="ignore"):
        want = wide.astype(got.dtype)
        place = np.spacing(np.abs(np.where(np.isfinite(want), want, got.dtype.type(1)))).astype(wide.dtype)
        error = np.abs(got.astype(wide.dtype) - wide) / place
    error = np.where(np.isnan(got) | np.isnan(wide) | ~np.isfinite(want) | ~np.isfinite(got), np.inf, error)
    edge = np.isfinite(wide) & (np.abs(wide) > np.finfo(got.dtype).max * (1 - 2e-7)) & (np.abs(got) >= np.finfo(got.dtype).max * (1 - 2e-7))
    return np.where((got == want) | (np.isnan(got) & np.isnan(wide)) | edge, np.where(error < 1, error, 0), error)


@pytest.mark.parametrize("dtype", (np.float32, np.float64), ids=("f32", "f64"))
@pytest.mark.parametrize("name", BOUNDS)
def test_error(name, dtype):
    slow = name in ("erf", "erfc", "lgamma")
    x = samples(dtype, 20_000 if slow else 100_000 if dtype is np.float32 else 30_000)
    if name == "lgamma":
        if dtype is np.float64:
            pytest.skip("math.lgamma is no better than ours; see the test by absolute error")
        x = x[(x > 0) | (x == -np.inf) | np.isnan(x)]
    got = evaluate(getattr(elementary, name), x)
    assert got.dtype == dtype
    with np.errstate(all="ignore"):
        wide = REFERENCES[name](x.astype(WIDE[dtype]))
    error = ulps(got, np.asarray(wide))
    worst = int(error.argmax())
    bound = BOUNDS[name][dtype is np.float64] + (1 if slow and dtype is np.float64 else 0)  # math's functions err by up to one
    assert error[worst] <= bound, f"{name}({x[worst]!r}) = {got[worst]!r}, not {wide[worst]!r}: {error[worst]:.2f} ulp"
    zero = (got == 0) & (wide == 0)
    assert (np.signbit(got[zero]) == np.signbit(wide[zero])).all()


def test_the_hardest_angle():
    """The f64 closest to an odd multiple of pi/2 (Kahan): all of the reduction's bits count."""
    x = np.array([6381956970095103.0 * 2.0**797])
    assert evaluate(elementary.cos, x)[0] == -4.687165924254628e-19
    assert evaluate(elementary.sin, x)[0] == 1.0


@pytest.mark.parametrize("dtype", (np.float32, np.float64), ids=("f32", "f64"))
def test_gamma_functions_by_absolute_error(dtype):
    rng = np.random.default_rng(0)
    x = rng.uniform(-30, 40, 20_000).astype(dtype)
    x = x[np.abs(x - np.rint(x)) > 1e-3]
    eps = 8 * np.finfo(dtype).eps
    for name, reference in (("lgamma", each(math.lgamma)), ("digamma", lambda v: OPS["digamma"].ref(v.astype(np.float64)))):
        got, want = evaluate(getattr(elementary, name), x), reference(x)
        assert (np.abs(got - want) <= eps * np.maximum(1, np.abs(want)) * (1 if name == "lgamma" else 20)).all(), name
    for name, at, want in (("digamma", 0.0, -np.inf), ("digamma", -0.0, np.inf), ("digamma", -3.0, np.nan), ("digamma", np.inf, np.inf),
                           ("lgamma", 0.0, np.inf), ("lgamma", -2.0, np.inf), ("lgamma", np.inf, np.inf), ("lgamma", 1.0, 0.0),
                           ("lgamma", 2.0, 0.0)):  # fmt: skip
        np.testing.assert_equal(evaluate(getattr(elementary, name), dtype(at)), dtype(want))


EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 1e-300, 1e38, 2.0**53, 2.0**53 + 2, -(2.0**24) - 2]


@pytest.mark.parametrize("name, reference", (("pow", np.power), ("atan2", np.arctan2)))
@pytest.mark.parametrize("dtype", (np.float32, np.float64), ids=("f32", "f64"))
def test_functions_of_two(name, reference, dtype):
    rng = np.random.default_rng(0)
    edges = np.array(EDGES, np.float64).astype(dtype)
    a, b = (m.ravel() for m in np.meshgrid(edges, edges))
    n = 20_000
    x, y = samples(dtype, n)[:n], rng.permutation(samples(dtype, n))[:n]
    base = np.exp2(rng.uniform(-40, 40, n)).astype(dtype)
    exponent = (rng.uniform(-1, 1, n) * (100 if dtype is np.float32 else 900) / np.maximum(np.abs(np.log2(base)), 0.01)).astype(dtype)
    x, y = np.concatenate([a, x, base]), np.concatenate([b, y, exponent])
    got = evaluate(getattr(elementary, name), x, y)
    with np.errstate(all="ignore"):
        wide = reference(x.astype(WIDE[dtype]), y.astype(WIDE[dtype]))
        wide = np.where(np.isnan(reference(x, y)), np.nan, wide)
    error = ulps(got, wide)
    worst = int(error.argmax())
    assert error[worst] <= (1.5 if name == "atan2" else 0.7 if dtype is np.float64 else 0.6), (x[worst], y[worst], got[worst], wide[worst])
    zero = (got == 0) & (wide == 0)
    assert (np.signbit(got[zero]) == np.signbit(wide[zero])).all()


def test_exact_values():
    n = np.arange(-20, 21.0)
    for d in (np.float32, np.float64):
        assert (evaluate(elementary.exp2, n.astype(d)) == np.exp2(n)).all()
        assert (evaluate(elementary.log2, np.exp2(n).astype(d)) == n).all()
        assert evaluate(elementary.exp, d(0)) == 1 and evaluate(elementary.log, d(1)) == 0 and evaluate(elementary.cos, d(0)) == 1
    a, b = np.meshgrid(np.arange(1, 20.0), np.arange(-3, 12.0))
    assert (evaluate(elementary.pow, a, b) == a**b).all()


def test_only_the_closed_list_of_instructions():
    """The functions call nothing on the emitter but what `ir/instructions.py` lists."""
    from ingot.ir.instructions import INSTRUCTIONS

    used = set()

    class Spy(NumpyEmitter):
        def __getattribute__(self, name):
            if not name.startswith("_"):
                used.add(name.rstrip("_"))
            return super().__getattribute__(name)

    with np.errstate(all="ignore"):
        for name in elementary.__all__:
            for d in (np.float32, np.float64):
                x = np.array([0.5, 0.25], d)
                getattr(elementary, name)(Spy(), *([x, x] if name in ("pow", "atan2") else [x]))
    assert used <= set(INSTRUCTIONS) | {"const", "dtype"}


@pytest.mark.parametrize("name", ("exp", "tanh"))
def test_other_dtypes_are_refused(name):
    with pytest.raises(TypeError, match="f32 or f64, not i32"):
        evaluate(getattr(elementary, name), np.int32([1]))


# -- the emitter itself --


def test_instructions_at_their_edges():
    e = NumpyEmitter()
    i = np.array([7, -7, 7, -7, -128, 5], np.int8)
    by = np.array([2, 2, -2, -2, -1, 0], np.int8)
    assert e.div(i, by).tolist() == [3, -3, -3, 3, -128, 0]
    assert e.rem(i, by).tolist() == [1, -1, 1, -1, 0, 0]
    assert e.shr(np.array([-128, 64], np.int8), np.array([9, 1], np.int8)).tolist() == [-1, 32]
    assert e.shl(np.array([1, 1], np.int32), np.array([31, 32], np.int32)).tolist() == [-(2**31), 0]
    x = np.array([1e20, -1e20, np.nan, -1.9, 2147483647.5])
    assert e.cast(x, i32).tolist() == [2**31 - 1, -(2**31), 0, -1, 2**31 - 1]
    assert e.cast(x, u8).tolist() == [255, 0, 0, 0, 255]
    assert e.cast(np.array([1e20, -1e20]), i64).tolist() == [2**63 - 1, -(2**63)]
    assert e.cast(np.array([300], np.int32), i8).tolist() == [44]
    assert e.cast(np.array([1.00390625 + 1e-7]), bf16).astype(float).tolist() == [1.0078125]
    zeros = np.array([-0.0, 0.0], np.float32), np.array([0.0, -0.0], np.float32)
    assert not np.signbit(e.max(*zeros)).any() and np.signbit(e.min(*zeros)).all()
    assert np.isnan(e.max(np.float32([np.nan, 1]), np.float32([1, np.nan]))).all()


def test_fma_rounds_once():
    e = NumpyEmitter()
    for d, bits in ((f32, 23), (f64, 52)):
        t = d.numpy.type
        x = t(1 + 2.0**-bits)
        assert e.fma(np.array([x]), np.array([x]), np.array([-t(1 + 2.0 ** (1 - bits))]))[0] == t(2.0 ** (-2 * bits))
        tiny = np.finfo(d.numpy).smallest_subnormal
        assert e.fma(np.array([tiny]), np.array([t(0.5)]), np.array([tiny]))[0] == tiny * 2  # 1.5 rounds to even
        assert np.signbit(e.fma(np.array([-tiny]), np.array([tiny]), np.array([t(0)])))[0]



def test_fma_of_arrays_is_that_of_numbers():
    """Which is by integers: bit for bit, where products and sums overflow, underflow or cancel."""
    e, rng = NumpyEmitter(), np.random.default_rng(0)
    edge = np.array([0.0, -0.0, 1.0, np.inf, np.nan, 5e-324, 2.0**-1022, 1.7e308, -1.7e308, 1e-160, -1e160, 1 / 3, 2.0**-537, 1 + 2.0**-52])
    draws = [rng.standard_normal((3, 1000)) * 2.0 ** rng.integers(-p, p, (3, 1000)) for p in (3, 30, 300, 1000)]
    a, b, c = np.concatenate([np.array(np.meshgrid(edge, edge, edge)).reshape(3, -1), *draws], 1)
    with np.errstate(all="ignore"):
        for x, y, z in ((a, b, c), (a, b, -a * b)):
            both = e.fma(x, y, z), np.array([e.fma(*map(np.asarray, t)) for t in zip(x, y, z)])
            same = (both[0].view(np.int64) == both[1].view(np.int64)) | np.isnan(both[0]) & np.isnan(both[1])
            assert same.all(), [[v.hex() for v in t] for t in np.stack([x, y, z, *both], 1)[~same].tolist()]
    small = (float.fromhex(v) for v in ("-0x1.643598801d915p-569", "0x1.375831e990cf3p-452", "0x1.b137d423506c7p-1021"))
    assert e.fma(*(np.array([v]) for v in small))[0] == -5e-324  # the rest of a product that cancels is negative
