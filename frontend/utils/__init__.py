"""`ingot.utils`: data loading, checkpointing."""

from ingot.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
