"""Emulated devices, by the names of pycuda.driver that are used of it."""

from __future__ import annotations

__all__ = ["Context", "Device", "Namespace"]

_CONTEXTS = 0x100  # the handle of the first context


class Context:
    """The primary context of a device."""

    def __init__(self, index: int):
        self.handle = _CONTEXTS + index

    @staticmethod
    def of(handle: int) -> int:
        """The device of a context. KeyError for no context."""
        if not 0 <= handle - _CONTEXTS < 16:
            raise KeyError(handle)
        return handle - _CONTEXTS


class _Attributes:
    """As pycuda.driver.device_attribute has them."""

    MULTIPROCESSOR_COUNT = 16
    MAX_THREADS_PER_MULTIPROCESSOR = 39
    WARP_SIZE = 10
    MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97
    CLOCK_RATE = 13
    INTEGRATED = 18
    L2_CACHE_SIZE = 38


_VALUES = {16: 132, 39: 2048, 10: 32, 97: 227 << 10, 13: 1000, 18: 0, 38: 50 << 20}


class Device:
    """One of them."""

    def __init__(self, index: int, memory: int):
        self.index = index
        self._memory = memory

    def name(self) -> str:
        return "Emulated GPU"

    def compute_capability(self) -> tuple[int, int]:
        return 9, 0

    def total_memory(self) -> int:
        return self._memory

    def get_attribute(self, attribute: int) -> int:
        return _VALUES[attribute]

    def pci_bus_id(self) -> str:
        return f"0000:{self.index:02x}:00.0"

    def retain_primary_context(self) -> Context:
        return Context(self.index)


class Namespace:
    """What stands in the place of the module pycuda.driver."""

    device_attribute = _Attributes

    def __init__(self, count: int, limit: int):
        self.limit = limit  # bytes of memory of each
        self.count = count

    def Device(self, index: int) -> Device:
        return Device(index, self.limit)

    def device_count(self) -> int:
        return self.count
