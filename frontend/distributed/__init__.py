"""Training in several processes: not available. A script that asks before it uses it runs in one process."""

from __future__ import annotations

import enum
import importlib
from collections.abc import Callable
from typing import Any, NoReturn

from ingot._refused import refused, refused_class

__all__ = [
    "all_gather", "all_reduce", "barrier", "broadcast", "destroy_process_group", "get_backend", "get_rank", "get_world_size",
    "init_process_group", "is_available", "is_gloo_available", "is_initialized", "is_mpi_available", "is_nccl_available", "ProcessGroup",
    "ReduceOp", "all_to_all", "is_torchelastic_launched", "new_group", "recv", "reduce", "reduce_scatter", "scatter", "send",
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


ONE_PROCESS = "training in several processes is not available; run the script as one process"


def _refused(name: str) -> Callable[..., NoReturn]:
    return refused(f"distributed.{name}", ONE_PROCESS)


all_gather, all_reduce, barrier, broadcast = _refused("all_gather"), _refused("all_reduce"), _refused("barrier"), _refused("broadcast")
destroy_process_group, get_backend, get_rank = _refused("destroy_process_group"), _refused("get_backend"), _refused("get_rank")
get_world_size, init_process_group = _refused("get_world_size"), _refused("init_process_group")
new_group, reduce = _refused("new_group"), _refused("reduce")
all_to_all, reduce_scatter, scatter = _refused("all_to_all"), _refused("reduce_scatter"), _refused("scatter")
send, recv, ProcessGroup = _refused("send"), _refused("recv"), refused_class("distributed.ProcessGroup", ONE_PROCESS)


def __getattr__(name: str) -> Any:
    if name not in ("device_mesh", "nn"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"ingot.distributed.{name}")
