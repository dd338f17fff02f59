"""Emulated devices, by the names of pycuda.driver that are used of it."""

from __future__ import annotations

__all__ = ["ATTRIBUTES", "Context", "Device", "Namespace"]

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


# an H100's, by the numbers of CUdevice_attribute: multiprocessors, threads of each, of a warp, shared memory, integrated, second cache
ATTRIBUTES = {16: 132, 39: 2048, 10: 32, 97: 227 << 10, 18: 0, 38: 50 << 20}


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

    def pci_bus_id(self) -> str:
        return f"0000:{self.index:02x}:00.0"

    def retain_primary_context(self) -> Context:
        return Context(self.index)


class Namespace:
    """What stands in the place of the module pycuda.driver."""

    def __init__(self, count: int, limit: int):
        self.limit = limit  # bytes of memory of each
        self.count = count

    def Device(self, index: int) -> Device:
        return Device(index, self.limit)

    def device_count(self) -> int:
        return self.count
