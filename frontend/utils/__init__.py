"""`ingot.utils`: data loading."""

from ingot.utils import data

__all__ = ["data"]
