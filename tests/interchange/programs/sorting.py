"""Programs: sorting."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax.numpy as jnp
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["sorting"]


def sorting() -> Iterator[Program]:
    for d in ("f32", "i32", "u8", "bf16", "f64", "u64", "bool", "c64", "f16", "i8"):
        yield Program("sorting", f"sort_{d}", jnp.sort, draw("s" + d, (d, (4, 9))), wide=d in ("f64", "u64"))
        if d != "c64":
            yield Program(
                "sorting",
                f"argsort_{d}",
                lambda x: jnp.argsort(x, axis=0),
                draw("a" + d, (d, (9, 4)) if d[0] == "f" or d == "bool" or d == "bf16" else (d, (9, 4), 0, 4)),
                wide=d in ("f64", "u64"),
            )
    x, k = draw("sorting", (4, 8), ("i32", (4, 8), 0, 3))
    cases: dict[str, Callable] = {
        "descending": lambda x, k: -jnp.sort(-x),
        "desc_arg": lambda x, k: jnp.argsort(x, descending=True),
        "lexsort": lambda x, k: jnp.lexsort((x, k)),
        "two_keys": lambda x, k: lax.sort((k, x), num_keys=2),
        "three": lambda x, k: lax.sort((k, k[:, ::-1], x), num_keys=3),
        "key_value": lambda x, k: lax.sort((k, x, -x), num_keys=1, dimension=0),
        "sort_key_val": lambda x, k: lax.sort_key_val(k, x),
        "top_k": lambda x, k: lax.top_k(x, 3),
        "top_k_int": lambda x, k: lax.top_k(k, 4),
        "median": lambda x, k: jnp.median(x, 1),
        "unique": lambda x, k: jnp.unique(k, size=4, fill_value=0),
        "unique_counts": lambda x, k: jnp.unique(k, size=4, return_counts=True, return_inverse=True),
        "nonzero": lambda x, k: jnp.nonzero(k[0], size=6, fill_value=0),
        "partition": lambda x, k: jnp.partition(x, 3),
        "argpartition": lambda x, k: jnp.sort(jnp.argpartition(x, 3)[:, :3]),
        "setdiff": lambda x, k: jnp.setdiff1d(k, jnp.array([1, 2]), size=4),
        "union": lambda x, k: jnp.union1d(k[0], k[1], size=4),
        "intersect": lambda x, k: jnp.intersect1d(k[0], k[1], size=3),
        "isin": lambda x, k: jnp.isin(k, jnp.array([0, 3])),
        "rank": lambda x, k: jnp.argsort(jnp.argsort(x)),
        "zeros": lambda x, k: jnp.sort(x * 0 * jnp.where(k > 1, 1, -1)),
        "approx_max": lambda x, k: jnp.sort(lax.approx_max_k(x, 3)[0]),
        "kth": lambda x, k: jnp.sort(x, axis=1)[:, 2],
        "searchsorted_right": lambda x, k: jnp.searchsorted(jnp.sort(x[0]), x[1], side="right"),
    }
    for n, fn in cases.items():
        yield Program("sorting", n, fn, (x, k))
