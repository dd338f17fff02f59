"""Programs of JAX, a module per kind. JAX is imported with them."""

from __future__ import annotations

import importlib
from typing import Any

KINDS = (
    "numerics", "narrow", "shapes", "layouts", "reductions", "indexing", "sorting", "linalg", "control", "random", "fourier", "gradients",
    "networks",
)  # fmt: skip


def programs(*kinds: str) -> list[Any]:
    """All of them, or those of some kinds."""
    return [p for k in kinds or KINDS for p in getattr(importlib.import_module(f"{__name__}.{k}"), k)()]
