"""A device: its context, its streams, and the failed checks of what runs on it.

    gpu = device(0)
    stream = gpu.stream()               # the present one of this thread
    stream.synchronize()                # raises what failed in it
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import byref, c_int, c_uint64, c_void_p
from typing import Any

from ingot.runtime.cuda.allocator import Pool
from ingot.runtime.cuda.driver import Driver, the_driver

__all__ = ["Device", "Stream", "current_index", "device", "device_count", "set_index"]

_NON_BLOCKING = 1
_NO_TIMING = 2
_MAPPED = 2
_WORDS = 1024  # of failed checks, for calls that nothing has waited for
_FINE = (1 << 64) - 1
_NO_WORD = _WORDS  # the word of calls that cannot fail


class _Statuses:
    """Words that failed checks lower, in memory that both see: one for each call in a stream that can fail, until something waits."""

    def __init__(self, driver: Driver):
        here, there = c_void_p(), c_uint64()
        driver.cuMemHostAlloc(byref(here), 8 * (_WORDS + 1), _MAPPED)
        driver.cuMemHostGetDevicePointer_v2(byref(there), here, 0)
        self.here: int = here.value or 0
        self.there: int = there.value
        self.words = (c_uint64 * (_WORDS + 1)).from_address(self.here)
        for k in range(_WORDS + 1):
            self.words[k] = _FINE
        self.calls: list[Callable[[int], Exception]] = []  # what explains the code of each word that is in use

    def check(self) -> None:
        """Raise the error of the first call that failed; all words are free again."""
        calls, self.calls = self.calls, []
        found = None
        for k, explain in enumerate(calls):
            code = self.words[k]
            if code != _FINE:
                self.words[k] = _FINE
                found = found or explain(code)
        if found is not None:
            raise found


class Stream:
    """A stream of a device: what is put there runs in order. `handle` is the driver's."""

    def __init__(self, gpu: Device, priority: int = 0, handle: int | None = None):
        self.device = gpu
        self.driver = gpu.driver
        self.owned = handle is None
        self.priority = priority
        if handle is None:
            made = c_void_p()
            gpu.enter()
            self.driver.cuStreamCreateWithPriority(byref(made), _NON_BLOCKING, priority)
            handle = made.value
        self.handle: int = handle or 0
        self.lock = threading.RLock()  # of calls, which share its working memory
        self.statuses = _Statuses(self.driver)
        self.capture: Any = None  # the graph that is being captured in it
        self._arena: Any = None
        gpu.streams.add(self)

    def arena(self, nbytes: int) -> int:
        """The address of working memory for the next call: each call on the stream has the same."""
        a = self._arena
        if a is None or a.nbytes < nbytes:
            self._arena = None
            a = self._arena = self.device.pool.allocate(max(nbytes, 1 << 16), self)
        return int(a.address)

    def forget_arena(self) -> None:
        """Give the working memory back."""
        self._arena = None

    def word(self, explain: Callable[[int], Exception]) -> int:
        """The number of a word for a call that can fail; `explain` makes an error of its code."""
        calls = self.statuses.calls
        if len(calls) == _WORDS:
            self.synchronize()
            calls = self.statuses.calls
        calls.append(explain)
        return len(calls) - 1

    def synchronize(self) -> None:
        """Wait for all that was put there. Raises what failed: the error of a check, or DeviceError."""
        self.device.enter()
        if self.capture is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing: nothing can be waited for meanwhile")
        self.driver.cuStreamSynchronize(self.handle)
        if self.statuses.calls:
            self.statuses.check()

    def query(self) -> bool:
        """Whether all of it is done."""
        self.device.enter()
        return self.driver.ready("cuStreamQuery", self.handle)

    def wait(self, event: int) -> None:
        """What is put there from now on runs after an event (a handle)."""
        self.device.enter()
        self.driver.cuStreamWaitEvent(self.handle, event, 0)

    def __del__(self) -> None:
        if getattr(self, "owned", False) and self.handle and self.driver.pid == os.getpid():
            try:
                self.driver.raw["cuStreamDestroy_v2"](self.handle)
            except TypeError:  # the interpreter ends
                pass

    def __repr__(self) -> str:
        return f"<Stream {self.handle:#x} of cuda:{self.device.index}>"


class Device:
    """One GPU. `index` is its number."""

    def __init__(self, index: int):
        driver = self.driver = the_driver()
        self.index = index
        self.told = driver.devices.Device(index)  # as pycuda tells of it
        self._primary = self.told.retain_primary_context()  # torch's and CuPy's, too
        self.context: int = int(self._primary.handle)
        self.enter()
        self.streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self.pool = Pool(self)
        self.default = Stream(self)
        self.executables: weakref.WeakSet[Any] = weakref.WeakSet()
        self.peers: set[int] = set()

    def enter(self) -> None:
        """Make its context this thread's."""
        self.driver.cuCtxSetCurrent(self.context)

    def stream(self) -> Stream:
        """The present stream of this thread."""
        return _here.streams.get(self.index) or self.default

    @contextmanager
    def marked(self, stream: int | None = None) -> Iterator[int]:
        """An event (its handle) that says when all that was put into a stream (by its handle; the present one) is done."""
        event = c_void_p()
        self.enter()
        self.driver.cuEventCreate(byref(event), _NO_TIMING)
        self.driver.cuEventRecord(event, self.stream().handle if stream is None else stream)
        try:
            yield event.value or 0
        finally:
            self.driver.cuEventDestroy_v2(event)

    def synchronize(self) -> None:
        """Wait for all streams. Raises what failed."""
        self.enter()
        self.driver.cuCtxSynchronize()
        for s in list(self.streams):
            if s.statuses.calls:
                s.statuses.check()

    def attribute(self, number: int) -> int:
        """What the driver tells of it under a number of CUdevice_attribute."""
        found = c_int()
        self.driver.cuDeviceGetAttribute(byref(found), number, self.index)
        return found.value

    @property
    def level(self) -> str:
        """The name of the level that code is made for."""
        if self.driver.emulated:
            return "emulated"
        major, minor = self.told.compute_capability()
        if (major, minor) == (9, 0):
            return "sm_90a"
        if major >= 8:
            return "sm_80"
        raise RuntimeError(
            f"cuda:{self.index} ({self.told.name()}) has compute capability {major}.{minor}; Ingot makes code for 8.0 and later"
        )

    def reach(self, other: Device) -> None:
        """See to it that copies from `other` need no detour, where the machine can do that."""
        if other.index in self.peers:
            return
        self.peers.add(other.index)
        can = c_int()
        self.driver.cuDeviceCanAccessPeer(byref(can), self.index, other.index)
        if can.value:
            self.enter()
            self.driver.raw["cuCtxEnablePeerAccess"](other.context, 0)  # that it was enabled before is fine


class _Here(threading.local):
    """What a thread has chosen: a device, and a stream of each."""

    def __init__(self) -> None:
        self.index = 0
        self.streams: dict[int, Stream] = {}


_here = _Here()
_devices: dict[int, Device] = {}
_lock = threading.RLock()


def device_count() -> int:
    """How many there are; RuntimeError where CUDA cannot be used at all."""
    devices = the_driver().devices
    return int(devices.device_count() if hasattr(devices, "device_count") else devices.Device.count())


def device(index: int | None = None) -> Device:
    """The device of a number, or the present one. RuntimeError where there is none such."""
    if index is None:
        index = _here.index
    found = _devices.get(index)
    if found is None or found.driver.pid != os.getpid():
        count = device_count()
        if not 0 <= index < count:
            raise RuntimeError(f"CUDA error: invalid device ordinal: there is no cuda:{index}, there are {count} devices, from cuda:0 on")
        with _lock:
            found = _devices.get(index)
            if found is None:
                found = _devices[index] = Device(index)
    return found


def opened() -> list[Device]:
    """The devices that were used."""
    return list(_devices.values())


def current_index() -> int:
    """The number of this thread's present device."""
    return _here.index


def set_index(index: int) -> int:
    """Make a device the present one; the number of the one before."""
    before, _here.index = _here.index, device(index).index
    return before


def set_stream(stream: Stream) -> Stream:
    """Make a stream the present one of its device; the one before."""
    gpu = stream.device
    before = gpu.stream()
    _here.streams[gpu.index] = stream
    return before
