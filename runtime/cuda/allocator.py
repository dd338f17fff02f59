"""Memory of a GPU: size classes, as `runtime/memory.py` has them for the host, with free blocks kept for each stream.

A buffer that is let go of is free at once for what follows on its stream, since that runs afterwards. Used on another one as well
(`Buffer.used_on`), it is free when that has come as far, which an event tells. Where the GPU has no memory left, what is free is given
back, and asked for once more; then OutOfMemoryError tells who has it.
"""

from __future__ import annotations

import threading
import weakref
from ctypes import byref, c_size_t, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

import numpy as np

from ingot.runtime import memory
from ingot.runtime.cuda.driver import OutOfMemoryError

if TYPE_CHECKING:
    from ingot.runtime.cuda.device import Device, Stream

__all__ = ["PINNED", "DeviceBuffer", "Pool", "pinned"]

_SMALL = 1 << 20  # what is less is carved from
_SLAB = 2 << 20
_STEP = 512  # bytes that small classes are apart at least
_DISABLE_TIMING = 2


class DeviceBuffer(memory.Buffer):
    """Memory of a GPU, freed when the last reference goes. `pool` and `stream`: whose it is, and where it was first used."""

    __slots__ = ("pool", "stream", "size", "others")

    def __init__(self, address: int, nbytes: int, size: int, pool: Pool | None, stream: Stream | None, owner: Any = None):
        self.address = address
        self.nbytes = nbytes
        self._release = None
        self.owner = owner
        self.pool = pool
        self.stream = stream
        self.size = size
        self.others: set[Stream] | None = None

    def __del__(self) -> None:
        if self.pool is not None:
            self.pool.release(self)

    @property
    def writable(self) -> bool:
        return True

    @property
    def shared(self) -> bool:
        """Whether others see it, or a graph works in it: then what is written to its tensor is written here."""
        pool = self.pool
        if pool is None:
            return True
        return bool(pool.shared) and self.address in pool.shared or self.gpu.stream().capture is not None

    def share(self) -> None:
        """From now on others see it, for as long as it lives."""
        if self.pool is not None:
            self.pool.shared.add(self.address)

    def used_on(self, stream: Stream) -> None:
        """Note that work on another stream reads or writes it."""
        if stream is not self.stream:
            if self.others is None:
                self.others = set()
            self.others.add(stream)

    def array(self, dtype: Any, shape: Any) -> np.ndarray:
        """A copy of what it holds, in the host's memory, once all that was put into the present stream is done."""
        out = np.empty(shape, dtype)
        self.read(out.ctypes.data, out.nbytes)
        return out

    def read(self, address: int, nbytes: int) -> None:
        """Copy it to the host. Raises what failed on the way to its value."""
        gpu = self.gpu
        stream = gpu.stream()
        gpu.enter()
        if nbytes:
            gpu.driver.cuMemcpyDtoHAsync_v2(address, self.address, nbytes, stream.handle)
        stream.synchronize()

    def overwrite(self, source: DeviceBuffer) -> None:
        """Copy what another buffer of the device holds, in the present stream."""
        gpu = self.gpu
        gpu.enter()
        if self.nbytes:
            gpu.driver.cuMemcpyAsync(self.address, source.address, self.nbytes, gpu.stream().handle)

    def write(self, address: int, nbytes: int) -> None:
        """Copy from the host, in the present stream."""
        gpu = self.gpu
        gpu.enter()
        if nbytes:
            gpu.driver.cuMemcpyHtoDAsync_v2(self.address, address, nbytes, gpu.stream().handle)

    @property
    def gpu(self) -> Device:
        """The device that has it."""
        assert self.stream is not None
        return self.stream.device

    def __repr__(self) -> str:
        return f"DeviceBuffer({self.address:#x}, {self.nbytes} bytes of cuda:{self.gpu.index})"


_SIZES: dict[int, int] = {}  # classes by bytes


def _class(nbytes: int) -> int:
    """The size of the class that holds `nbytes`."""
    if nbytes <= 4 * _STEP:
        return max(_STEP, -(-nbytes // _STEP) * _STEP)
    power = 1 << ((nbytes - 1).bit_length() - 1)
    step = max(power >> 2 if nbytes <= _SMALL else power >> 3, _STEP)
    return -(-nbytes // step) * step


class _Held:
    """Blocks that a graph works in; they are free when this is let go of."""

    def __init__(self, pool: Pool):
        self.pool = pool
        self.blocks: list[tuple[int, int, int]] = []  # address, class, stream

    def __del__(self) -> None:
        with self.pool.lock:
            for address, size, stream in self.blocks:
                self.pool._blocks(stream, size).append(address)


class Pool:
    """The memory of one device."""

    def __init__(self, gpu: Device):
        self.gpu = gpu
        self.lock = threading.RLock()  # a buffer may be collected in the middle of an allocation
        self.free: dict[tuple[int, int], list[int]] = {}  # by stream and class
        self.segments: dict[int, tuple[int, int, int]] = {}  # address: bytes, stream, class of the blocks in it
        self.shared: set[int] = set()  # addresses of buffers that others see
        self.waiting: list[tuple[int, int, int, list[int]]] = []  # address, class, stream; events of others
        self.held: list[_Held] = []  # what is let go of while graphs are captured
        self.captured: dict[int, weakref.ref[_Held]] = {}  # what was allocated meanwhile, and for which
        self.limit: float = float("inf")  # bytes that may be reserved
        self.allocated = self.allocated_peak = self.requested = self.reserved = self.reserved_peak = 0  # bytes
        self.allocations = self.frees = self.total = self.peak_of_segments = self.retries = self.ooms = 0

    def allocate(self, nbytes: int, stream: Stream) -> DeviceBuffer:
        """A buffer, for work on `stream`. OutOfMemoryError where there is no room."""
        size = _SIZES.get(nbytes)
        if size is None:
            if len(_SIZES) > 4096:
                _SIZES.clear()
            size = _SIZES[nbytes] = _class(nbytes)
        with self.lock:
            if self.waiting:
                self._collect()
            blocks = self.free.get((stream.handle, size))
            if not blocks:
                blocks = self._new(size, stream.handle, nbytes)
            address = blocks.pop()
            self.allocated += size
            self.requested += nbytes
            self.allocations += 1
            self.total += size
            if self.allocated > self.allocated_peak:
                self.allocated_peak = self.allocated
            if self.held:
                self.captured[address] = weakref.ref(self.held[-1])
        return DeviceBuffer(address, nbytes, size, self, stream)

    def release(self, b: DeviceBuffer) -> None:
        """Take back what a buffer had."""
        assert b.stream is not None
        with self.lock:
            self.allocated -= b.size
            self.requested -= b.nbytes
            self.frees += 1
            if self.shared:
                self.shared.discard(b.address)
            held = self.held[-1] if self.held else None
            if self.captured:
                owner = self.captured.pop(b.address, None)
                held = (None if owner is None else owner()) or held
            if held is not None:  # a graph that was captured works in it at each replay
                held.blocks.append((b.address, b.size, b.stream.handle))
                return
            if b.others:
                events = []
                for s in b.others:
                    event = c_void_p()
                    self.gpu.driver.cuEventCreate(byref(event), _DISABLE_TIMING)
                    self.gpu.driver.cuEventRecord(event, s.handle)
                    events.append(event.value or 0)
                self.waiting.append((b.address, b.size, b.stream.handle, events))
                return
            self._blocks(b.stream.handle, b.size).append(b.address)

    def hold(self) -> _Held:
        """From now on, keep what is let go of, until the result is."""
        held = _Held(self)
        with self.lock:
            self.held.append(held)
        return held

    def unhold(self, held: _Held) -> None:
        """No more is kept; what was, stays so."""
        with self.lock:
            self.held = [h for h in self.held if h is not held]

    def _blocks(self, stream: int, size: int) -> list[int]:
        found = self.free.get((stream, size))
        if found is None:
            found = self.free[stream, size] = []
        return found

    def _collect(self) -> None:
        """Free the blocks that no other stream uses any more."""
        driver, left = self.gpu.driver, []
        self.gpu.enter()
        for address, size, stream, events in self.waiting:
            events = [e for e in events if not driver.ready("cuEventQuery", e) or driver.cuEventDestroy_v2(e)]
            if events:
                left.append((address, size, stream, events))
            else:
                self._blocks(stream, size).append(address)
        self.waiting = left

    def _new(self, size: int, stream: int, asked: int) -> list[int]:
        """Blocks of a class from a new segment."""
        nbytes = _SLAB if size < _SMALL else size
        address = self._segment(nbytes)
        if address is None:
            self.retries += 1
            self.empty()
            address = self._segment(nbytes)
            if address is None and nbytes > size:
                nbytes = size
                address = self._segment(nbytes)
            if address is None:
                self.ooms += 1
                raise OutOfMemoryError(self._told(asked))
        self.reserved += nbytes
        self.segments[address] = nbytes, stream, size
        self.reserved_peak = max(self.reserved_peak, self.reserved)
        self.peak_of_segments = max(self.peak_of_segments, len(self.segments))
        blocks = self._blocks(stream, size)
        blocks.extend(range(address + (nbytes // size - 1) * size, address - 1, -size))
        return blocks

    def _segment(self, nbytes: int) -> int | None:
        if self.reserved + nbytes > self.limit:
            return None
        found = c_uint64()
        self.gpu.enter()
        try:
            self.gpu.driver.cuMemAlloc_v2(byref(found), nbytes)
        except OutOfMemoryError:
            return None
        return found.value

    def empty(self) -> None:
        """Give back every segment that nothing uses."""
        with self.lock:
            self.gpu.enter()
            if self.waiting:
                self.gpu.driver.cuCtxSynchronize()
                self._collect()
            for address, (nbytes, stream, size) in list(self.segments.items()):
                blocks = self.free.get((stream, size), [])
                mine = [a for a in blocks if address <= a < address + nbytes]
                if len(mine) < nbytes // size:
                    continue
                if len(mine) == len(blocks):
                    blocks.clear()
                else:
                    taken = set(mine)
                    blocks[:] = [a for a in blocks if a not in taken]
                self.gpu.driver.cuMemFree_v2(address)
                del self.segments[address]
                self.reserved -= nbytes

    def info(self) -> tuple[int, int]:
        """Bytes of the device that are free, and that it has."""
        free, total = c_size_t(), c_size_t()
        self.gpu.enter()
        self.gpu.driver.cuMemGetInfo_v2(byref(free), byref(total))
        return free.value, total.value

    def _told(self, asked: int) -> str:
        free, total = self.info()
        text = memory._text
        held = total - free - self.reserved
        kept = text(self.reserved - self.allocated)
        return (
            f"CUDA out of memory. Tried to allocate {text(asked)}. GPU {self.gpu.index} has a total capacity of {text(total)} of which "
            f"{text(free)} is free. Of the memory allocated, {text(self.allocated)} is by Ingot in {self.allocations - self.frees} "
            f"buffers, {kept} is reserved by Ingot but unallocated, and {text(max(held, 0))} is held by others. "
            "Let go of tensors, use smaller batches, or ingot.utils.checkpoint"
        )


PINNED: set[int] = set()  # addresses of what is pinned


def pinned(gpu: Device, nbytes: int) -> memory.Buffer:
    """Memory of the host that GPUs copy from and to by themselves."""
    found = c_void_p()
    gpu.enter()
    gpu.driver.cuMemHostAlloc(byref(found), max(nbytes, 1), 1)
    address = found.value or 0
    PINNED.add(address)

    def release(address: int) -> None:
        gpu.enter()
        gpu.driver.raw["cuCtxSynchronize"]()  # a copy may still read it
        PINNED.discard(address)
        gpu.driver.raw["cuMemFreeHost"](address)

    return memory.Buffer(address, nbytes, release)
