"""LLVM text to objects and shared objects."""

import platform

import llvmlite.binding as llvm
import pytest

from ingot.backends.cpu import elf

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()

HOST = platform.machine()
TRIPLES = {"x86_64": ("x86_64-unknown-linux-gnu", "x86-64-v2"), "aarch64": ("aarch64-unknown-linux-gnu", "generic")}
native = pytest.mark.skipif(HOST not in TRIPLES, reason=f"no triple for {HOST}")


def compile_ir(text: str, arch: str = HOST, reloc: str = "pic", opt: int = 2) -> bytes:
    triple, cpu = TRIPLES[arch]
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=opt, reloc=reloc, codemodel="small")
    module = llvm.parse_assembly(text)
    module.triple = triple
    return machine.emit_object(module)


def link_ir(text: str, *exports: str) -> bytes:
    return elf.link(compile_ir(text), exports)
