"""`ingot.utils`: data loading, checkpointing."""

from ingot.utils import checkpoint, data, model_zoo

__all__ = ["checkpoint", "data", "model_zoo"]
