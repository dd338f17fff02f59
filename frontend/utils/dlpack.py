"""Memory shared with other libraries, without a copy: the names of torch.utils.dlpack."""

from __future__ import annotations

from ingot.functions.dlpack import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
