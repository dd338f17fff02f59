"""Extensions in C++ and CUDA: they are written against torch's own library, and cannot be built for Ingot."""

from __future__ import annotations

from ingot._refused import refused, refused_class

__all__ = [
    "BuildExtension", "CUDAExtension", "CUDA_HOME", "CppExtension", "include_paths", "is_ninja_available", "library_paths", "load",
    "load_inline",
]  # fmt: skip

_REASON = "extensions in C++ and CUDA are written against torch's own library; Python that is compiled by ingot.compile needs none"
load, load_inline = refused("utils.cpp_extension.load", _REASON), refused("utils.cpp_extension.load_inline", _REASON)
CppExtension, CUDAExtension = refused("utils.cpp_extension.CppExtension", _REASON), refused("utils.cpp_extension.CUDAExtension", _REASON)
include_paths, library_paths = refused("utils.cpp_extension.include_paths", _REASON), refused("utils.cpp_extension.library_paths", _REASON)
BuildExtension = refused_class("utils.cpp_extension.BuildExtension", _REASON)
CUDA_HOME: str | None = None


def is_ninja_available() -> bool:
    """False: nothing is built."""
    return False
