"""`ingot.utils`: data loading, checkpointing, and what comes with them."""

from __future__ import annotations

import importlib
from typing import Any

from ingot._paths import below
from ingot.utils import checkpoint, data, model_zoo

__all__ = [
    "benchmark", "checkpoint", "cpp_extension", "data", "dlpack", "flop_counter", "model_zoo", "summary", "swap_tensors",
    "tensorboard",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "swap_tensors":
        from ingot.utils.swapping import swap_tensors

        return swap_tensors
    if name in (*__all__, "_pytree", "_python_dispatch"):
        return importlib.import_module(f"{__name__}.{name}")
    return below(__name__)(name)
