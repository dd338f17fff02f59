"""Machine code for CPUs: LLVM IR text, objects and shared objects for x86-64 and AArch64.

    from ingot.backends.cpu import build, host_level
    built = build(program, host_level())        # built.so: an ELF shared object with one exported entry
"""

from __future__ import annotations

from ingot.backends.cpu.level import LEVELS, Level, at_most, host_level
from ingot.backends.cpu.module import Built, build, llvm_text

__all__ = ["Built", "Level", "LEVELS", "at_most", "build", "host_level", "llvm_text"]
