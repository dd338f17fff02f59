"""CUDA devices.

    device = "cuda" if ingot.cuda.is_available() else "cpu"

Tensors cannot live on a GPU yet, so there is none to be found; `ingot.backends.backend("cuda")` builds PTX without one. What needs
none does what it says (there is nothing to wait for, to empty or to seed); what needs one is a RuntimeError.
"""

from __future__ import annotations

from typing import Any

from ingot.cuda import amp as amp
from ingot.cuda import memory as memory
from ingot.cuda import nvtx as nvtx
from ingot.cuda import random as random
from ingot.cuda.absent import NO_DEVICE, refused, refused_class
from ingot.cuda.memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
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

__all__ = [
    "amp", "can_device_access_peer", "current_device", "current_stream", "default_stream", "device", "device_count", "device_of",
    "empty_cache", "get_arch_list", "get_device_capability", "get_device_name", "get_device_properties", "get_rng_state",
    "get_rng_state_all", "init", "initial_seed", "ipc_collect", "is_available", "is_bf16_supported", "is_current_stream_capturing",
    "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_cached", "max_memory_reserved",
    "mem_get_info", "memory", "memory_allocated", "memory_cached", "memory_reserved", "memory_stats", "random",
    "reset_max_memory_allocated", "reset_max_memory_cached", "reset_peak_memory_stats", "seed", "seed_all", "set_device",
    "set_per_process_memory_fraction", "set_rng_state", "set_rng_state_all", "set_stream", "stream", "synchronize", "utilization",
    "CUDAGraph", "Event", "ExternalStream", "Stream", "StreamContext", "graph", "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor",
    "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor",
]  # fmt: skip

can_device_access_peer = refused("can_device_access_peer")
current_device = refused("current_device")
current_stream = refused("current_stream")
default_stream = refused("default_stream")
get_device_capability = refused("get_device_capability")
get_device_name = refused("get_device_name")
get_device_properties = refused("get_device_properties")
init = refused("init")
mem_get_info = refused("mem_get_info")
set_per_process_memory_fraction = refused("set_per_process_memory_fraction")
set_stream = refused("set_stream")
utilization = refused("utilization")
CUDAGraph, Event, ExternalStream = refused_class("CUDAGraph"), refused_class("Event"), refused_class("ExternalStream")
Stream, StreamContext, graph = refused_class("Stream"), refused_class("StreamContext"), refused_class("graph")
BFloat16Tensor, BoolTensor, ByteTensor = refused_class("BFloat16Tensor"), refused_class("BoolTensor"), refused_class("ByteTensor")
CharTensor, DoubleTensor, FloatTensor = refused_class("CharTensor"), refused_class("DoubleTensor"), refused_class("FloatTensor")
HalfTensor, IntTensor, LongTensor = refused_class("HalfTensor"), refused_class("IntTensor"), refused_class("LongTensor")
ShortTensor = refused_class("ShortTensor")
_initialized, default_generators = False, ()


def is_available() -> bool:
    """Whether tensors can live on a CUDA device: `device_count() > 0`."""
    return device_count() > 0


def device_count() -> int:
    """How many CUDA devices tensors can live on: none, with or without a GPU in the machine."""
    return 0


def is_initialized() -> bool:
    """False: there is no device."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether CUDA devices compute in bfloat16: False, there is none."""
    return False


def is_current_stream_capturing() -> bool:
    """False: there is no stream."""
    return False


def get_arch_list() -> list[str]:
    """The architectures of CUDA devices that tensors can live on: none."""
    return []


def synchronize(device: Any = None) -> None:
    """Wait for CUDA devices: there is none to wait for.

    >>> ingot.cuda.synchronize()
    """


def ipc_collect() -> None:
    """Give back memory that other processes share: there is none."""


def set_device(device: Any) -> None:
    """Make a CUDA device the present one: RuntimeError, unless `device` is negative, which means none."""
    if isinstance(device, int) and device < 0:
        return
    raise RuntimeError(f"cuda.set_device({device!r}): {NO_DEVICE}")


class device:
    """A block on a CUDA device: RuntimeError when it is entered, unless `device` is None or negative, which means none."""

    def __init__(self, device: Any):
        self.device = device

    def __enter__(self) -> None:
        if self.device is not None and not (isinstance(self.device, int) and self.device < 0):
            raise RuntimeError(f"cuda.device({self.device!r}): {NO_DEVICE}")

    def __exit__(self, *exc: Any) -> None:
        return None


class device_of(device):
    """A block on the device of a tensor: it does nothing, for tensors live on the CPU."""

    def __init__(self, obj: Any):
        super().__init__(None)


class stream:
    """A block on a stream: `None` means none, and there is no other."""

    def __init__(self, stream: Any):
        if stream is not None:
            raise RuntimeError(f"cuda.stream: {NO_DEVICE}")

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: Any) -> None:
        return None


def get_sync_debug_mode() -> int:
    """0: nothing warns of waiting for a device."""
    return 0


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Nothing: there is no device to wait for."""


def is_tf32_supported() -> bool:
    """False: there is no device."""
    return False


def memory_stats_as_nested_dict(device: Any = None) -> dict[str, Any]:
    """{}: as `memory_stats`."""
    return {}


def __getattr__(name: str) -> Any:
    from ingot.cuda.more import NAMES

    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return NAMES[name]
