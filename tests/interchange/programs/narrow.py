"""Programs: numbers of few bits."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["narrow"]

FLOATS = (
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e5m2fnuz", "float8_e4m3fnuz", "float8_e3m4", "float8_e4m3",
    "float4_e2m1fn",
)  # fmt: skip


def narrow() -> Iterator[Program]:
    wide = draw("narrow", ("f32", (4, 50), -500, 500))
    for name in FLOATS:
        d = jnp.dtype(name)
        casts = lambda x, d=d: (x.astype(d).astype(jnp.float32), (x / 2000).astype(d).astype(jnp.float32))  # noqa: E731
        yield Program("narrow", f"cast_{name}", casts, wide)
        if name != "float4_e2m1fn":
            sums = lambda x, d=d: (x.astype(d) + x[::-1].astype(d) * x.astype(d)).astype(jnp.float32)  # noqa: E731
            yield Program("narrow", f"sum_{name}", sums, (wide[0] / 300,))
            flipped = lambda x, d=d: lax.bitcast_convert_type(x.astype(d), jnp.uint8) ^ jnp.uint8(1)  # noqa: E731
            bits = lambda x, d=d, f=flipped: lax.bitcast_convert_type(f(x), d).astype(jnp.float32)  # noqa: E731
            yield Program("narrow", f"bits_{name}", bits, (wide[0] / 300,))
    for name in ("int4", "uint4"):
        d = jnp.dtype(name)
        numbers = draw(name, ("i32", (4, 9), 0, 3) if name[0] == "u" else ("i32", (4, 9), -2, 1))
        yield Program("narrow", name, lambda x, d=d: (x.astype(d) * x[::-1].astype(d) + d.type(1)).astype(jnp.int32), numbers)
        moved = lambda x, d=d: jnp.sort(jnp.concatenate([x.astype(d), x.astype(d).T[:4, :1]], 1), 1).astype(jnp.int32)  # noqa: E731
        yield Program("narrow", f"{name}_moved", moved, numbers)
        compared = lambda x, d=d: (x.astype(d) > d.type(0), jnp.maximum(x.astype(d), d.type(1)).astype(jnp.int32))  # noqa: E731
        yield Program("narrow", f"{name}_compared", compared, numbers)
    yield Program(
        "narrow", "int4_weights", lambda a, w, s: a @ (w.astype(jnp.int4).astype(jnp.float32) * s),
        draw("weights", (3, 8), ("i32", (8, 5), -8, 7), (5,)),
    )  # fmt: skip
    yield Program(
        "narrow", "dot_f8",
        lambda a, b: lax.dot_general(
            a.astype(jnp.float8_e4m3fn), b.astype(jnp.float8_e5m2), (((1,), (0,)), ((), ())), preferred_element_type=jnp.float32
        ),
        draw("dot", (4, 5), (5, 3)), tol=1e-3,
    )  # fmt: skip
    yield Program("narrow", "reduce_precision", lambda x: lax.reduce_precision(x, 5, 2) + lax.reduce_precision(x, 8, 7), wide)
