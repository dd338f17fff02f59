"""The driver's code: what calls the kernels of a shared object, one for each architecture. How it works: `driver_text.py`."""

from __future__ import annotations

import functools

from ingot.backends.cpu import elf_piece
from ingot.backends.cpu.driver_text import copy_text, driver_text
from ingot.backends.cpu.levels import common_level
from ingot.backends.llvm import codegen

__all__ = ["ENTRY", "SIZES", "assembly", "build", "build_copy"]

ENTRY = "ingot_entry"
SIZES = "ingot_sizes"  # of programs with symbols


@functools.cache
def build(arch: str, symbols: bool = False) -> bytes:
    """The driver's piece of code for "x86_64" or "aarch64": the same bytes each time. RuntimeError for any other.

    symbols: with what programs with symbols need
    """
    return elf_piece.piece(codegen.object_code(driver_text(arch, symbols), common_level(arch), inline=True))


@functools.cache
def build_copy(arch: str) -> bytes:
    """The piece of code that a step launches which copies."""
    return elf_piece.piece(codegen.object_code(copy_text(arch), common_level(arch)))


def assembly(arch: str, symbols: bool = False) -> str:
    """The same code as assembly, for people."""
    return codegen.assembly(driver_text(arch, symbols), common_level(arch), inline=True)
