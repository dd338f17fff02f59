"""The shared object of a program for a GPU: the driver of launches (`entry_text.py`), its table, and the image of the kernels.

What it holds beside the entry is `ingot_image`: PTX, or for the level `emulated` what `emulated.py` makes.
"""

from __future__ import annotations

import functools
import platform
import struct
from collections.abc import Sequence

from ingot.backends.cpu import driver, elf, elf_piece, table
from ingot.backends.cpu import elf_object as o
from ingot.backends.cpu.driver_text import driver_text
from ingot.backends.cpu.levels import common_level
from ingot.backends.cuda.block_kernel import asked_for, geometry
from ingot.backends.cuda.entry_text import WAYS
from ingot.backends.cuda.numbers import by_value
from ingot.backends.llvm import codegen
from ingot.ir.loop.program import Launch, Program, Repeat, Step

__all__ = ["IMAGE", "host", "link", "shared", "straight"]

IMAGE = "ingot_image"


def host() -> str:
    """The architecture of this machine's processor, which launches."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


@functools.cache
def _driver(arch: str, symbols: bool) -> bytes:
    return elf_piece.piece(codegen.object_code(driver_text(arch, symbols, WAYS), common_level(arch), inline=True))


def shared(program: Program) -> dict[str, int]:
    """Bytes of shared memory that launches of kernels ask for, by their names: of those that need more than any kernel may have."""
    return {name: n for name, k in program.kernels.items() if (n := asked_for(k))}


def link(program: Program, image: bytes, arch: str) -> bytes:
    """The shared object. ValueError for a program that would launch a kernel in two ways."""
    walker = elf_piece.read(_driver(arch, bool(program.symbols)))
    by_value(program)
    steps = table.Table(program)
    steps.begin(program.arena_bytes, 0)
    steps.steps(program.steps)
    if program.symbols:
        outputs = [d for t in program.out_types for d in t.shape]
        steps.telling = [steps.number(x) for x in (program.arena_bytes, 0, *outputs)]
    words, kernels = steps.words()
    told: dict[int, int] = {}
    most = 1
    listed = list(program.kernels.values())
    for at, k in kernels:
        if k not in told:
            told[k] = len(words)
            if k == len(listed):
                words += (-1, 1, 1, 0, 1)
            else:
                kernel = listed[k]
                blocks, threads = geometry(kernel)
                which = ~kernel.params.index(blocks) if isinstance(blocks, str) else blocks
                words += (k, which, threads, asked_for(kernel), len(kernel.params))
                most = max(most, len(kernel.buffers) + len(kernel.params) + 1)
        words[at] = 8 * told[k]
    words[7] = max(most, 4)
    objects = [walker.object()]
    for name, content in (("ingot_table", struct.pack(f"<{len(words)}q", *words)), (IMAGE, image)):
        section, symbol = table.data(name, content)
        objects.append(o.Object(walker.machine, [o.NO_SECTION, section], [symbol], []))
    exports = [driver.ENTRY, IMAGE, *((driver.SIZES,) if program.symbols else ())]
    return elf.link_all(objects, exports)


def straight(program: Program) -> int | None:
    """How many launches a call makes; None where it does more than launching, or sizes or values decide."""
    return _count(program.steps)


def _count(steps: Sequence[Step]) -> int | None:
    total = 0
    for s in steps:
        if isinstance(s, Launch):
            total += 1
            continue
        inside = _count(s.steps) if isinstance(s, Repeat) and isinstance(s.count, int) else None
        if inside is None:
            return None
        total += inside * max(s.count, 0)  # type: ignore[union-attr]
    return total
