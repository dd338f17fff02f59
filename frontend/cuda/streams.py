"""Streams, in which work runs in order, and events between them.

Work that was recorded and not run yet belongs to the stream that was the present one when it was recorded: a block on another stream
begins and ends with what is pending being put where it belongs.
"""

from __future__ import annotations

from ctypes import byref, c_float, c_void_p
from typing import Any

from ingot._tensor.devices import device as Place
from ingot._tensor.devices import numbered
from ingot.cuda.devices import gpu
from ingot.runtime.cuda import device as gpus
from ingot.runtime.cuda import driver
from ingot.runtime.recorder import flush

__all__ = [
    "Event", "ExternalStream", "Stream", "StreamContext", "current_stream", "default_stream", "get_stream_from_external", "set_stream",
    "stream", "synchronize",
]  # fmt: skip

_DISABLE_TIMING, _BLOCKING = 2, 1


def synchronize(device: Any = None) -> None:
    """Wait for all that was put into the streams of a device, and for what is pending. What failed there is raised.

    >>> ingot.cuda.synchronize()
    """
    flush()
    if device is not None or driver.in_use():
        gpu(device).synchronize()


class Stream:
    """A stream of a device. Work in one runs in order, and beside that of others.

    Memory that one stream's work made, and another's reads: `wait_stream` first, and `Tensor.record_stream`.
    """

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any):
        self._stream: gpus.Stream = kwargs.get("_of") or gpus.Stream(gpu(device), priority, kwargs.get("stream_ptr"))
        self.priority = self._stream.priority

    @property
    def device(self) -> Place:
        """Whose it is."""
        return numbered(self._stream.device.index)

    @property
    def device_index(self) -> int:
        """The number of its device."""
        return self._stream.device.index

    @property
    def cuda_stream(self) -> int:
        """The driver's handle."""
        return self._stream.handle

    stream_id = cuda_stream

    def synchronize(self) -> None:
        """Wait for all that was put there."""
        flush()
        self._stream.synchronize()

    def query(self) -> bool:
        """Whether all of it is done."""
        flush()
        return self._stream.query()

    def wait_event(self, event: Event) -> None:
        """What is put there from now on runs after an event."""
        flush()
        event._need(self._stream.device)
        self._stream.wait(event.cuda_event)

    def wait_stream(self, stream: Stream) -> None:
        """What is put there from now on runs after all that is in another stream."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """An event that says when all that is there now is done."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self._stream.handle, self.device) == (other._stream.handle, other.device)

    def __hash__(self) -> int:
        return hash((self._stream.handle, self._stream.device.index))

    def __enter__(self) -> Stream:
        self._block = StreamContext(self)
        self._block.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._block.__exit__(*exc)

    def __repr__(self) -> str:
        return f"<ingot.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class ExternalStream(Stream):
    """A stream that somebody else has made, by its handle."""

    def __init__(self, stream_ptr: int, device: Any = None, **kwargs: Any):
        super().__init__(device, stream_ptr=stream_ptr)


def get_stream_from_external(data_ptr: int, device: Any = None) -> Stream:
    """The same."""
    return ExternalStream(data_ptr, device)


class Event:
    """A mark in a stream: `record`, then `synchronize`, `query`, or `elapsed_time` to another one (both with `enable_timing`)."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False):
        if interprocess:
            raise RuntimeError("Event: events are not shared between processes")
        self.enable_timing = enable_timing
        self._flags = (0 if enable_timing else _DISABLE_TIMING) | (_BLOCKING if blocking else 0)
        self._handle: int | None = None
        self._gpu: Any = None

    def _need(self, g: gpus.Device) -> None:
        if self._handle is None:
            found = c_void_p()
            g.enter()
            g.driver.cuEventCreate(byref(found), self._flags)
            self._handle, self._gpu = found.value, g

    @property
    def cuda_event(self) -> int:
        """The driver's handle; 0 before it is recorded."""
        return self._handle or 0

    @property
    def device(self) -> Place | None:
        """Whose stream it marks; None before it is recorded."""
        return None if self._gpu is None else numbered(self._gpu.index)

    def record(self, stream: Stream | None = None) -> None:
        """Mark the present end of a stream (of the present one where None)."""
        flush()
        s = gpus.device().stream() if stream is None else stream._stream
        self._need(s.device)
        s.device.enter()
        s.driver.cuEventRecord(self._handle, s.handle)

    def wait(self, stream: Stream | None = None) -> None:
        """What is put into a stream from now on runs after this."""
        (current_stream() if stream is None else stream).wait_event(self)

    def query(self) -> bool:
        """Whether all before it is done."""
        if self._handle is None:
            return True
        self._gpu.enter()
        return bool(self._gpu.driver.ready("cuEventQuery", self._handle))

    def synchronize(self) -> None:
        """Wait for all before it."""
        if self._handle is not None:
            self._gpu.enter()
            self._gpu.driver.cuEventSynchronize(self._handle)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from here to another event. RuntimeError unless both have been reached, and were made with `enable_timing`."""
        if not (self.enable_timing and end_event.enable_timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._handle is None or end_event._handle is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        if not (self.query() and end_event.query()):
            raise RuntimeError("Both events must be completed before calculating elapsed time: synchronize() first.")
        found = c_float()
        self._gpu.driver.cuEventElapsedTime(byref(found), self._handle, end_event._handle)
        return found.value

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            try:
                self._gpu.driver.raw["cuEventDestroy_v2"](self._handle)
            except TypeError:  # the interpreter ends
                pass


class StreamContext:
    """A block in which a stream is the present one, and its device; None changes nothing."""

    def __init__(self, stream: Stream | None):
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            flush()
            s = self.stream._stream
            self._before = gpus.set_index(s.device.index), gpus.set_stream(s)

    def __exit__(self, *exc: Any) -> None:
        if self.stream is not None:
            flush()
            gpus.set_stream(self._before[1])
            gpus.set_index(self._before[0])


def stream(stream: Stream | None) -> StreamContext:
    """A block in which a stream is the present one: `with ingot.cuda.stream(s):`."""
    return StreamContext(stream)


def current_stream(device: Any = None) -> Stream:
    """The present stream of a device."""
    return Stream(_of=gpu(device).stream())


def default_stream(device: Any = None) -> Stream:
    """The stream of a device that is the present one where nothing else was said."""
    return Stream(_of=gpu(device).default)


def set_stream(stream: Stream | None) -> None:
    """Make a stream the present one of its device; None changes nothing."""
    if stream is not None:
        flush()
        gpus.set_stream(stream._stream)
