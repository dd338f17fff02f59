"""The driver's code: what calls the kernels of a shared object, one for each architecture. How it works: `driver_text.py`."""

from __future__ import annotations

import functools

from ingot.backends.cpu import elf_piece, prebuilt
from ingot.backends.cpu.driver_text import copy_text, driver_text
from ingot.backends.cpu.levels import common_level
from ingot.backends.llvm import codegen

__all__ = ["ENTRY", "SIZES", "assembly", "build", "build_copy", "is_ready", "texts"]

ENTRY = "ingot_entry"
SIZES = "ingot_sizes"  # of programs with symbols


@functools.cache
def build(arch: str, symbols: bool = False) -> bytes:
    """The driver's piece of code for "x86_64" or "aarch64": the same bytes each time. RuntimeError for any other.

    symbols: with what programs with symbols need
    """
    return elf_piece.piece(prebuilt.object_of(driver_text(arch, symbols), common_level(arch)))


@functools.cache
def build_copy(arch: str) -> bytes:
    """The piece of code that a step launches which copies."""
    return elf_piece.piece(prebuilt.object_of(copy_text(arch), common_level(arch)))


def texts(arch: str) -> tuple[str, str, str]:
    """LLVM IR: of the driver, of that of programs with symbols, and of the copy."""
    return driver_text(arch, False), driver_text(arch, True), copy_text(arch)


@functools.cache
def is_ready(arch: str) -> bool:
    """Whether none of this needs a compiler."""
    return all(prebuilt.is_kept(text, common_level(arch)) for text in texts(arch))


def assembly(arch: str, symbols: bool = False) -> str:
    """The same code as assembly, for people."""
    return codegen.assembly(driver_text(arch, symbols), common_level(arch), inline=True)
