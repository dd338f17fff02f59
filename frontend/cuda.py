"""CUDA devices.

    device = "cuda" if ingot.cuda.is_available() else "cpu"

Tensors cannot live on a GPU yet, so there is none to be found; `ingot.backends.backend("cuda")` builds PTX without one.
"""

from __future__ import annotations

__all__ = ["is_available", "device_count"]


def is_available() -> bool:
    """Whether tensors can live on a CUDA device: `device_count() > 0`."""
    return device_count() > 0


def device_count() -> int:
    """How many CUDA devices tensors can live on: none, with or without a GPU in the machine."""
    return 0
