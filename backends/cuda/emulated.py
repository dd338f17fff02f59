"""The image of a module where there is no GPU: a shared object for this machine's processor, with a function for each kernel.

    void kernel_N(i64* buffers, i64* parameters, Table* rt, ptr scratch of the call, ptr scratch of the workers, i64* status)

Behind it stands, as JSON, what a launch must know: for each kernel its name, how many buffers and parameters it has, which buffers are
passed by value, and its scratch: [bytes, [parameter, item size]...] of the call and of a worker. A line ends it, and 8 bytes say
where it begins.
"""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Sequence

from ingot.backends.built import Keep, Part
from ingot.backends.cpu import elf, elf_piece
from ingot.backends.cpu.kernels import KERNEL
from ingot.backends.cpu.levels import LEVELS, common_level
from ingot.backends.cpu.module import build_kernel, identity, kernel_name
from ingot.backends.cuda.emulate import emulate
from ingot.backends.cuda.numbers import by_value
from ingot.backends.llvm import codegen
from ingot.backends.llvm.workers import side_by_side
from ingot.ir.loop.program import Program

__all__ = ["build"]

# kernels of blocks run block after block, on the thread that launches
_SERIAL = """
define hidden void @ingot.parallel(ptr %rt, ptr %fn, ptr %ctx, i64 %n, ptr %scratch, i64 %stride) nounwind {
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %run, label %done
run:
  tail call void %fn(ptr %ctx, i64 0, i64 %n, ptr %scratch)
  ret void
done:
  ret void
}
"""
_CPU = {"x86_64": "x86-64-v3", "aarch64": "aarch64"}


@functools.cache
def _serial(arch: str) -> bytes:
    level = common_level(arch)
    return elf_piece.piece(codegen.object_code(f'target triple = "{level.triple}"\n{_SERIAL}', level))


def build(program: Program, arch: str, keep: Keep) -> bytes:
    """The image. `keep`: where the code of its kernels is found, or kept."""
    level = LEVELS[_CPU[arch]]
    kernels = emulate(program).kernels
    parts = []
    for k in kernels.values():
        text = identity(k)
        parts.append(Part(kernel_name(f"{level.name}\n{text}"), "", functools.partial(build_kernel, k, level)))
    pieces = [elf_piece.read(code) for code in keep(parts, _made)]
    objects = [elf_piece.read(_serial(arch)).object(), *(p.object({KERNEL: f"kernel_{i}"}) for i, p in enumerate(pieces))]
    code = elf.link_all(objects, [f"kernel_{i}" for i in range(len(pieces))])
    numbers = by_value(program)
    told = [
        [name, [*numbers.get(name, [False] * len(k.buffers))], len(k.params), [p.arena.nbytes, *p.arena.counted],
         [p.worker.nbytes, *p.worker.counted]]
        for (name, k), p in zip(kernels.items(), pieces)
    ]  # fmt: skip
    return code + json.dumps(told).encode() + b"\n" + struct.pack("<q", len(code))


def _made(parts: Sequence[Part], workers: int) -> list[bytes]:
    return side_by_side([p.make for p in parts], workers) if len(parts) > 1 < workers else [p.make() for p in parts]
