"""opt_einsum, which is not used: `einsum` finds the order of its products itself."""

from __future__ import annotations

__all__ = ["enabled", "is_available", "strategy"]

enabled, strategy = False, None


def is_available() -> bool:
    """False: it is not used."""
    return False
