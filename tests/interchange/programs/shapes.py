"""Programs: shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax.numpy as jnp
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["shapes"]


def shapes() -> Iterator[Program]:
    x = draw("shapes", (2, 3, 4))[0]
    cases: dict[str, Callable] = {
        "reshape": lambda x: x.reshape(6, 4),
        "ravel": jnp.ravel,
        "transpose": jnp.transpose,
        "swapaxes": lambda x: jnp.swapaxes(x, 0, 2),
        "moveaxis": lambda x: jnp.moveaxis(x, 0, -1),
        "expand": lambda x: x[:, None],
        "squeeze": lambda x: x[:1].squeeze(0),
        "flip": lambda x: jnp.flip(x, (0, 2)),
        "roll": lambda x: jnp.roll(x, 2, 1),
        "rot90": lambda x: jnp.rot90(x, axes=(1, 2)),
        "tile": lambda x: jnp.tile(x, (2, 1, 3)),
        "repeat": lambda x: jnp.repeat(x, 3, 1),
        "pad": lambda x: jnp.pad(x, ((1, 2), (0, 1), (2, 0))),
        "pad_edge": lambda x: jnp.pad(x, 1, mode="edge"),
        "pad_reflect": lambda x: jnp.pad(x, 1, mode="reflect"),
        "pad_wrap": lambda x: jnp.pad(x, 1, mode="wrap"),
        "lax_pad": lambda x: lax.pad(x, 1.5, ((1, -1, 1), (0, 2, 0), (-1, 0, 2))),
        "concat": lambda x: jnp.concatenate([x, x + 1, x[:, :1]], 1),
        "stack": lambda x: jnp.stack([x, -x], 1),
        "split": lambda x: jnp.split(x, 2, 2),
        "array_split": lambda x: jnp.array_split(x, 3, 2),
        "broadcast": lambda x: jnp.broadcast_to(x, (5, 2, 3, 4)),
        "tril": jnp.tril,
        "triu": jnp.triu,
        "diag": lambda x: jnp.diagonal(x, axis1=1, axis2=2),
        "diagflat": lambda x: jnp.diag(x[0, 0]),
        "eye": lambda x: x + jnp.eye(3, 4),
        "arange": lambda x: x + jnp.arange(4),
        "linspace": lambda x: x + jnp.linspace(0, 1, 4),
        "meshgrid": lambda x: jnp.meshgrid(x[0, 0], x[0, :, 0]),
        "outer": lambda x: jnp.outer(x[0, 0], x[0, 1]),
        "kron": lambda x: jnp.kron(x[0], x[1]),
        "trace": lambda x: jnp.trace(x, axis1=1, axis2=2),
        "slice": lambda x: x[:, ::2, 1:3],
        "slice_back": lambda x: x[::-1, ::-2],
        "ellipsis": lambda x: x[..., 2],
        "mixed": lambda x: x[0, :, None, 1:],
        "iota": lambda x: x + lax.broadcasted_iota(jnp.float32, (2, 3, 4), 1),
        "vander": lambda x: jnp.vander(x[0, 0]),
        "hstack": lambda x: jnp.hstack([x, x]),
        "dstack": lambda x: jnp.dstack([x, x]),
        "zeros_like": lambda x: jnp.zeros_like(x) + jnp.ones_like(x),
        "full": lambda x: x + jnp.full((2, 3, 4), 2.5),
        "einsum_t": lambda x: jnp.einsum("abc->cb", x),
        "barrier": lambda x: lax.optimization_barrier((x, x + 1)),
        "rev": lambda x: lax.rev(x, (0, 1)),
        "select_n": lambda x: lax.select_n(x.astype(int) % 3, x, x + 1, x + 2),
        "empty": lambda x: x[:, :0] * 2,
        "collapse": lambda x: lax.collapse(x, 0, 2),
        "fill_diagonal": lambda x: jnp.fill_diagonal(x[0], 1.0, inplace=False),
    }
    for n, fn in cases.items():
        yield Program("shapes", n, fn, (x,))
