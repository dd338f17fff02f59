"""The driver's functions that are called, by name: the types of their arguments. All of them return a CUresult."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

__all__ = ["SIGNATURES"]

_p = c_void_p
Address = c_uint64  # in a GPU's memory

SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuDriverGetVersion": (_p,),
    "cuDeviceGetAttribute": (_p, c_int, c_int),
    "cuCtxSetCurrent": (_p,),
    "cuCtxSynchronize": (),
    "cuDeviceCanAccessPeer": (_p, c_int, c_int),
    "cuCtxEnablePeerAccess": (_p, c_uint),
    "cuModuleLoadDataEx": (_p, _p, c_uint, _p, _p),
    "cuModuleUnload": (_p,),
    "cuModuleGetFunction": (_p, _p, c_char_p),
    "cuFuncSetAttribute": (_p, c_int, c_int),
    "cuLaunchKernel": (_p, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, _p, _p, _p),
    "cuMemAlloc_v2": (_p, c_size_t),
    "cuMemFree_v2": (Address,),
    "cuMemHostAlloc": (_p, c_size_t, c_uint),
    "cuMemFreeHost": (_p,),
    "cuMemHostGetDevicePointer_v2": (_p, _p, c_uint),
    "cuMemGetInfo_v2": (_p, _p),
    "cuMemcpyAsync": (Address, Address, c_size_t, _p),
    "cuMemcpyHtoDAsync_v2": (Address, _p, c_size_t, _p),
    "cuMemcpyDtoHAsync_v2": (_p, Address, c_size_t, _p),
    "cuMemcpyPeerAsync": (Address, _p, Address, _p, c_size_t, _p),
    "cuMemsetD8Async": (Address, ctypes.c_ubyte, c_size_t, _p),
    "cuStreamCreateWithPriority": (_p, c_uint, c_int),
    "cuStreamDestroy_v2": (_p,),
    "cuStreamSynchronize": (_p,),
    "cuStreamQuery": (_p,),
    "cuStreamWaitEvent": (_p, _p, c_uint),
    "cuStreamBeginCapture_v2": (_p, c_int),
    "cuStreamEndCapture": (_p, _p),
    "cuEventCreate": (_p, c_uint),
    "cuEventDestroy_v2": (_p,),
    "cuEventRecord": (_p, _p),
    "cuEventQuery": (_p,),
    "cuEventSynchronize": (_p,),
    "cuEventElapsedTime": (_p, _p, _p),
    "cuGraphCreate": (_p, c_uint),
    "cuGraphDestroy": (_p,),
    "cuGraphAddKernelNode_v2": (_p, _p, _p, c_size_t, _p),
    "cuGraphInstantiateWithFlags": (_p, _p, c_uint64),
    "cuGraphExecKernelNodeSetParams_v2": (_p, _p, _p),
    "cuGraphExecDestroy": (_p,),
    "cuGraphLaunch": (_p, _p),
    "cuGetErrorString": (c_int, _p),
}
