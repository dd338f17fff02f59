"""Real entries, compiled once for all tests: `f(x) = x * scale` for eight scales, so that a number tells whose code ran.

Imports no compiler where the entries are read from files: the processes that race do so.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
from typing import Any, NamedTuple

import numpy as np

from ingot.runtime import memory, threads
from ingot.runtime.cache import Cache
from ingot.runtime.cache.layer import Found
from ingot.runtime.executable import Executable

COUNT = 8
N = 16


class Prebuilt(NamedTuple):
    """A packed entry, and by what its code multiplies."""

    key: str
    data: bytes
    scale: float


def make_graph(scale: float, n: int = N, name: str = "") -> Any:
    """The graph of `x * scale`, x: f32[n]."""
    from tests.support.graphs import graph_of

    return graph_of([(n,)], lambda x: x * scale, name or f"scale{scale:g}")


@functools.cache
def entries() -> tuple[Prebuilt, ...]:
    """The entries, as the compiler puts them into a cache; the pool's code is loaded."""
    from ingot.runtime import compiler
    from ingot.runtime.cache import the_cache

    before = os.environ.get("INGOT_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INGOT_CACHE_DIR"] = os.path.join(folder, "cache")
        try:
            own, out = the_cache().own, []
            assert own is not None
            for i in range(COUNT):
                key = compiler.code_of(make_graph(i + 2.0)).key
                with open(own.path(key), "rb") as f:
                    out.append(Prebuilt(key, f.read(), i + 2.0))
            threads.start_pool(compiler.pool_code())
        finally:
            del os.environ["INGOT_CACHE_DIR"]
            if before is not None:
                os.environ["INGOT_CACHE_DIR"] = before
    return tuple(out)


def save(folder: str) -> None:
    """Write the entries, and the worker pool that runs them, for `load`."""
    table = []
    for e in entries():
        with open(os.path.join(folder, e.key), "wb") as f:
            f.write(e.data)
        table.append([e.key, e.scale])
    from ingot.runtime import compiler

    with open(os.path.join(folder, "pool"), "wb") as f:
        f.write(compiler.pool_code())
    with open(os.path.join(folder, "table.json"), "w") as f:
        json.dump(table, f)


def load(folder: str) -> list[Prebuilt]:
    """What `save` wrote; the pool's code is loaded."""
    with open(os.path.join(folder, "pool"), "rb") as f:
        threads.start_pool(f.read())
    with open(os.path.join(folder, "table.json")) as f:
        table = json.load(f)
    out = []
    for key, scale in table:
        with open(os.path.join(folder, key), "rb") as f:
            out.append(Prebuilt(key, f.read(), scale))
    return out


def run(exe: Executable, scale: float) -> None:
    """Run the code and compare: AssertionError with what came."""
    x = np.arange(N, dtype=np.float32)
    y = np.full(N, -1, np.float32)
    exe.run(memory.from_numpy(x).address, memory.from_numpy(y).address)
    assert (y == x * np.float32(scale)).all(), f"wrong numbers: {y} instead of {scale} * {x}"


def mapped(found: Found) -> Executable:
    """Map the found entry's code from its descriptor, as the compiler does, and close the descriptor."""
    try:
        if found.fd is not None:
            with contextlib.suppress(OSError):
                return Executable(found.fd, found.entry.manifest)
        return Executable(found.entry.code, found.entry.manifest)
    finally:
        found.close()


def run_found(found: Found, scale: float) -> None:
    """Map the code, run it and compare."""
    run(mapped(found), scale)


def use(cache: Cache, e: Prebuilt, claim: bool = False) -> bool:
    """What a process does with a key: run it, or put it there (alone, if it claims it first). Whether it was there."""
    found = cache.lookup(e.key)
    if found is None:
        with cache.claimed(e.key) if claim else contextlib.nullcontext(False) as again:
            found = cache.lookup(e.key) if again else None
            if found is None:
                cache.put(e.key, e.data, 5.0)
                return False
    run_found(found, e.scale)
    return True
