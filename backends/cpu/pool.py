"""The worker pool's code: one per process, shared by all executables. How it works, and the functions it exports: `pool_text.py`."""

from __future__ import annotations

import functools

from ingot.backends.built import Built
from ingot.backends.cpu import elf, prebuilt
from ingot.backends.cpu.levels import common_level
from ingot.backends.cpu.pool_text import pool_text
from ingot.backends.llvm import codegen

__all__ = ["EXPORTS", "assembly", "build", "is_ready", "text"]

EXPORTS = ("ingot_pool_create", "ingot_pool_parallel", "ingot_pool_destroy")


def build(arch: str) -> Built:
    """The pool's shared object for "x86_64" or "aarch64": the same bytes each time. RuntimeError for any other."""
    level = common_level(arch)  # refuses others
    return Built(elf.link(prebuilt.object_of(pool_text(arch), level), EXPORTS), {})


def text(arch: str) -> str:
    """The same code as LLVM IR."""
    return pool_text(arch)


@functools.cache
def is_ready(arch: str) -> bool:
    """Whether it needs no compiler."""
    return prebuilt.is_kept(text(arch), common_level(arch))


def assembly(arch: str) -> str:
    """The same code as assembly, for people. RuntimeError for an architecture without a pool."""
    level = common_level(arch)
    return codegen.assembly(pool_text(arch), level, inline=True)
