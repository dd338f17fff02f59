"""From a program to machine code: LLVM IR text, object, shared object."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from ingot.backends.cpu.entry import ENTRY, emit_entry, parallel_helper
from ingot.backends.cpu.kernels import emit_kernel
from ingot.backends.llvm.level import Level
from ingot.backends.llvm.writer import Module
from ingot.ir.loop.program import Program

__all__ = ["Built", "build", "llvm_text", "compile_text"]


@dataclass(frozen=True, slots=True)
class Built:
    """A program's machine code and what a caller must know to run it."""

    object: bytes
    so: bytes
    arena_bytes: int  # the program's arena and the kernels' scratch; the workers' scratch follows
    scratch_bytes: int  # per worker
    llvm: str
    entry: str = ENTRY


def build(program: Program, level: Level) -> Built:
    """Compile a program for a level.

    build(lower(graph), host_level()).so
    """
    from ingot.backends.cpu.elf import link

    text, arena_bytes, scratch_bytes = llvm_text(program, level)
    obj = compile_text(text, level)
    return Built(obj, link(obj, [ENTRY]), arena_bytes, scratch_bytes, text)


def llvm_text(program: Program, level: Level) -> tuple[str, int, int]:
    """The module's LLVM IR, the arena's size and each worker's scratch."""
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


@functools.cache
def _machine(level: Level) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(level.triple)
    features = ",".join("+" + f for f in level.features)
    return target.create_target_machine(cpu=level.cpu, features=features, opt=2, reloc="pic", codemodel="small")


def compile_text(text: str, level: Level, assembly: bool = False) -> Any:
    """LLVM IR to an object (bytes), or to assembly text. RuntimeError where the IR is not well formed."""
    import llvmlite.binding as llvm

    machine = _machine(level)
    module = llvm.parse_assembly(text, llvm.create_context())  # the process's own context remembers all that went before
    module.verify()  # malformed IR must be an exception: the code generator would end the process
    module.data_layout = str(machine.target_data)
    return machine.emit_assembly(module) if assembly else machine.emit_object(module)
