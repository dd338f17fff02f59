"""Questions about sizes, as code written for torch.export asks them: every size has a value here, and what is asked is watched."""

from __future__ import annotations

from typing import Any

__all__ = ["free_symbols", "free_unbacked_symbols", "guard_or_false", "guard_or_true", "is_concrete_int", "statically_known_true"]


def guard_or_false(a: Any) -> bool:
    """Whether it holds.

    >>> from ingot.fx.experimental.symbolic_shapes import guard_or_false
    >>> guard_or_false(ingot.ones(2).shape[0] == 2)
    True
    """
    return bool(a)


guard_or_true = statically_known_true = guard_or_false


def is_concrete_int(a: Any) -> bool:
    """Whether it is a plain int, and no size that a compiled function takes as it comes."""
    return type(a) is int


def free_unbacked_symbols(x: Any) -> set[Any]:
    """None: every size has a value."""
    return set()


free_symbols = free_unbacked_symbols
