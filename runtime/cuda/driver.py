"""The driver's functions that are called here, as one table: from libcuda, or from the stand-in that needs no GPU.

    driver = the_driver()
    driver.cuMemAlloc_v2(byref(address), 1024)         # DeviceError where it says no

Code made for GPUs never links libcuda: entries are given the address of `driver.native`, a table of the functions that they call, in the
order that `backends/cuda/entry_text.py` fixes.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import c_char_p, c_int, c_void_p
from typing import Any

from ingot.runtime import switches
from ingot.runtime.cuda.signatures import SIGNATURES

__all__ = ["ENTRY_FUNCTIONS", "DeviceError", "Driver", "OutOfMemoryError", "in_use", "reason", "the_driver"]

# in the order of backends/cuda/entry_text.py
ENTRY_FUNCTIONS = (
    "cuCtxSetCurrent", "cuLaunchKernel", "cuMemcpyAsync", "cuStreamSynchronize", "cuGraphAddKernelNode_v2",
    "cuGraphExecKernelNodeSetParams_v2",
)  # fmt: skip
OLDEST = 12000  # as cuDriverGetVersion tells versions

_OUT_OF_MEMORY, _NOT_READY = 2, 600


class DeviceError(RuntimeError):
    """The GPU's driver refused something. `code` is its CUresult."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class OutOfMemoryError(RuntimeError):
    """A GPU has no memory left."""


class Driver:
    """The table. Attributes by the driver's names: functions that raise DeviceError for what is no success, except in `raw`.

    devices: what tells of devices and their primary contexts, by the names of `pycuda.driver`
    """

    def __init__(self, raw: dict[str, Any], devices: Any, emulated: bool):
        self.raw = raw
        self.devices = devices
        self.emulated = emulated
        self.pid = os.getpid()
        for name, function in raw.items():
            setattr(self, name, self._checked(name, function))
        self._native = (c_void_p * len(ENTRY_FUNCTIONS))(*(ctypes.cast(raw[n], c_void_p).value for n in ENTRY_FUNCTIONS))
        self.native = ctypes.addressof(self._native)

    def __getattr__(self, name: str) -> Any:  # for checkers: functions are set by name
        raise AttributeError(name)

    def _checked(self, name: str, function: Any) -> Any:
        def call(*args: Any) -> None:
            code = function(*args)
            if code:
                raise self.error(code, name)

        return call

    def text(self, code: int) -> str:
        """What a CUresult means."""
        found = c_char_p()
        self.raw["cuGetErrorString"](code, ctypes.byref(found))
        return (found.value or b"unknown error").decode()

    def error(self, code: int, name: str = "") -> Exception:
        """The error of a CUresult other than success."""
        where = f" ({name})" if name else ""
        if code == _OUT_OF_MEMORY:
            return OutOfMemoryError(f"CUDA out of memory{where}")
        more = ""
        if code in (700, 714, 715, 716, 717, 718, 719):
            more = ". A kernel failed; what this process has on the GPU is lost, and it must start again to use it"
        return DeviceError(code, f"CUDA error: {self.text(code)}{where}{more}")

    def ready(self, name: str, *args: Any) -> bool:
        """Whether what a query asks for is done."""
        code = self.raw[name](*args)
        if code not in (0, _NOT_READY):
            raise self.error(code, name)
        return code == 0


_opened: list[Driver] = []
_refused: dict[str, str] = {}  # why there is none, by the switch


def the_driver() -> Driver:
    """The driver, opened at the first call. RuntimeError in one sentence where there is none, with what to do about it."""
    if _opened:
        driver = _opened[0]
        if driver.pid != os.getpid():
            raise RuntimeError(
                "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn' start method"
            )
        return driver
    why = reason()
    if why:
        raise RuntimeError(why)
    if not _opened:
        _opened.append(_open()[0])  # type: ignore[arg-type]
    return _opened[0]


def in_use() -> bool:
    """Whether this process has used CUDA."""
    return bool(_opened)


def reason() -> str:
    """Why there is no CUDA device here; empty where there is one."""
    if _opened:
        return ""
    switch = switches.get("INGOT_CUDA")
    key = repr(switch)
    if key not in _refused:
        driver, why = _open()
        if driver is not None and not _opened:
            _opened.append(driver)
        _refused[key] = why
    return _refused[key]


def _open() -> tuple[Driver | None, str]:
    switch = switches.get("INGOT_CUDA")
    if switch == 0:
        return None, "no CUDA device is available: INGOT_CUDA=0 says so"
    if switch is not None:
        from ingot.runtime.cuda.standin import StandIn

        there = StandIn(switch)
        return Driver(there.functions(), there, True), ""
    return _libcuda()


def _libcuda() -> tuple[Driver | None, str]:
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None, "no CUDA device is available: there is no NVIDIA driver here (libcuda.so.1); tensors live on 'cpu'"
    code = library.cuInit(0)
    if code:
        found = c_char_p()
        library.cuGetErrorString(code, ctypes.byref(found))
        return None, f"no CUDA device is available: the NVIDIA driver says {(found.value or b'error').decode()!r}; tensors live on 'cpu'"
    version = c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    if version.value < OLDEST:
        have, want = (f"{v // 1000}.{v % 1000 // 10}" for v in (version.value, OLDEST))
        return None, f"the NVIDIA driver is for CUDA {have}, and Ingot needs one for CUDA {want} or later: update it"
    raw = {}
    for name, arguments in SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            return None, f"the NVIDIA driver has no {name}: update it"
        function.argtypes, function.restype = arguments, c_int
        raw[name] = function
    try:
        import pycuda.driver as devices
    except ImportError as error:
        return None, f"CUDA devices need pycuda, which cannot be imported ({error}): pip install 'ingot[cuda]'"
    devices.init()
    if devices.Device.count() == 0:
        return None, "no CUDA device is available: the NVIDIA driver finds none; tensors live on 'cpu'"
    return Driver(raw, devices, False), ""
