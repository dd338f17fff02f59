"""`ingot.cache`: what the compile cache did for this process. The folder itself is looked after by the command `ingot cache`.

    >>> ingot.cache.reset_stats()
    >>> ingot.cache.stats()["misses"]
    {}
"""

from __future__ import annotations

from typing import Any

from ingot.capture import RECOMPILES
from ingot.runtime import compiler
from ingot.runtime.cache import the_cache
from ingot.runtime.cache.store import default_folder

__all__ = ["folder", "reset_stats", "stats"]


def folder() -> str | None:
    """The folder of the writable layer; None where there is none and code is kept in memory.

    >>> ingot.cache.folder()
    '...'
    """
    return default_folder()


def stats() -> dict[str, Any]:
    """Counts of this process, as plain data.

    hits: by layer ("disk", "shared", "memory"); misses: by reason ("absent", "damaged", "untrusted", "unreadable");
    executables: where those that were asked for came from ("memory", "cache", "compiled") or "refused" because of frozen,
        and which of the latter were "interpreted"; kernels: of those that were compiled, how many kernels were "known" from other
        graphs, and how many "compiled";
    recompiles: by function (`fn.recompiles` of a compiled function counts its own by reason);
    stored, evicted: entries; saved_ms: compile time that hits saved.

    >>> sorted(ingot.cache.stats())
    ['evicted', 'executables', 'hits', 'kernels', 'misses', 'recompiles', 'saved_ms', 'stored']
    """
    counts = the_cache().counts

    def below(prefix: str) -> dict[str, int]:
        return {k[len(prefix) :]: v for k, v in sorted(counts.items()) if k.startswith(prefix)}

    return {
        "hits": below("hit."),
        "misses": below("miss."),
        "executables": dict(sorted(compiler.counts.items())),
        "kernels": dict(sorted(compiler.kernel_counts.items())),
        "recompiles": dict(sorted(RECOMPILES.items())),
        "stored": counts["put"],
        "evicted": counts["evicted"],
        "saved_ms": counts["saved_ms"],
    }


def reset_stats() -> None:
    """Start to count anew. What was counted so far still goes into the statistics of the folder (`ingot cache stats`).

    >>> ingot.cache.reset_stats()
    """
    the_cache().reset_counts()
    compiler.counts.clear()
    compiler.kernel_counts.clear()
    RECOMPILES.clear()
