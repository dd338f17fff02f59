"""Ingot: PyTorch's vocabulary, compiled ahead of time."""

__version__ = "0.1.0"
