"""`SummaryWriter`: scalars, histograms, texts and images for TensorBoard, through its own package: `pip install ingot[tensorboard]`."""

from __future__ import annotations

from typing import Any

__all__ = ["SummaryWriter"]


def __getattr__(name: str) -> Any:
    """ImportError where the package is missing: scripts that can do without it catch that where they import the name."""
    if name != "SummaryWriter":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ingot.utils.tensorboard.writer import SummaryWriter, protocol

    protocol()
    return SummaryWriter
