"""Programs: control."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["control"]


def control() -> Iterator[Program]:
    x, n = draw("control", (4, 3), ("i32", (), 3, 6))
    cases: dict[str, Callable] = {
        "scan": lambda x, n: lax.scan(lambda c, t: (c * 0.5 + t, c.sum()), x[0], x),
        "scan_rev": lambda x, n: lax.scan(lambda c, t: (c + t, c), x[0], x, reverse=True),
        "scan_length": lambda x, n: lax.scan(lambda c, _: (c * 1.1, c), x, None, length=5),
        "scan_tree": lambda x, n: lax.scan(lambda c, t: ({"a": c["a"] + t, "b": c["b"] + 1}, (t, c["b"])), {"a": x[0], "b": 0}, x),
        "scan_unroll": lambda x, n: lax.scan(lambda c, t: (c + t, c), x[0], x, unroll=2),
        "fori": lambda x, n: lax.fori_loop(0, 5, lambda i, c: c + i, x),
        "fori_dyn": lambda x, n: lax.fori_loop(0, n, lambda i, c: c * 1.5 + i, x),
        "fori_start": lambda x, n: lax.fori_loop(2, 9, lambda i, c: c.at[i % 4].add(i), x),
        "while": lambda x, n: lax.while_loop(lambda c: c.sum() < 100, lambda c: c * 1.3 + 1, x),
        "while_pair": lambda x, n: lax.while_loop(lambda c: (c[0] < n) & (c[1].sum() < 500), lambda c: (c[0] + 1, c[1] * 2), (0, x)),
        "cond": lambda x, n: lax.cond(x[0, 0] > 0, lambda v: v + 1, lambda v: v - 1, x),
        "cond_n": lambda x, n: lax.cond(n > 4, jnp.sin, jnp.cos, x),
        "switch": lambda x, n: lax.switch(n - 3, [lambda v: v, lambda v: -v, lambda v: v * v, jnp.exp], x),
        "switch_out": lambda x, n: lax.switch(n + 5, [lambda v: v, lambda v: -v], x),
        "map": lambda x, n: lax.map(lambda r: jnp.outer(r, r), x),
        "assoc": lambda x, n: lax.associative_scan(jnp.add, x),
        "assoc_mul": lambda x, n: lax.associative_scan(lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (x, x * 0.5), axis=1),
        "nested": lambda x, n: lax.scan(lambda c, t: (lax.fori_loop(0, 3, lambda i, u: u + t * i, c), c), x[0], x),
        "grad_scan": lambda x, n: jax.grad(lambda v: lax.scan(lambda c, t: (jnp.tanh(c + t), c), v[0], v)[0].sum())(x),
        "grad_cond": lambda x, n: jax.grad(lambda v: lax.cond(n > 3, lambda u: (u**2).sum(), lambda u: u.sum(), v))(x),
        "vmap_while": lambda x, n: jax.vmap(lambda r: lax.while_loop(lambda c: c.sum() < 20, lambda c: c * 2 + 1, r))(jnp.abs(x)),
        "vmap_cond": lambda x, n: jax.vmap(lambda r: lax.cond(r[0] > 0, jnp.sin, jnp.cos, r))(x),
        "newton": lambda x, n: lax.fori_loop(0, 20, lambda i, y: 0.5 * (y + jnp.abs(x) / y), jnp.ones_like(x)),
        "jit_inner": lambda x, n: jax.jit(lambda v: jax.jit(jnp.sin)(v) + 1)(x),
        "checkpoint": lambda x, n: jax.grad(lambda v: jax.checkpoint(lambda u: jnp.sin(jnp.sin(u)))(v).sum())(x),
        "custom_jvp": lambda x, n: jax.nn.relu(x),
        "fori_matmul": lambda x, n: lax.fori_loop(0, 4, lambda i, c: c @ (x.T @ x) * 0.1, x),
        "scan_index": lambda x, n: lax.scan(lambda c, i: (c + x[i], x[i] * c), x[0], jnp.arange(4)),
        "collatz": lambda x, n: lax.while_loop(
            lambda s: s[0] != 1, lambda s: (jnp.where(s[0] % 2 == 0, s[0] // 2, 3 * s[0] + 1), s[1] + 1), (n * 7, 0)
        ),
        "scan_empty": lambda x, n: lax.scan(lambda c, t: (c + t, t), x[0], x[:0]),
        "scan_one": lambda x, n: lax.scan(lambda c, t: (c + t, t), x[0], x[:1]),
        "fori_none": lambda x, n: lax.fori_loop(5, 5, lambda i, c: c + 1, x),
        "while_none": lambda x, n: lax.while_loop(lambda c: c.sum() > 1e9, lambda c: c + 1, x),
        "two_carries": lambda x, n: lax.fori_loop(0, 6, lambda i, c: (c[1], c[0] + c[1]), (x, x + 1)),
        "bisect": lambda x, n: lax.while_loop(
            lambda s: s[1] - s[0] > 1e-3,
            lambda s: (
                jnp.where((s[0] + s[1]) ** 2 / 4 < 2, (s[0] + s[1]) / 2, s[0]),
                jnp.where((s[0] + s[1]) ** 2 / 4 < 2, s[1], (s[0] + s[1]) / 2),
            ),
            (jnp.float32(0), jnp.float32(2)),
        ),
        "fori_down": lambda x, n: lax.while_loop(lambda s: s[0] > 0, lambda s: (s[0] - 1, s[1] + s[0]), (6, x)),
        "cumulative": lambda x, n: lax.scan(lambda c, t: (jnp.maximum(c, t), jnp.maximum(c, t)), jnp.full(3, -jnp.inf), x),
        "hessian_scan": lambda x, n: jax.hessian(lambda v: lax.scan(lambda c, t: (c * v.sum(), None), 1.0, None, length=3)[0])(x[0]),
        "map_batch": lambda x, n: lax.map(lambda r: r.sum(), x, batch_size=2),
        "cond_tuple": lambda x, n: lax.cond(x[1, 1] > 0, lambda: (x, x.sum()), lambda: (x * 2, x.max())),
        "select_loop": lambda x, n: lax.fori_loop(0, 8, lambda i, c: jnp.where(i % 2 == 0, c + i, c * 1.01), x),
        "rnn": lambda x, n: lax.scan(lambda h, t: (jnp.tanh(h @ (x.T @ x) + t),) * 2, jnp.zeros(3), x),
    }
    for name, fn in cases.items():
        yield Program("control", name, fn, (x, n), tol=1e-4)
