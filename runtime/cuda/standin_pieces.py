"""What the stand-in of the driver is made of: streams of work, events, modules whose kernels run on the CPU, and graphs."""

from __future__ import annotations

import ctypes
import itertools
import json
import struct
from collections import deque
from collections.abc import Callable
from ctypes import c_int64, c_void_p
from typing import Any

from ingot.runtime.library import open_library

__all__ = ["Event", "Graph", "Kernel", "Module", "Stream", "Work"]

_MOST = 4096  # works that may wait in a stream

Work = Callable[[], Any]


class Stream:
    def __init__(self, device: int):
        self.device = device
        self.waiting: deque[Work] = deque()
        self.captured: Graph | None = None
        self.running = False

    def put(self, work: Work) -> None:
        self.waiting.append(work)
        if len(self.waiting) > _MOST:
            self.drain()

    def drain(self) -> None:
        """Do all that waits. What waits for an event of another stream has that stream work as far as there."""
        if self.running:
            return
        self.running = True
        try:
            while self.waiting:
                self.waiting.popleft()()
        finally:
            self.running = False


class Event:
    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.number = 0  # how often it was recorded
        self.done = 0  # and how often that was reached
        self.at = 0.0


class Kernel:
    def __init__(self, code: Any, told: list[Any]):
        self.code = code
        self.name, self.numbers, self.params, self.arena, self.worker = told
        self.allowed: dict[int, int] = {}  # what was set of its attributes

    def prepared(self, blocks: int, parameters: int) -> Work:
        """A launch, with its parameters copied from where the array at `parameters` points to."""
        n = len(self.numbers)
        values = [c_int64.from_address(c_void_p.from_address(parameters + 8 * k).value or 0).value for k in range(n + self.params + 1)]
        held = (c_int64 * len(values))(*values)
        base = ctypes.addressof(held)
        buffers = (c_void_p * max(n, 1))(*(base + 8 * k if number else values[k] for k, number in enumerate(self.numbers)))
        given = values[n : n + self.params]
        scratch = [self._bytes(need, given) for need in (self.arena, self.worker)]

        def work() -> None:
            memory = [ctypes.create_string_buffer(size + 64) for size in scratch]
            first, second = (-(-ctypes.addressof(m) // 64) * 64 for m in memory)
            self.code(buffers, ctypes.byref(held, 8 * n), None, c_void_p(first), c_void_p(second), c_void_p(values[-1]))

        return work

    @staticmethod
    def _bytes(need: list[Any], given: list[int]) -> int:
        total = need[0]
        for param, size in need[1:]:
            total += -(-given[param] * size // 64) * 64
        return total


class Module:
    def __init__(self, address: int):
        size = _image_size(address)
        image = ctypes.string_at(address, size)
        at = struct.unpack("<q", image[-8:])[0]
        self.handle, name = open_library(image[:at])
        library = ctypes.CDLL(name, handle=self.handle)
        self.kernels: dict[str, tuple[int, Kernel]] = {}
        self.library = library
        self.told = json.loads(image[at:-8])


def _image_size(address: int) -> int:
    """The size of an image: the ELF file says where it ends, and JSON and 8 bytes follow."""
    offset, count = struct.unpack("<Q", ctypes.string_at(address + 40, 8))[0], struct.unpack("<H", ctypes.string_at(address + 60, 2))[0]
    end = offset + 64 * count
    text = bytearray()
    for at in itertools.count(address + end):
        byte = ctypes.string_at(at, 1)
        text += byte
        if byte == b"\n":
            break
    return end + len(text) + 8


class Graph:
    """Nodes in the order in which they run; each holds its present work."""

    def __init__(self) -> None:
        self.nodes: list[tuple[int, Work]] = []
