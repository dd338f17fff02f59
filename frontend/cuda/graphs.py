"""CUDA graphs: what was launched in a block, to be launched again as one.

    g = ingot.cuda.CUDAGraph()
    with ingot.cuda.graph(g):
        static_out = model(static_in)
    static_in.copy_(new)        # into the same memory
    g.replay()

Compiled functions are replayed as graphs by themselves, and their inputs need not stay in place: `ingot.compile` is the better way.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_void_p
from typing import Any

from ingot.cuda.devices import gpu
from ingot.cuda.streams import Stream, StreamContext
from ingot.runtime.cuda import device as gpus
from ingot.runtime.recorder import flush

__all__ = ["CUDAGraph", "graph", "graph_pool_handle", "is_current_stream_capturing", "make_graphed_callables"]

_RELAXED = 2  # memory may be allocated, and code loaded, while a graph is captured


class CUDAGraph:
    """What one capture has launched. `replay()` launches it again, on the same memory."""

    def __init__(self, keep_graph: bool = False):
        self._exec: int | None = None
        self._graph: int | None = None
        self._stream: gpus.Stream | None = None
        self._held: Any = None

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        """Have the present stream's launches captured from now on. RuntimeError where it is capturing already."""
        if self._exec is not None:
            raise RuntimeError("This CUDAGraph instance already owns a captured graph. To capture a new graph, create a new instance.")
        flush()
        s = self._stream = gpus.device().stream()
        if s.capture is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing: a graph is captured on it already")
        s.device.enter()
        s.driver.cuStreamBeginCapture_v2(s.handle, _RELAXED)
        s.capture = self
        s.forget_arena()
        self._held = s.device.pool.hold()

    def capture_end(self) -> None:
        """The end of what is captured."""
        s = self._stream
        if s is None or s.capture is not self:
            raise RuntimeError("capture_end: nothing is captured in this graph")
        try:
            flush()
        finally:
            s.capture = None
            s.device.pool.unhold(self._held)
            found, instance = c_void_p(), c_void_p()
            s.device.enter()
            s.driver.cuStreamEndCapture(s.handle, byref(found))
        s.driver.cuGraphInstantiateWithFlags(byref(instance), found, 0)
        self._graph, self._exec = found.value, instance.value

    def replay(self) -> None:
        """Launch it again, in the present stream. RuntimeError where nothing was captured."""
        if self._exec is None or self._stream is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        flush()
        s = self._stream.device.stream()
        s.device.enter()
        s.driver.cuGraphLaunch(self._exec, s.handle)

    def reset(self) -> None:
        """Let go of it, and of the memory that it works in."""
        if self._exec is not None and self._stream is not None:
            driver = self._stream.driver
            self._stream.device.synchronize()
            driver.cuGraphExecDestroy(self._exec)
            driver.cuGraphDestroy(self._graph)
            self._exec = self._graph = None
            self._held = None

    def pool(self) -> tuple[int, int]:
        """What names its memory, for `graph(..., pool=)`: every graph has its own."""
        return 0, id(self)

    def __del__(self) -> None:
        try:
            self.reset()
        except (TypeError, RuntimeError):  # the interpreter ends, or the context is lost
            pass


class graph:
    """A block whose launches are captured in a CUDAGraph, on a stream of its own unless one is given."""

    def __init__(self, cuda_graph: CUDAGraph, pool: Any = None, stream: Stream | None = None, capture_error_mode: str = "global"):
        self.cuda_graph = cuda_graph
        self.stream = Stream() if stream is None else stream

    def __enter__(self) -> None:
        flush()
        gpu(self.stream.device).synchronize()
        self._block = StreamContext(self.stream)
        self._block.__enter__()
        self.cuda_graph.capture_begin()

    def __exit__(self, *exc: Any) -> None:
        self.cuda_graph.capture_end()
        self._block.__exit__(*exc)


def graph_pool_handle() -> tuple[int, int]:
    """A name of memory that graphs may share: every graph has its own."""
    return 0, 0


def is_current_stream_capturing() -> bool:
    """Whether the present stream's launches are captured."""
    from ingot.cuda.devices import is_initialized

    return is_initialized() and gpus.device().stream().capture is not None


def make_graphed_callables(callables: Any, sample_args: Any, **options: Any) -> Any:
    """Functions or modules, compiled: calls of these are replayed as graphs. A tuple of them, or one."""
    from ingot import compile

    def one(f: Callable) -> Callable:
        return compile(f)

    return tuple(map(one, callables)) if isinstance(callables, tuple) else one(callables)
