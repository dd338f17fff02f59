"""One process of the cache's measurements: `python -m benchmarks.cache_child MODE WHAT N`.

MODE: `lookup` and `load` (WHAT: a key) and `executable` (a file with a graph's text) time a hit, first and N times again;
`jax` its persistent cache; `put` stores N entries like that of the key WHAT; `command` runs the command line WHAT of `ingot` (JSON).
Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

_now = time.perf_counter


def _peak_bytes() -> int:
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM"))


def _repeat(once: Callable[[], float], n: int) -> dict[str, Any]:
    """The first time, and n more."""
    return {"first": once(), "again": [once() for _ in range(n)]}


def _lookup(key: str, n: int) -> dict[str, Any]:
    from ingot.runtime.cache import the_cache

    def once() -> float:
        start = _now()
        found = the_cache().lookup(key)
        seconds = _now() - start
        if found is None:
            raise RuntimeError(f"{key} is not in the cache")
        found.close()
        return seconds

    return _repeat(once, n)


def _load(key: str, n: int) -> dict[str, Any]:
    from ingot.runtime.cache import the_cache
    from ingot.runtime.executable import Executable

    def once() -> float:
        start = _now()
        found = the_cache().lookup(key)
        if found is None or found.fd is None:
            raise RuntimeError(f"{key} is not in the cache")
        callable_ = Executable(found.fd, found.entry.manifest)
        found.close()
        seconds = _now() - start
        del callable_  # which unloads it
        return seconds

    return _repeat(once, n)


def _executable(path: str, n: int) -> dict[str, Any]:
    import ingot.ir.ops  # noqa: F401  # the text's operations
    from ingot.backends import backend
    from ingot.ir.text import parse
    from ingot.runtime import compiler

    backend("cpu")  # imported here, so that it is not counted
    with open(path, encoding="utf-8") as f:
        graph = parse(f.read())

    def once() -> float:
        start = _now()
        found = compiler.executable(graph)
        seconds = _now() - start
        del found
        compiler._executables.clear()  # which unloads it
        return seconds

    line = _repeat(once, n)
    if compiler.counts["compiled"] or compiler.counts["cache"] != n + 1:
        raise RuntimeError(f"not all were hits: {dict(compiler.counts)}")
    return line


def _jax(_: str, n: int) -> dict[str, Any]:
    import jax
    import numpy as np

    from benchmarks.contenders import Jax
    from benchmarks.jax_models import mlp_lowered

    contender = Jax()
    contender.load(int(os.environ["OMP_NUM_THREADS"]))
    x = np.zeros((1, 784), np.float32)

    def once() -> float:
        jax.clear_caches()
        lowered = mlp_lowered(x)
        start = _now()
        lowered.compile()
        return _now() - start

    return {**_repeat(once, n), "missed": not contender.hit()}


def _put(key: str, n: int) -> dict[str, Any]:
    import hashlib

    from ingot.runtime.cache import account, entry, the_cache  # noqa: F401  # imported here, so that it is not counted

    cache = the_cache()
    assert cache.own is not None
    with open(cache.own.path(key), "rb") as f:
        like = entry.parse(f.read())
    work = []
    for i in range(n):
        preimage = json.dumps({**like.preimage, "text": f"{os.getpid()} {i}"}).encode()
        new = hashlib.sha256(preimage).hexdigest()
        data = entry.pack(new, bytes(like.code), like.manifest, like.record, preimage, like.texts)
        start = _now()
        cache.put(new, data, 100.0)
        work.append(_now() - start)
    if cache.counts["put"] != n:
        raise RuntimeError(f"not all were stored: {dict(cache.counts)}")
    return {"work": work, "peak": _peak_bytes()}


def _command(text: str, _: int) -> dict[str, Any]:
    import ingot.runtime.artifact  # noqa: F401  # which every command imports; so is what comes next
    from ingot.runtime.cli import cache_verbs, main  # noqa: F401

    arguments = json.loads(text)
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    start = _now()
    code = main(arguments)
    sys.stdout.flush()
    seconds = _now() - start
    sys.stdout = out
    if code:
        raise RuntimeError(f"ingot {' '.join(arguments)}: exit code {code}")
    return {"work": seconds, "peak": _peak_bytes()}


_MODES: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "lookup": _lookup, "load": _load, "executable": _executable, "jax": _jax, "put": _put, "command": _command,
}  # fmt: skip

if __name__ == "__main__":
    mode, what, n = sys.argv[1:]
    print(json.dumps(_MODES[mode](what, int(n or 0))), flush=True)
