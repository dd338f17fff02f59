"""The driver's functions without a GPU: the same signatures, and kernels that run on the CPU (INGOT_CUDA=emulated).

Work is put into streams and done when something waits for it: what reads too early reads what was there before. Kernels' parameters and
pageable host memory are copied when the work is put there, as the driver does. A launch in a stream that is being captured becomes a
node of a graph. What was called is in `calls`, by name; `fail(name, code)` has the next call of that name fail.

What a module's image is, `backends/cuda/emulated.py` says.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import threading
import time
from collections import Counter
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_void_p
from typing import Any

from ingot.runtime.cuda.signatures import SIGNATURES
from ingot.runtime.cuda.standin_devices import ATTRIBUTES, Context, Namespace
from ingot.runtime.cuda.standin_pieces import Event, Graph, Kernel, Module, Stream, Work

__all__ = ["StandIn"]

_INVALID, _OUT_OF_MEMORY, _NOT_FOUND, _NOT_READY, _BAD_HANDLE, _CAPTURING, _NO_IMAGE = 1, 2, 500, 600, 400, 900, 200
_STATIC, _SHARED = 48 << 10, 8  # bytes of shared memory that any launch may ask for, and the attribute that allows more
_TEXTS = {
    _INVALID: "invalid argument", _OUT_OF_MEMORY: "out of memory", _NOT_FOUND: "named symbol not found", _NOT_READY: "device not ready",
    _BAD_HANDLE: "invalid resource handle", _CAPTURING: "operation not permitted when stream is capturing",
    700: "an illegal memory access was encountered",
}  # fmt: skip


class StandIn(Namespace):
    """The driver. What tells of devices, by the names of pycuda.driver, is here as well."""

    def __init__(self, asked: tuple[int, int]):
        super().__init__(*asked)
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[str, tuple[Any, ...]]] = []  # launches, with kernel, blocks and threads
        self._failing: dict[str, list[int]] = {}
        self._handles = itertools.count(0x1000, 16)
        self._objects: dict[int, Any] = {}
        self._memory: dict[int, tuple[int, int, mmap.mmap]] = {}  # address: device, size
        self._pinned: dict[int, Any] = {}
        self._here = threading.local()
        self._lock = threading.RLock()
        self._legacy = [Stream(i) for i in range(asked[0])]
        self._functions: dict[str, Any] = {}

    def fail(self, name: str, code: int, times: int = 1) -> None:
        """Have the next calls of a function fail."""
        self._failing[name] = [code] * times

    def functions(self) -> dict[str, Any]:
        """The table."""
        if not self._functions:
            for name, arguments in SIGNATURES.items():
                self._functions[name] = ctypes.CFUNCTYPE(c_int, *arguments)(self._guarded(name))
        return self._functions

    def _guarded(self, name: str) -> Callable[..., int]:
        body = getattr(self, "_" + name)

        def call(*args: Any) -> int:
            self.calls[name] += 1
            with self._lock:
                failing = self._failing.get(name)
                if failing:
                    return failing.pop()
                try:
                    return int(body(*args) or 0)
                except KeyError:
                    return _BAD_HANDLE
                except Exception:  # nothing may be raised through the native code that called
                    import traceback

                    traceback.print_exc()
                    return 999

        return call

    def _new(self, thing: Any) -> int:
        handle = next(self._handles)
        self._objects[handle] = thing
        return handle

    def _stream(self, handle: int | None) -> Stream:
        return self._objects[handle] if handle and handle > 2 else self._legacy[self._device]  # 1 and 2 are names of it

    @property
    def _device(self) -> int:
        return int(getattr(self._here, "device", 0))

    def _all(self, device: int) -> list[Stream]:
        return [self._legacy[device], *(s for s in self._objects.values() if isinstance(s, Stream) and s.device == device)]

    # ---- contexts

    def _cuDriverGetVersion(self, out: int) -> None:
        c_int.from_address(out).value = 13000

    def _cuDeviceGetAttribute(self, out: int, attribute: int, device: int) -> None:
        c_int.from_address(out).value = ATTRIBUTES[attribute]

    def _cuCtxSetCurrent(self, context: int | None) -> int:
        if context is None:
            self._here.device = 0
            return 0
        self._here.device = Context.of(context)
        return 0

    def _cuCtxSynchronize(self) -> None:
        for s in self._all(self._device):
            s.drain()

    def _cuDeviceCanAccessPeer(self, out: int, a: int, b: int) -> None:
        c_int.from_address(out).value = int(a != b)

    def _cuCtxEnablePeerAccess(self, context: int, flags: int) -> None:
        pass

    # ---- modules

    def _cuModuleLoadDataEx(self, out: int, image: int, n: int, options: Any, values: Any) -> int:
        if ctypes.string_at(image, 4) != b"\x7fELF":
            return _NO_IMAGE
        c_void_p.from_address(out).value = self._new(Module(image))
        return 0

    def _cuModuleUnload(self, module: int) -> None:
        del self._objects[module]

    def _cuModuleGetFunction(self, out: int, module: int, name: bytes) -> int:
        m = self._objects[module]
        for i, told in enumerate(m.told):
            if told[0] == name.decode():
                code = m.library[f"kernel_{i}"]
                code.restype = None
                c_void_p.from_address(out).value = self._new(Kernel(code, told))
                return 0
        return _NOT_FOUND

    def _cuFuncSetAttribute(self, function: int, attribute: int, value: int) -> None:
        self._objects[function].allowed[attribute] = value

    def _cuLaunchKernel(
        self, function: int, gx: int, gy: int, gz: int, bx: int, by: int, bz: int, shared: int, stream: int | None, parameters: int,
        extra: Any,
    ) -> int:  # fmt: skip
        kernel = self._objects[function]
        if not (gx and gy and gz and bx and by and bz) or bx * by * bz > 1024:
            return _INVALID
        if shared > max(_STATIC, kernel.allowed.get(_SHARED, 0)):
            return _INVALID
        self.log.append((kernel.name, (gx, bx)))
        self._put(stream, kernel.prepared(gx, parameters))
        return 0

    def _put(self, handle: int | None, work: Work) -> None:
        stream = self._stream(handle)
        if stream.captured is not None:
            stream.captured.nodes.append((0, work))
        else:
            stream.put(work)

    # ---- memory

    def _cuMemAlloc_v2(self, out: int, size: int) -> int:
        used = sum(n for d, n, _ in self._memory.values() if d == self._device)
        if size == 0 or used + size > self.limit:
            return _INVALID if size == 0 else _OUT_OF_MEMORY
        memory = mmap.mmap(-1, size + 512)
        at = -(-ctypes.addressof(ctypes.c_char.from_buffer(memory)) // 512) * 512
        self._memory[at] = self._device, size, memory
        ctypes.c_uint64.from_address(out).value = at
        return 0

    def _cuMemFree_v2(self, address: int) -> None:
        device, _, memory = self._memory[address]
        for s in self._all(device):
            s.drain()
        del self._memory[address]

    def _cuMemHostAlloc(self, out: int, size: int, flags: int) -> None:
        memory = mmap.mmap(-1, max(size, 1))
        at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._pinned[at] = memory
        c_void_p.from_address(out).value = at

    def _cuMemFreeHost(self, address: int) -> None:
        del self._pinned[address]

    def _cuMemHostGetDevicePointer_v2(self, out: int, address: int, flags: int) -> None:
        c_void_p.from_address(out).value = address

    def _cuMemGetInfo_v2(self, free: int, total: int) -> None:
        used = sum(n for d, n, _ in self._memory.values() if d == self._device)
        ctypes.c_size_t.from_address(free).value = self.limit - used
        ctypes.c_size_t.from_address(total).value = self.limit

    def _pageable(self, address: int) -> bool:
        return not any(at <= address < at + len(m) for at, m in self._pinned.items())

    def _there(self, address: int) -> bool:
        return any(at <= address < at + n for at, (_, n, _) in self._memory.items())

    def _cuMemcpyAsync(self, to: int, source: int, size: int, stream: int | None) -> None:
        if self._pageable(source) and not self._there(source):
            held = ctypes.create_string_buffer(size)
            ctypes.memmove(held, source, size)
            self._put(stream, lambda: ctypes.memmove(to, held, size))
        else:
            self._put(stream, lambda: ctypes.memmove(to, source, size))

    def _cuMemcpyHtoDAsync_v2(self, to: int, source: int, size: int, stream: int | None) -> None:
        self._cuMemcpyAsync(to, source, size, stream)

    def _cuMemcpyDtoHAsync_v2(self, to: int, source: int, size: int, stream: int | None) -> None:
        self._cuMemcpyAsync(to, source, size, stream)

    def _cuMemcpyPeerAsync(self, to: int, to_context: int, source: int, context: int, size: int, stream: int | None) -> None:
        self._cuMemcpyAsync(to, source, size, stream)

    def _cuMemsetD8Async(self, address: int, value: int, size: int, stream: int | None) -> None:
        self._put(stream, lambda: ctypes.memset(address, value, size))

    # ---- streams and events

    def _cuStreamCreateWithPriority(self, out: int, flags: int, priority: int) -> None:
        c_void_p.from_address(out).value = self._new(Stream(self._device))

    def _cuStreamDestroy_v2(self, stream: int) -> None:
        self._objects.pop(stream).drain()

    def _cuStreamSynchronize(self, stream: int | None) -> int:
        s = self._stream(stream)
        if s.captured is not None:
            return _CAPTURING
        s.drain()
        return 0

    def _cuStreamQuery(self, stream: int | None) -> int:
        s = self._stream(stream)
        if s.waiting:
            s.drain()  # it was not ready, and is at the next question
            return _NOT_READY
        return 0

    def _cuStreamWaitEvent(self, stream: int | None, event: int, flags: int) -> None:
        e: Event = self._objects[event]
        number, of = e.number, e.stream

        def work() -> None:
            if of is not None and e.done < number:
                of.drain()

        self._put(stream, work)

    def _cuEventCreate(self, out: int, flags: int) -> None:
        c_void_p.from_address(out).value = self._new(Event())

    def _cuEventDestroy_v2(self, event: int) -> None:
        e = self._objects.pop(event)
        if e.stream is not None and e.done < e.number:
            e.stream.drain()

    def _cuEventRecord(self, event: int, stream: int | None) -> None:
        e: Event = self._objects[event]
        e.number += 1
        e.stream = self._stream(stream)
        number = e.number

        def work() -> None:
            e.done, e.at = number, time.perf_counter()

        self._put(stream, work)

    def _cuEventQuery(self, event: int) -> int:
        e: Event = self._objects[event]
        if e.done < e.number and e.stream is not None:
            e.stream.drain()
            return _NOT_READY
        return 0

    def _cuEventSynchronize(self, event: int) -> None:
        e: Event = self._objects[event]
        if e.stream is not None and e.done < e.number:
            e.stream.drain()

    def _cuEventElapsedTime(self, out: int, start: int, end: int) -> int:
        a, b = self._objects[start], self._objects[end]
        if not (a.number and b.number):
            return _BAD_HANDLE
        if a.done < a.number or b.done < b.number:
            return _NOT_READY
        ctypes.c_float.from_address(out).value = (b.at - a.at) * 1e3
        return 0

    # ---- graphs

    def _cuStreamBeginCapture_v2(self, stream: int, mode: int) -> int:
        s = self._stream(stream)
        if s.captured is not None:
            return _CAPTURING
        s.captured = Graph()
        return 0

    def _cuStreamEndCapture(self, stream: int, out: int) -> int:
        s = self._stream(stream)
        graph, s.captured = s.captured, None
        if graph is None:
            return _INVALID
        c_void_p.from_address(out).value = self._new(graph)
        return 0

    def _cuGraphCreate(self, out: int, flags: int) -> None:
        c_void_p.from_address(out).value = self._new(Graph())

    def _cuGraphDestroy(self, graph: int) -> None:
        del self._objects[graph]

    def _node(self, params: int) -> Work:
        function, gx, kernel_params = (
            c_void_p.from_address(params).value, ctypes.c_uint.from_address(params + 8).value, c_void_p.from_address(params + 40).value
        )  # fmt: skip
        return self._objects[function or 0].prepared(gx, kernel_params)

    def _cuGraphAddKernelNode_v2(self, out: int, graph: int, before: int | None, n: int, params: int) -> None:
        g: Graph = self._objects[graph]
        if n:
            assert before is not None and c_void_p.from_address(before).value == g.nodes[-1][0]  # they follow on each other
        handle = next(self._handles)
        g.nodes.append((handle, self._node(params)))
        c_void_p.from_address(out).value = handle

    def _cuGraphInstantiateWithFlags(self, out: int, graph: int, flags: int) -> None:
        made = Graph()
        made.nodes = list(self._objects[graph].nodes)
        c_void_p.from_address(out).value = self._new(made)

    def _cuGraphExecKernelNodeSetParams_v2(self, graph: int, node: int, params: int) -> int:
        g: Graph = self._objects[graph]
        for i, (handle, _) in enumerate(g.nodes):
            if handle == node:
                g.nodes[i] = handle, self._node(params)
                return 0
        return _INVALID

    def _cuGraphExecDestroy(self, graph: int) -> None:
        del self._objects[graph]

    def _cuGraphLaunch(self, graph: int, stream: int | None) -> None:
        for _, work in list(self._objects[graph].nodes):
            self._put(stream, work)

    def _cuGetErrorString(self, code: int, out: int) -> None:
        text = self._texts.setdefault(code, c_char_p(_TEXTS.get(code, "unknown error").encode()))
        c_void_p.from_address(out).value = ctypes.cast(text, c_void_p).value

    _texts: dict[int, c_char_p] = {}
