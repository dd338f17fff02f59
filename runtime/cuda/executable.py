"""Executables for GPUs: a shared object that launches, as `backends/cuda` makes it, loaded on the devices where it is called."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int64, c_void_p
from typing import Any

from ingot.runtime.cuda.device import Device, Stream
from ingot.runtime.executable import CheckError, Executable, _check_limit, _rounded

__all__ = ["DeviceExecutable", "Loaded"]

_REFUSED = 1 << 30  # as backends/cuda/entry_text.py has it
_ABI_VERSION = 1
_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_FOREIGN = (200, 209)  # machine code of another generation: CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_NO_BINARY_FOR_GPU
_LAUNCH, _ADD, _GIVE = 0, 1, 2
GRAPHED = 3  # launches from which on a call is replayed as a graph


class _Layout(ctypes.Structure):
    """What an entry gets as its second argument."""

    _fields_ = [
        ("abi_version", c_int64), ("mode", c_int64), ("functions", c_void_p), ("stream", c_void_p), ("kernels", c_void_p),
        ("there", c_void_p), ("here", c_void_p), ("context", c_void_p), ("graph", c_void_p), ("nodes", c_void_p), ("n_nodes", c_int64),
    ]  # fmt: skip


class DeviceExecutable(Executable):
    """One compiled graph for GPUs. `on(gpu).run(*slots)` calls it; slots are addresses of that device's memory, and numbers.

    cubin: its kernels as machine code, for devices that take it
    """

    def __init__(self, source: str | os.PathLike | int | bytes | memoryview, manifest: dict[str, Any], cubin: bytes | None = None):
        super().__init__(source, manifest)
        self.cubin = cubin
        library = ctypes.CDLL(self._name, handle=self._handle)
        self._image = ctypes.addressof(ctypes.c_char.in_dll(library, "ingot_image"))
        self._loaded: dict[int, Loaded] = {}
        self.can_fail = any("symbol" not in c and "sizes are too large" not in c["message"] for c in self.checks.values())

    def image(self, nbytes: int) -> bytes:
        """The module of its kernels, of so many bytes."""
        return ctypes.string_at(self._image, nbytes)

    def on(self, gpu: Device) -> Loaded:
        """It, loaded on a device. RuntimeError where the driver refuses its image."""
        found = self._loaded.get(gpu.index)
        if found is None or found.gpu is not gpu:
            found = self._loaded[gpu.index] = Loaded(self, gpu, self._image)
        return found

    def peak_bytes(self, *sizes: int) -> int:
        """The working memory of one call. `sizes`: the values of the symbols."""
        return self._arena_bytes if self._sizes is None else self._sizes.of(sizes)[0]

    def run(self, *slots: int | float) -> None:
        """Call it on the present device."""
        from ingot.runtime.cuda.device import device

        self.on(device()).run(*slots)


class Loaded:
    """An executable on one device."""

    def __init__(self, exe: DeviceExecutable, gpu: Device, image: int):
        self.exe = exe
        self.gpu = gpu
        self.manifest = exe.manifest
        self.title, self.key = exe.title, exe.key
        driver = self.driver = gpu.driver
        gpu.enter()
        module = c_void_p()
        self.image = "ptx"
        if exe.cubin is not None:
            code = driver.raw["cuModuleLoadDataEx"](byref(module), exe.cubin, 0, None, None)
            if code not in (0, *_FOREIGN):
                raise driver.error(code, "cuModuleLoadDataEx")
            self.image = "ptx" if code else "cubin"
        if self.image == "ptx":
            driver.cuModuleLoadDataEx(byref(module), image, 0, None, None)
        self._module = module.value
        names = exe.manifest["kernels"]
        self._kernels = (c_void_p * max(len(names), 1))()
        for i, name in enumerate(names):
            driver.cuModuleGetFunction(ctypes.addressof(self._kernels) + 8 * i, self._module, c_char_p(name.encode()))
        for name, nbytes in exe.manifest.get("shared", {}).items():
            driver.cuFuncSetAttribute(self._kernels[names.index(name)], _SHARED, nbytes)
        self._bound: dict[Stream, _Bound] = {}
        self._entry = exe._entry
        self._pack = exe._pack
        self._launches = exe.manifest.get("launches")

    def __del__(self) -> None:
        if getattr(self, "_module", None) and self.driver.pid == os.getpid():
            try:
                self.gpu.enter()
                self.driver.raw["cuModuleUnload"](self._module)
            except (TypeError, RuntimeError):  # the interpreter ends, or the context is lost
                pass

    def peak_bytes(self, *sizes: int) -> int:
        """See DeviceExecutable."""
        return self.exe.peak_bytes(*sizes)

    def run(self, *slots: int | float, explain: Callable[[CheckError], Exception] | None = None) -> None:
        """Put a call into the present stream. `slots` as in the manifest: addresses, numbers, the values of symbols.

        explain: makes the error that users expect of that of a failed check, which comes when something waits for the stream.
        CheckError for a size outside of its bounds; DeviceError or OutOfMemoryError where the driver refuses.
        """
        exe = self.exe
        stream = self.gpu.stream()
        bound = self._bound.get(stream)
        if bound is None:
            bound = self._bound[stream] = _Bound(self, stream)
        nbytes = exe._arena_bytes
        if exe._sizes is not None:
            nbytes = _rounded(exe._sizes.of(slots[len(slots) - len(exe.symbols) :])[0])
        try:
            packed = self._pack(*slots)
        except Exception:
            packed = self._pack(*exe._converted(slots))
        if stream.capture is not None:
            self.gpu.pool.shared.update(slots)  # type: ignore[arg-type]  # numbers among them do no harm
        with stream.lock:
            if exe.can_fail:
                bound.status(stream.word(lambda code: self._error(code, explain)))
            arena = stream.arena(nbytes) if nbytes else 0
            code = bound.call(packed, arena) if bound.replayed else bound.entry(packed, bound.address, arena)
        if code:
            if code & _REFUSED:
                raise self.driver.error(code & (_REFUSED - 1), exe.title)
            raise self._error(code, explain)

    def _error(self, code: int, explain: Callable[[CheckError], Exception] | None) -> Exception:
        check = self.exe.checks.get(code, {"message": f"check {code} failed"})
        error = CheckError(code, check["message"], check.get("location"), check.get("node"))
        return error if explain is None else explain(error)


class _Bound:
    """An executable on one stream: the table that the entry gets, and the graph that calls are replayed as."""

    def __init__(self, loaded: Loaded, stream: Stream):
        _check_limit(loaded.exe._arena_bytes, str(loaded.manifest["arena_bytes"]), 1)
        self.stream = stream
        self.driver = loaded.driver
        self.entry = loaded._entry
        words = stream.statuses
        last = 8 * (len(words.words) - 1)
        self.table = _Layout(
            _ABI_VERSION, _LAUNCH, loaded.driver.native, stream.handle, ctypes.addressof(loaded._kernels), words.there + last,
            words.here + last, loaded.gpu.context, None, None, 0,
        )  # fmt: skip
        self.address = ctypes.addressof(self.table)
        launches = loaded._launches
        self.replayed = launches is not None and launches >= GRAPHED
        self.launches = launches or 0
        self.calls = 0
        self.graph: int | None = None  # the instance
        self.last: tuple[bytes, int, int] | None = None
        self.count = 0  # launches in it: those that had something to do when it was made
        self.keep = loaded  # its kernels

    def status(self, k: int) -> None:
        """Have failed checks of the next call lower word k."""
        words = self.stream.statuses
        self.table.there, self.table.here = words.there + 8 * k, words.here + 8 * k

    def call(self, packed: bytes, arena: int) -> int:
        """Call the entry: what it returns."""
        self.calls += 1
        if not self.replayed or self.calls == 1 or self.stream.capture is not None:
            return int(self.entry(packed, self.address, arena))
        return self._replay(packed, arena)

    def _replay(self, packed: bytes, arena: int) -> int:
        table, given = self.table, (packed, arena, self.table.there)
        if self.graph is None:
            made = c_void_p()
            self.driver.cuGraphCreate(byref(made), 0)
            self.nodes = (c_void_p * self.launches)()
            table.mode, table.graph, table.nodes = _ADD, made.value, ctypes.addressof(self.nodes)
            try:
                code = self.entry(packed, self.address, arena)
                if not code and table.n_nodes:
                    instance = c_void_p()
                    self.driver.cuGraphInstantiateWithFlags(byref(instance), made.value, 0)
                    self.graph, self.last, self.count = instance.value, given, table.n_nodes
            finally:
                table.mode = _LAUNCH
                self.made = made.value  # nodes belong to it
            if code:
                return int(code)
            if self.graph is None:  # nothing is launched at all
                return int(self.entry(packed, self.address, arena))
        elif given != self.last:
            table.mode, table.graph = _GIVE, self.graph
            try:
                code = self.entry(packed, self.address, arena)
            finally:
                table.mode = _LAUNCH
            if table.n_nodes != self.count:  # other launches than the graph's have nothing to do in this call
                self.last = None
                return int(self.entry(packed, self.address, arena))
            if code:
                self.last = None
                return int(code)
            self.last = given
        self.driver.cuGraphLaunch(self.graph, self.stream.handle)
        return 0

    def __del__(self) -> None:
        if getattr(self, "graph", None) and self.driver.pid == os.getpid():
            try:
                self.driver.raw["cuGraphExecDestroy"](self.graph)
                self.driver.raw["cuGraphDestroy"](self.made)
            except TypeError:  # the interpreter ends
                pass
