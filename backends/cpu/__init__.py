"""Machine code for CPUs: LLVM IR text, objects and shared objects for x86-64 and AArch64.

    from ingot.backends.cpu import build, host_level
    built = build(program, host_level())        # built.so: an ELF shared object with one exported entry

Names are imported when first used: a process that finds its code in the cache needs the levels only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingot.backends.cpu.level import LEVELS, at_most, host_level
from ingot.backends.llvm.level import Level

if TYPE_CHECKING:
    from ingot.backends.cpu.module import Built, build, llvm_text

__all__ = ["Built", "Level", "LEVELS", "at_most", "build", "host_level", "llvm_text"]


def __getattr__(name: str) -> Any:
    if name in ("Built", "build", "llvm_text"):
        from ingot.backends.cpu import module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
