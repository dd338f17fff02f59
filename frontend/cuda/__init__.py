"""CUDA devices, by torch.cuda's names.

    device = "cuda" if ingot.cuda.is_available() else "cpu"

Where there is no device, what needs none does what it says (there is nothing to wait for, to empty or to seed); what needs one is a
RuntimeError that says why there is none: no driver, no GPU, no pycuda.
"""

from __future__ import annotations

from typing import Any

from ingot.cuda import amp as amp
from ingot.cuda import memory as memory
from ingot.cuda import nvtx as nvtx
from ingot.cuda import random as random
from ingot.cuda.devices import (
    can_device_access_peer,
    current_device,
    device,
    device_count,
    device_of,
    get_arch_list,
    get_device_capability,
    get_device_name,
    get_device_properties,
    init,
    is_available,
    is_bf16_supported,
    is_initialized,
    is_tf32_supported,
    set_device,
)  # fmt: skip
from ingot.cuda.graphs import CUDAGraph, graph, graph_pool_handle, is_current_stream_capturing, make_graphed_callables
from ingot.cuda.memory import (
    OutOfMemoryError,
    empty_cache,
    get_allocator_backend,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    memory_stats_as_nested_dict,
    memory_summary,
    reset_accumulated_memory_stats,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
)  # fmt: skip
from ingot.cuda.random import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)  # fmt: skip
from ingot.cuda.streams import (
    Event,
    ExternalStream,
    Stream,
    StreamContext,
    current_stream,
    default_stream,
    get_stream_from_external,
    set_stream,
    stream,
    synchronize,
)  # fmt: skip
from ingot.cuda.types import (
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
)  # fmt: skip

__all__ = [
    "amp", "can_device_access_peer", "current_device", "current_stream", "default_stream", "device", "device_count", "device_of",
    "empty_cache", "get_allocator_backend", "get_arch_list", "get_device_capability", "get_device_name", "get_device_properties",
    "get_rng_state", "get_rng_state_all", "get_stream_from_external", "get_sync_debug_mode", "graph", "graph_pool_handle", "init",
    "initial_seed", "ipc_collect", "is_available", "is_bf16_supported", "is_current_stream_capturing", "is_initialized",
    "is_tf32_supported", "make_graphed_callables", "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_cached",
    "max_memory_reserved", "mem_get_info", "memory", "memory_allocated", "memory_cached", "memory_reserved", "memory_stats",
    "memory_stats_as_nested_dict", "memory_summary", "nvtx", "random", "reset_accumulated_memory_stats", "reset_max_memory_allocated",
    "reset_max_memory_cached", "reset_peak_memory_stats", "seed", "seed_all", "set_device", "set_per_process_memory_fraction",
    "set_rng_state", "set_rng_state_all", "set_stream", "set_sync_debug_mode", "stream", "synchronize", "CUDAGraph", "Event",
    "ExternalStream", "OutOfMemoryError", "Stream", "StreamContext", "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor",
    "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor",
]  # fmt: skip


def ipc_collect() -> None:
    """Give back memory that other processes share: none is shared."""


def get_sync_debug_mode() -> int:
    """0: nothing warns of waiting for a device."""
    return 0


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Nothing: nothing warns of waiting for a device."""


def __getattr__(name: str) -> Any:
    if name == "_initialized":
        return is_initialized()
    if name == "default_generators":
        from ingot.runtime.random import of_device

        return tuple(of_device(i) for i in range(device_count()))
    from ingot.cuda.more import NAMES

    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return NAMES[name]
