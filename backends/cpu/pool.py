"""The worker pool's code: one per process, shared by all executables. How it works, and the functions it exports: `pool_text.py`."""

from __future__ import annotations

from ingot.backends.built import Built
from ingot.backends.cpu import elf
from ingot.backends.cpu.pool_text import pool_text
from ingot.backends.llvm import codegen
from ingot.backends.llvm.level import Level
from ingot.ir.machine import Machine

__all__ = ["EXPORTS", "assembly", "build"]

EXPORTS = ("ingot_pool_create", "ingot_pool_parallel", "ingot_pool_destroy")

# what every processor of an architecture runs: the pool is not worth more than one code for each
_LEVELS = {
    "x86_64": Level("x86_64", "x86_64-unknown-linux-gnu", "x86-64", (), (), Machine(16)),
    "aarch64": Level("aarch64", "aarch64-unknown-linux-gnu", "generic", (), (), Machine(16)),
}


def build(arch: str) -> Built:
    """The pool's shared object for "x86_64" or "aarch64": the same bytes each time. RuntimeError for any other."""
    level = _level(arch)
    text = pool_text(arch)
    return Built(elf.link(codegen.object_code(text, level, optimise=True), EXPORTS), {}, text)


def assembly(arch: str) -> str:
    """The same code as assembly, for people. RuntimeError for an architecture without a pool."""
    level = _level(arch)
    return codegen.assembly(pool_text(arch), level, optimise=True)


def _level(arch: str) -> Level:
    if arch not in _LEVELS:
        raise RuntimeError(f"no worker pool for {arch!r}: the CPU backend supports {', '.join(_LEVELS)}")
    return _LEVELS[arch]
