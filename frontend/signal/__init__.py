"""`ingot.signal`: window functions under torch's names."""

from __future__ import annotations

from ingot.signal import windows

__all__ = ["windows"]
