"""MKL, which is not used: code and threads are Ingot's own."""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """False: MKL is not used."""
    return False
