"""Programs made with JAX: functions and their arguments. Inputs are drawn from a seed that the name gives."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_platforms", "cpu")

__all__ = ["S", "Program", "draw"]


class Program(NamedTuple):
    """kind, name; fn and its arguments; wide: with 64-bit types; tol: how far results may be, relative to the largest."""

    kind: str
    name: str
    fn: Callable
    args: tuple
    wide: bool = False
    tol: float = 2e-5


def draw(name: str, *specs: Any) -> tuple:
    """Arrays: a spec is a shape, or (dtype, shape) with the dtype's name, or (dtype, shape, low, high); others are values as they are."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    out = []
    for s in specs:
        if isinstance(s, np.ndarray) or np.isscalar(s):
            out.append(s)
            continue
        dtype, shape, *ends = ("f32", s) if not s or not isinstance(s[0], str) else s
        low, high = ends or (-3, 3)
        if dtype == "bool":
            out.append(rng.random(shape) < 0.5)
        elif dtype[0] in "iu":
            kind = np.dtype({"i": "int", "u": "uint"}[dtype[0]] + dtype[1:])
            if not ends:
                info = np.iinfo(kind)
                out.append(rng.integers(info.min, info.max, shape, dtype=kind, endpoint=True))
            else:
                out.append(rng.integers(low, high, shape, endpoint=True).astype(kind))
        elif dtype[0] == "c":
            z = rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)
            out.append(z.astype(f"complex{dtype[1:]}"))
        else:
            kind = {"f16": np.float16, "f32": np.float32, "f64": np.float64, "bf16": jnp.bfloat16}[dtype]
            out.append(rng.uniform(low, high, shape).astype(np.float32 if dtype == "bf16" else kind).astype(kind))
    return tuple(out)


S = (3, 4)
