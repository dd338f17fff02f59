"""Training in several processes: not available. A script that asks before it uses it runs in one process."""

from __future__ import annotations

import enum
import importlib
from typing import Any

from ingot._answering import answering, modules_below

__all__ = [
    "ReduceOp", "group", "is_available", "is_gloo_available", "is_initialized", "is_mpi_available", "is_nccl_available",
    "is_torchelastic_launched",
]  # fmt: skip


class ReduceOp(enum.Enum):
    """How torch combines what processes have; the functions that would are refused."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR, PREMUL_SUM, UNUSED = range(10)


def is_available() -> bool:
    """False.

    >>> ingot.distributed.is_available() and ingot.distributed.is_initialized()
    False
    """
    return False


def is_initialized() -> bool:
    """False."""
    return False


def _no(*args: Any) -> bool:
    return False


is_nccl_available = is_gloo_available = is_mpi_available = is_torchelastic_launched = _no


class group:
    """Holds `WORLD`, the group of all processes: None, as in torch before there is one."""

    WORLD = None


def __getattr__(name: str) -> Any:
    if name in modules_below("distributed"):
        return importlib.import_module(f"ingot.distributed.{name}")
    return answering("distributed", name)
