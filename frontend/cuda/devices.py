"""Which CUDA devices there are, which one is present, and what is known of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ingot._tensor import Tensor
from ingot._tensor import devices as places
from ingot.runtime.cuda import device as gpus
from ingot.runtime.cuda import driver

__all__ = [
    "can_device_access_peer", "current_device", "device", "device_count", "device_of", "get_arch_list", "get_device_capability",
    "get_device_name", "get_device_properties", "gpu", "init", "is_available", "is_bf16_supported", "is_initialized", "is_tf32_supported",
    "set_device",
]  # fmt: skip


def is_available() -> bool:
    """Whether tensors can live on a CUDA device: `device_count() > 0`."""
    return not driver.reason()


def device_count() -> int:
    """How many CUDA devices tensors can live on: none where there is no GPU, no driver, or no pycuda."""
    return 0 if driver.reason() else gpus.device_count()


def is_initialized() -> bool:
    """Whether this process has used CUDA."""
    return driver.in_use()


def init() -> None:
    """Use CUDA now. RuntimeError, with what to do about it, where that is impossible."""
    driver.the_driver()


def gpu(d: Any = None) -> gpus.Device:
    """What runs the device `d`: a number, a name, a device, or None for the present one. RuntimeError where there is none."""
    if d is None:
        return gpus.device()
    if isinstance(d, int) and not isinstance(d, bool):
        return gpus.device(d)
    found = d if isinstance(d, places.device) else places.device(d)
    if found.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {found}")
    return gpus.device(found.index)


def _index(d: Any) -> int | None:
    """The number of a device; None for what means none."""
    if d is None or isinstance(d, int) and d < 0:
        return None
    return gpu(d).index


def current_device() -> int:
    """The number of the present device.

    RuntimeError where there is none.
    """
    driver.the_driver()
    return gpus.current_index()


def set_device(device: Any) -> None:
    """Make a CUDA device the present one of this thread, on which tensors for "cuda" are made. A negative number means none."""
    index = _index(device)
    if index is not None:
        gpus.set_index(index)


class device:
    """A block in which a CUDA device is the present one; None and negative numbers change nothing."""

    def __init__(self, device: Any):
        self.idx = device if device is None or isinstance(device, int) else gpu(device).index

    def __enter__(self) -> None:
        index = _index(self.idx)
        self.prev_idx = -1 if index is None else gpus.set_index(index)

    def __exit__(self, *exc: Any) -> None:
        if self.prev_idx >= 0:
            gpus.set_index(self.prev_idx)


class device_of(device):
    """A block on the device of a tensor; it changes nothing for tensors elsewhere."""

    def __init__(self, obj: Any):
        super().__init__(obj.device.index if isinstance(obj, Tensor) and obj.is_cuda else None)


# of CUdevice_attribute, in the order of the fields
_ATTRIBUTES = (16, 39, 10, 97, 38)
_INTEGRATED = 18


class DeviceProperties(NamedTuple):
    """What is known of a device."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    max_threads_per_multi_processor: int
    warp_size: int
    shared_memory_per_block_optin: int
    L2_cache_size: int
    is_integrated: bool


def get_device_properties(device: Any = None) -> DeviceProperties:
    """Name, capability, memory and units of a device."""
    g = gpu(device)
    found = [g.attribute(n) for n in _ATTRIBUTES]
    known: Any = (g.told.name(), *g.told.compute_capability(), int(g.told.total_memory()), *found, bool(g.attribute(_INTEGRATED)))
    return DeviceProperties._make(known)


def get_device_name(device: Any = None) -> str:
    """The name of a device."""
    return str(gpu(device).told.name())


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of a device, such as (9, 0)."""
    major, minor = gpu(device).told.compute_capability()
    return major, minor


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one device reads the memory of another without the host."""
    from ctypes import byref, c_int

    a, b = gpu(device), gpu(peer_device)
    found = c_int()
    a.driver.cuDeviceCanAccessPeer(byref(found), a.index, b.index)
    return bool(found.value)


def get_arch_list() -> list[str]:
    """The architectures that code is made for; [] where there is no device."""
    return ["sm_80", "sm_90a"] if is_available() else []


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether CUDA devices compute in bfloat16."""
    return is_available() and get_device_capability() >= (8, 0)


def is_tf32_supported() -> bool:
    """Whether CUDA devices have products in TF32."""
    return is_available() and get_device_capability() >= (8, 0)
