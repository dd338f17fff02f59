"""`ao`: the path of `ao.quantization`."""

from __future__ import annotations

from ingot.ao import quantization

__all__ = ["quantization"]
