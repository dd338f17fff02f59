"""Programs: indexing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["indexing"]


def indexing() -> Iterator[Program]:
    x, i, j = draw("idx", (5, 6, 4), ("i32", (3,), -5, 4), ("i32", (2, 3), 0, 5))
    one: dict[str, Callable] = {
        "take": lambda x, i, j: jnp.take(x, j, 1),
        "take_clip": lambda x, i, j: jnp.take(x, j + 3, 1, mode="clip"),
        "take_fill": lambda x, i, j: jnp.take(x, j + 3, 1, mode="fill"),
        "get": lambda x, i, j: x[i],
        "get_pair": lambda x, i, j: x[i, i],
        "get_mixed": lambda x, i, j: x[i, :, i],
        "get_middle": lambda x, i, j: x[:, j],
        "get_wide": lambda x, i, j: x[i[:2, None], j],
        "take_along": lambda x, i, j: jnp.take_along_axis(x, jnp.argsort(x, 1), 1),
        "scalar": lambda x, i, j: x[i[0]],
        "dyn": lambda x, i, j: lax.dynamic_slice(x, (i[0], j[0, 0], 1), (2, 3, 2)),
        "dyn_index": lambda x, i, j: lax.dynamic_index_in_dim(x, i[1], 1),
        "dyn_update": lambda x, i, j: lax.dynamic_update_slice(x, x[:2, :2, :2] * 9, (i[0], j[0, 0], 3)),
        "set": lambda x, i, j: x.at[i].set(1.5),
        "add": lambda x, i, j: x.at[i].add(2.0),
        "mul": lambda x, i, j: x.at[i].multiply(3.0),
        "max": lambda x, i, j: x.at[:, j].max(0.5),
        "min": lambda x, i, j: x.at[:, j].min(0.5),
        "add_pair": lambda x, i, j: x.at[i, :, i].add(1.0),
        "set_slice": lambda x, i, j: x.at[1:3, ::2].set(0),
        "add_slice": lambda x, i, j: x.at[:, 1].add(x[:, 0]),
        "apply": lambda x, i, j: x.at[i[:1]].apply(jnp.sin),
        "drop": lambda x, i, j: x.at[i + 4].set(7.0, mode="drop"),
        "get_drop": lambda x, i, j: x.at[i + 4].get(mode="fill", fill_value=9),
        "set_scalar": lambda x, i, j: x.at[2, 3, 1].set(i[0].astype(jnp.float32)),
        "segment_sum": lambda x, i, j: jax.ops.segment_sum(x, jnp.array([0, 2, 1, 0, 2]), 3),
        "segment_max": lambda x, i, j: jax.ops.segment_max(x, jnp.array([0, 2, 1, 0, 2]), 4),
        "one_hot": lambda x, i, j: jax.nn.one_hot(j, 6),
        "where_idx": lambda x, i, j: jnp.where(x > 0, x, 0)[i],
        "searchsorted": lambda x, i, j: jnp.searchsorted(jnp.sort(x[:, 0, 0]), x[0, :, 0]),
        "vmap_get": lambda x, i, j: jax.vmap(lambda r, k: r[k])(x[:3], i),
        "choose": lambda x, i, j: jnp.choose(j % 2, [j, -j], mode="clip"),
        "vmap_dyn": lambda x, i, j: jax.vmap(lambda r, k: lax.dynamic_slice(r, (k, 0), (2, 2)))(x[:3], i),
        "vmap_set": lambda x, i, j: jax.vmap(lambda r, k: r.at[k].set(0.0))(x[:3], i),
        "vmap_update": lambda x, i, j: jax.vmap(lambda r, k: lax.dynamic_update_slice(r, r[:2, :2] + 1, (k, 1)))(x[:3], i),
        "gather_bool": lambda x, i, j: (x > 0)[i],
        "scatter_int": lambda x, i, j: jnp.zeros(6, jnp.int32).at[j].add(1),
        "scatter_bool": lambda x, i, j: jnp.zeros(6, bool).at[j].set(True),
        "scatter_div": lambda x, i, j: x.at[jnp.array([0, 3])].divide(2.0),
        "unravel": lambda x, i, j: jnp.unravel_index(j, (2, 3)),
        "interp": lambda x, i, j: jnp.interp(x[0, 0], jnp.arange(4.0), x[1, 1]),
        "piecewise": lambda x, i, j: jnp.piecewise(x, [x < 0, x > 1], [lambda v: -v, lambda v: v * v, 3.0]),
        "window_scatter": lambda x, i, j: lax.scatter_add(
            x[:, :, 0], i[:, None], x[:3, :3, 1], lax.ScatterDimensionNumbers((1,), (0,), (0,))
        ),
        "window_outside": lambda x, i, j: lax.scatter(
            x[:, :, 0], jnp.array([[4, 5], [0, 1]]), jnp.ones((2, 2, 2)), lax.ScatterDimensionNumbers((1, 2), (), (0, 1))
        ),
        "gather_window": lambda x, i, j: lax.gather(x, i[:, None], lax.GatherDimensionNumbers((1, 2, 3), (), (1,)), (2, 3, 4)),
        "sub": lambda x, i, j: x.at[i].subtract(2.0),
        "gather_offset": lambda x, i, j: lax.gather(x, jnp.stack([i, i], 1), lax.GatherDimensionNumbers((0, 2), (1,), (0, 1)), (2, 1, 4)),
        "delete": lambda x, i, j: jnp.delete(x, 1, 0),
        "insert": lambda x, i, j: jnp.insert(x, 2, 5.0, axis=1),
        "compress": lambda x, i, j: jnp.compress(np.array([True, False, True]), x, 0, size=2),
        "power_at": lambda x, i, j: x.at[jnp.array([1, 2])].power(2.0),
    }
    for n, fn in one.items():
        yield Program("indexing", n, fn, (x, i, j))
    yield Program("indexing", "scatter_c64", lambda x, i: x.at[i].add(1j), draw("sc", ("c64", (5, 3)), ("i32", (4,), 0, 4)))
    yield Program("indexing", "index_u64", lambda x, i: x[i], draw("iu", (5, 3), ("u64", (4,), 0, 4)), wide=True)
    yield Program("indexing", "scatter_bf16", lambda x, i: x.at[i].add(x[:4]), draw("sb", ("bf16", (5, 3)), ("i32", (4,), 0, 4)), tol=3e-2)
