"""Programs: reductions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["reductions"]


def reductions() -> Iterator[Program]:
    for n in (
        "sum prod max min mean var std any all argmax argmin median nansum nanmax nanmean ptp count_nonzero cumsum cumprod cummax average"
    ).split():
        if not hasattr(jnp, n):
            continue
        for axis in (None, 0, -1):
            yield Program("reductions", f"{n}_{axis}", lambda x, n=n, a=axis: getattr(jnp, n)(x, axis=a), draw(n, (4, 5)))
    for n, d in (
        ("sum", "i32"),
        ("sum", "u8"),
        ("prod", "i16"),
        ("max", "u32"),
        ("min", "i8"),
        ("sum", "bf16"),
        ("mean", "f16"),
        ("max", "bf16"),
        ("any", "bool"),
        ("all", "bool"),
        ("sum", "bool"),
        ("sum", "c64"),
        ("prod", "c64"),
        ("argmax", "i32"),
        ("argmin", "u8"),
    ):
        yield Program(
            "reductions",
            f"{n}_{d}",
            lambda x, n=n: getattr(jnp, n)(x, axis=0),
            draw(n + d, (d, (5, 6))),
            tol=2e-2 if d in ("bf16", "f16") else 2e-5,
        )
    x = draw("red", (6, 7))[0]
    cases: dict[str, Callable] = {
        "logsumexp": lambda x: jax.scipy.special.logsumexp(x, 1),
        "softmax": lambda x: jax.nn.softmax(x, 0),
        "reduce_and": lambda x: lax.reduce_and((x > 0), (0,)),
        "reduce_xor": lambda x: lax.reduce_xor(x.astype(jnp.int32), (1,)),
        "reduce_general": lambda x: lax.reduce(x, 0.0, lambda a, b: a + b - a * b * 0.1, (0,)),
        "reduce_pair": lambda x: lax.reduce((x, x * 2), (0.0, 1.0), lambda a, b: (a[0] + b[0], a[1] * b[1]), (1,)),
        # what a region calls: a `where` is a function of its own
        "reduce_calls": lambda x: lax.reduce(x, -9.0, lambda a, b: jnp.where(a > b, a, b), (1,)),
        "reduce_calls_pair": lambda x: lax.reduce(
            (x, -x), (-9.0, 0.0), lambda a, b: (jnp.where(a[0] > b[0], a[0], b[0]), jnp.where(a[0] > b[0], a[1], b[1])), (0,)
        ),
        "window_calls": lambda x: lax.reduce_window(x, -9.0, lambda a, b: jnp.where(a > b, a, b), (2, 2), (1, 1), "VALID"),
        "scatter_calls": lambda x: x.at[jnp.array([0, 2, 2])].apply(lambda v: jnp.where(v > 0, v / 2, v - 1)),
        "reduce_or_int": lambda x: lax.reduce_or(x.astype(jnp.int32), (0,)),
        "percentile": lambda x: jnp.percentile(x, 30, axis=0),
        "quantile": lambda x: jnp.quantile(x, jnp.array([0.2, 0.7]), axis=1),
        "corrcoef": jnp.corrcoef,
        "cov": jnp.cov,
        "histogram": lambda x: jnp.histogram(x, bins=5)[0],
        "bincount": lambda x: jnp.bincount(jnp.abs(x.astype(int)).ravel(), length=5),
        "diff": lambda x: jnp.diff(x, axis=0),
        "trapezoid": lambda x: jnp.trapezoid(x, axis=1),
        "norm": jnp.linalg.norm,
        "norm1": lambda x: jnp.linalg.norm(x, 1),
        "digitize": lambda x: jnp.digitize(x, jnp.array([-1.0, 0, 1])),
        "cumlogsumexp": lambda x: lax.cumlogsumexp(x, 1),
        "cummin": lambda x: lax.cummin(x, 0),
        "cumsum_rev": lambda x: lax.cumsum(x, 1, reverse=True),
        "empty": lambda x: jnp.sum(x[:0], 0),
        "window_sum": lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 3), (1, 2), "VALID"),
        "window_max": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (3, 3), (2, 2), "SAME"),
        "window_min": lambda x: lax.reduce_window(x, jnp.inf, lax.min, (3, 2), (1, 1), ((1, 0), (0, 1))),
        "window_mul": lambda x: lax.reduce_window(x, 1.0, lax.mul, (2, 2), (1, 1), "VALID"),
        "window_dilated": lambda x: lax.reduce_window(
            x, 0.0, lax.add, (2, 2), (1, 1), "VALID", base_dilation=(2, 1), window_dilation=(1, 2)
        ),
        "window_logaddexp": lambda x: lax.reduce_window(x, -jnp.inf, jnp.logaddexp, (3, 1), (1, 1), "SAME"),
        "window_pair": lambda x: lax.reduce_window(
            (x, -x), (-jnp.inf, 0.0), lambda a, b: (lax.max(a[0], b[0]), a[1] + b[1]), (2, 3), (1, 1), "SAME"
        ),
        "window_int": lambda x: lax.reduce_window(x.astype(jnp.int32), 0, lax.add, (2, 2), (2, 2), "VALID"),
    }
    for n, fn in cases.items():
        yield Program("reductions", n, fn, (x,), tol=1e-4)
