"""What users may set for the process: threads, kept memory, determinism."""

from __future__ import annotations

from ingot.runtime.memory import empty_cache, memory_stats
from ingot.runtime.threads import get_num_threads, set_num_threads

__all__ = [
    "get_num_threads", "set_num_threads", "empty_cache", "memory_stats", "use_deterministic_algorithms",
    "are_deterministic_algorithms_enabled", "is_deterministic_algorithms_warn_only_enabled",
]  # fmt: skip


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted for torch's sake: Ingot's results are the same bits on every run, whatever is set here.

    >>> ingot.use_deterministic_algorithms(True)
    """


def are_deterministic_algorithms_enabled() -> bool:
    """True: Ingot has no others.

    >>> ingot.are_deterministic_algorithms_enabled()
    True
    """
    return True


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """False: nothing is nondeterministic, so there is nothing to warn of.

    >>> ingot.is_deterministic_algorithms_warn_only_enabled()
    False
    """
    return False
