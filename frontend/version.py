"""Which Ingot this is, and what it was made for."""

from __future__ import annotations

from ingot import __version__

__all__ = ["__version__", "cuda", "debug", "hip"]

cuda: str | None = None  # the CUDA that it was made with: none
hip: str | None = None
debug = False
