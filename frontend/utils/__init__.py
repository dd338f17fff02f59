"""`ingot.utils`: data loading, checkpointing, and what comes with them."""

from __future__ import annotations

import importlib
from typing import Any

from ingot._paths import below
from ingot.utils import checkpoint, data, model_zoo

__all__ = ["benchmark", "checkpoint", "cpp_extension", "data", "dlpack", "flop_counter", "model_zoo", "summary", "tensorboard"]


def __getattr__(name: str) -> Any:
    if name in (*__all__, "_pytree", "_python_dispatch"):
        return importlib.import_module(f"{__name__}.{name}")
    return below(__name__)(name)
