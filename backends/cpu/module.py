"""From a program to machine code: LLVM IR text, object, shared object."""

from __future__ import annotations

from ingot.backends.built import Built, manifest_of
from ingot.backends.cpu import elf
from ingot.backends.cpu.entry import ENTRY, emit_entry, parallel_helper
from ingot.backends.cpu.kernels import emit_kernel
from ingot.backends.llvm import codegen
from ingot.backends.llvm.level import Level
from ingot.backends.llvm.writer import Module
from ingot.ir.loop.program import Program, Repeat

__all__ = ["build", "llvm_text"]


TINY = 16 << 10  # bytes that a call touches


def build(program: Program, level: Level) -> Built:
    """The shared object of a program: one exported entry."""
    text, arena_bytes, scratch_bytes = llvm_text(program, level)
    manifest = manifest_of(program, arena_bytes)
    nbytes = sum(t.nbytes for t in (*program.in_types, *program.out_types)) + arena_bytes
    manifest["entry"] = ENTRY
    manifest["scratch_bytes"] = scratch_bytes
    manifest["tiny"] = nbytes <= TINY and not any(isinstance(s, Repeat) for s in program.steps)
    return Built(elf.link(codegen.object_code(text, level), [ENTRY]), manifest, text)


def llvm_text(program: Program, level: Level) -> tuple[str, int, int]:
    """The module's LLVM IR, the arena's size (the program's and its kernels'), and the scratch of each worker, which follows it."""
    module = Module(level)
    kernel_bytes = scratch_bytes = 0
    for kernel in program.kernels.values():
        e = emit_kernel(module, kernel)
        kernel_bytes = max(kernel_bytes, e.arena_bytes)
        scratch_bytes = max(scratch_bytes, e.worker_bytes)
    arena_bytes = -(-program.arena_bytes // 64) * 64 + kernel_bytes
    emit_entry(module, program, arena_bytes, kernel_bytes)
    if "parallel" in module.helpers:
        module.helpers["parallel"] = parallel_helper(scratch_bytes)
    head = f'target triple = "{level.triple}"'
    parts = [head, *module.helpers.values(), *module.functions, *module.declared.values(), _attributes(level)]
    return "\n".join(parts), arena_bytes, scratch_bytes


def _attributes(level: Level) -> str:
    common = f'nounwind "target-cpu"="{level.cpu}" "no-trapping-math"="true"'
    if level.features:
        common += f' "target-features"="{",".join("+" + f for f in level.features)}"'
    bits = level.machine.vector_bytes * 8
    wide = f' "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"' if level.arch == "x86_64" else ""
    groups = (common + wide, common, common + " noinline")  # generated code, helpers, calls out of line
    return "".join(f"attributes #{k} = {{ {g} }}\n" for k, g in enumerate(groups)) + "!0 = !{i32 1}\n"
