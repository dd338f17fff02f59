"""Programs: numerics."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.interchange.programs.program import Program, S, draw

__all__ = ["numerics"]


def numerics() -> Iterator[Program]:
    unary = (
        "abs absolute arctan arcsinh cbrt ceil conj cos cosh deg2rad "
        "degrees exp exp2 expm1 fabs fix floor imag isfinite isinf isnan isneginf "
        "isposinf logical_not negative positive rad2deg radians real rint "
        "round sign signbit sin sinc sinh spacing sqrt square tan tanh trunc "
        "nan_to_num i0 angle frexp modf"
    )
    for n in unary.split():
        if hasattr(jnp, n):
            yield Program("numerics", n, getattr(jnp, n), draw(n, S))
    for n in "log log2 log10 log1p sqrt reciprocal".split():
        yield Program("numerics", f"{n}_pos", getattr(jnp, n), draw(n, ("f32", S, 0.1, 9)))
    for n in "arcsin arccos arctanh".split():
        yield Program("numerics", n, getattr(jnp, n), draw(n, ("f32", S, -0.95, 0.95)))
    yield Program("numerics", "arccosh", jnp.arccosh, draw("arccosh", ("f32", S, 1.1, 5)))
    for n in "exp log1p sin tanh sqrt abs floor negative square sign".split():
        for d in ("f16", "bf16"):
            yield Program("numerics", f"{n}_{d}", getattr(jnp, n), draw(n + d, (d, S, 0.1, 3)), tol=4e-3 if d == "f16" else 2e-2)
        yield Program("numerics", f"{n}_f64", getattr(jnp, n), draw(n, ("f64", S, 0.1, 3)), wide=True, tol=1e-12)
    binary = (
        "add subtract multiply divide true_divide maximum minimum fmax "
        "fmin arctan2 hypot logaddexp logaddexp2 copysign heaviside power fmod "
        "remainder mod floor_divide float_power nextafter equal not_equal "
        "greater greater_equal less less_equal logical_and logical_or logical_xor"
    )
    for n in binary.split():
        ends = (0.2, 3) if n in ("power", "float_power") else (-3, 3)
        yield Program("numerics", n, getattr(jnp, n), draw(n, ("f32", S, *ends), ("f32", (4,), *ends)))
    for n in "add subtract multiply floor_divide remainder maximum minimum power bitwise_and bitwise_or bitwise_xor gcd lcm".split():
        for d in ("i32", "u8", "i16", "u32"):
            low = 0 if n == "power" or d[0] == "u" else -9
            yield Program("numerics", f"{n}_{d}", getattr(jnp, n), draw(n + d, (d, S, low, 9), (d, S, 1 if n != "power" else 0, 5)))
    for n in "add subtract multiply floor_divide remainder left_shift right_shift bitwise_xor".split():
        for d in ("u64", "i64"):
            args = draw(n + d, (d, S), (d, S, 1, 60) if "shift" in n or n in ("floor_divide", "remainder") else (d, S))
            yield Program("numerics", f"{n}_{d}", getattr(jnp, n), args, wide=True)
    for (
        n
    ) in "abs add subtract multiply divide exp log sin cos tanh sqrt square conj real imag angle power tan sinh cosh expm1 log1p".split():
        args = draw(n + "c", ("c64", S), ("c64", S))
        yield Program(
            "numerics", f"{n}_c64", getattr(jnp, n), args if n in ("add", "subtract", "multiply", "divide", "power") else args[:1], tol=1e-4
        )
    special = "erf erfc expit digamma gammaln i0e i1 i1e log_ndtr ndtr logit entr".split()
    for n in special:
        ends = (0.05, 0.95) if n in ("logit", "entr") else (0.1, 4)
        tol = 1e-4 if n in ("digamma", "gammaln", "log_ndtr") else 2e-5
        yield Program("numerics", f"special_{n}", getattr(jax.scipy.special, n), draw(n, ("f32", S, *ends)), tol=tol)
    yield Program("numerics", "erfinv", jax.scipy.special.erfinv, draw("erfinv", ("f32", S, -0.95, 0.95)), tol=1e-4)
    yield Program("numerics", "ndtri", jax.scipy.special.ndtri, draw("ndtri", ("f32", S, 0.05, 0.95)), tol=1e-4)
    yield Program("numerics", "polygamma", lambda x: jax.scipy.special.polygamma(1, x), draw("pg", ("f32", S, 0.5, 4)), tol=1e-4)
    yield Program("numerics", "zeta", jax.scipy.special.zeta, draw("zeta", ("f32", S, 1.5, 4), ("f32", S, 1, 3)), tol=1e-4)
    yield Program(
        "numerics", "betainc", jax.scipy.special.betainc, draw("bi", ("f32", S, 0.5, 3), ("f32", S, 0.5, 3), ("f32", S, 0.1, 0.9)), tol=1e-3
    )
    yield Program("numerics", "gammainc", jax.scipy.special.gammainc, draw("gi", ("f32", S, 0.5, 3), ("f32", S, 0.5, 3)), tol=1e-3)
    yield Program("numerics", "xlogy", jax.scipy.special.xlogy, draw("xl", ("f32", S, 0, 3), ("f32", S, 0.5, 3)))
    yield Program("numerics", "clip", lambda x: jnp.clip(x, -1, 1), draw("clip", S))
    yield Program("numerics", "where", lambda x: jnp.where(x > 0, x, -2 * x), draw("where", S))
    yield Program("numerics", "reduce_precision", lambda x: lax.reduce_precision(x, 5, 10), draw("rp", ("f32", (50,), -70000, 70000)))
    yield Program("numerics", "reduce_precision_bf16", lambda x: lax.reduce_precision(x, 8, 7), draw("rpb", (50,)))
    yield Program("numerics", "round_away", lambda x: lax.round(x, 0), (np.array([0.5, 1.5, -2.5, -0.3, 2.49], np.float32),))
    yield Program("numerics", "clz", lax.clz, draw("clz", ("u32", (20,))))
    yield Program("numerics", "popcount", lax.population_count, draw("pop", ("i32", (20,))))
    yield Program("numerics", "popcount8", lax.population_count, draw("pop", ("u8", (20,))))
    shifts = np.array([0, 1, 5, 31, 32, 40], np.int32)
    for n in "shift_left shift_right_logical shift_right_arithmetic".split():
        yield Program("numerics", n, lambda x, s, n=n: getattr(lax, n)(x, s), (*draw(n, ("i32", (6,))), shifts))
    zeros = (np.array([7, -7, 5, 0, -(2**31)], np.int32), np.array([0, 2, -3, 0, -1], np.int32))
    yield Program("numerics", "div_edges", lax.div, zeros)
    yield Program("numerics", "rem_edges", lax.rem, zeros)
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e10, -1e10, 300.7, -5.5], np.float32)
    for d in ("int32", "uint8", "int8", "uint32", "bool", "float16", "bfloat16"):
        yield Program("numerics", f"convert_{d}", lambda x, d=d: lax.convert_element_type(x, d), (odd,))
    for n in "sign abs floor round isnan max min sort argsort argmax argmin cumsum nanmax nansum".split():
        yield Program("numerics", f"odd_{n}", getattr(jnp, n), (odd,))
    for a, b in (
        ("f32", "i32"),
        ("i32", "f32"),
        ("f32", "u8"),
        ("u64", "u32"),
        ("f64", "i32"),
        ("u32", "f64"),
        ("f32", "u32"),
        ("i16", "u64"),
    ):
        to = {"f": "float", "i": "int", "u": "uint"}[b[0]] + b[1:]
        args = draw(a + b, (a, (3, 4)) if a[0] != "f" else (a, (3, 2)))
        if a + b in ("u32f64", "i16u64"):
            args = tuple(
                np.asarray(x).reshape(3, 2, -1)[..., : 64 // int(a[1:])] if int(a[1:]) * 2 == 64 else np.tile(x[:, :1], (1, 4))
                for x in args
            )
        yield Program("numerics", f"bitcast_{a}_{b}", lambda x, to=to: lax.bitcast_convert_type(x, to), args, wide="64" in a + b)
