"""What test_cache_syscalls.py runs under strace: one thing after the other, each between two markers in the trace.

    python traced.py FOLDER PREBUILT

INGOT_CACHE_DIR is FOLDER. A marker is a `stat` of a path that nobody has.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from ingot.runtime.cache import Cache
from tests.support import prebuilt

MARKER = "/ingot-marker/"


@contextlib.contextmanager
def marked(name: str) -> Iterator[None]:
    """The calls of the block, in the trace."""
    _mark(f"{name}/begin")
    yield
    _mark(f"{name}/end")


def _mark(name: str) -> None:
    with contextlib.suppress(OSError):
        os.stat(MARKER + name)


def main(folder: str, source: str) -> None:
    entries = prebuilt.load(source)
    prebuilt.use(Cache(folder), entries[0])
    prebuilt.use(Cache(folder), entries[0])  # everything is imported
    Cache(folder).put(entries[1].key, entries[1].data, 5.0)

    cache = Cache(folder)
    for name, e in (("first hit", entries[0]), ("hit", entries[1])):
        with marked(f"{name}: lookup"):
            found = cache.lookup(e.key)
        assert found is not None
        with marked(f"{name}: map"):
            exe = prebuilt.mapped(found)
        prebuilt.run(exe, e.scale)
    absent = next(f"{i:02x}" for i in range(256) if f"{i:02x}" not in {e.key[:2] for e in entries}) + "0" * 62
    with marked("miss: lookup"):
        assert cache.lookup(absent) is None
    with marked("put"):
        cache.put(entries[2].key, entries[2].data, 5.0)
    fresh = Cache(folder + "-fresh")
    with marked("first miss: lookup"):
        assert fresh.lookup(entries[0].key) is None
    with marked("first put"):
        fresh.put(entries[0].key, entries[0].data, 5.0)

    from ingot.runtime import compiler

    graphs = [prebuilt.make_graph(e.scale) for e in entries[:2]]
    compiler.pool_code()  # stored, if it was not
    for name, graph, e in zip(("first from a graph", "from a graph"), graphs, entries):
        with marked(name):
            exe = compiler.executable(graph)
        prebuilt.run(exe, e.scale)
    assert compiler.counts == {"cache": 2}, compiler.counts


if __name__ == "__main__":
    main(*sys.argv[1:])
