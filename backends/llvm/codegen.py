"""From LLVM IR text to objects and assembly: the one place that parses, verifies and emits it, for every target.

LLVM's code generator ends the process on malformed IR, so nothing gets there that its verifier has not passed. The same text
gives the same code whatever was compiled before: it is parsed in a context of its own, as the process's remembers everything,
and a code generator is kept only where it remembers nothing (that of PTX numbers all calls of its life).
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

from ingot.backends.llvm.level import QUICK, Level
from ingot.backends.llvm.workers import side_by_side

__all__ = ["assembly", "object_code"]

_LONG = 100_000  # characters of LLVM IR, which take a tenth of a second
_CPU = {"opt": 2, "reloc": "pic", "codemodel": "small"}  # what the linker's list of relocations is for
_OPTIONS: dict[str, dict[str, Any]] = {"x86_64": _CPU, "aarch64": _CPU, "nvptx64": {"opt": 3}}
_idle: dict[tuple[Level, bool], list[Any]] = {}  # code generators that no thread works with


def object_code(text: str, level: Level, inline: bool = False, quick: bool = False) -> bytes:
    """The relocatable object of a module in LLVM IR. RuntimeError where the IR is not well formed.

    inline: put functions that are marked `alwaysinline` into their callers first. Generated kernels have none; text that people wrote
    does, and needs no more: LLVM's other passes take twice as long as the code itself, and find little.
    quick: in a third of the time, code that computes the same bits and takes a few times as long.
    """

    def work() -> bytes:
        free = _idle.setdefault((level, quick), [])
        machine = free.pop() if free else _target_machine(level, quick)
        code = _emitted(machine, _module(text, machine, inline))
        free.append(machine)
        return code

    return side_by_side([work])[0] if len(text) > _LONG else work()  # Ctrl-C is heard meanwhile


def assembly(text: str, level: Level, inline: bool = False, quick: bool = False) -> str:
    """The same code as assembly; for a GPU this is PTX. RuntimeError where the IR is not well formed."""
    machine = _target_machine(level, quick)
    return machine.emit_assembly(_module(text, machine, inline))


def _module(text: str, machine: Any, inline: bool) -> Any:
    """The module, verified."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text, llvm.create_context())
    module.verify()
    module.data_layout = str(machine.target_data)
    if inline:
        passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=0))
        passes.getModulePassManager().run(module, passes)
    return module


def _target_machine(level: Level, quick: bool = False) -> Any:
    """LLVM's code generator for a level."""
    import llvmlite.binding as llvm

    if level.arch == os.uname().machine:  # alone: all of LLVM's would take one to five milliseconds
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    if level.arch == "nvptx64":
        _short_pointers()
    features = ",".join("+" + f for f in level.features)
    options = {**_OPTIONS[level.arch], "opt": QUICK[level.arch]} if quick else _OPTIONS[level.arch]
    return llvm.Target.from_triple(level.triple).create_target_machine(cpu=level.cpu, features=features, **options)


@functools.cache
def _short_pointers() -> None:
    """Have LLVM keep addresses of shared memory in 32 bits, which spares kernels many registers. For the whole process; other targets
    have no such memory."""
    import llvmlite.binding as llvm

    llvm.set_option("ingot", "-nvptx-short-ptr")


def _emitted(machine: Any, module: Any) -> bytes:
    """`machine.emit_object(module)`, while other threads do the same.

    llvmlite lets one thread at a time into LLVM, whatever it does there. LLVM asks only that threads share neither context nor code
    generator, so emission, nine tenths of the time, goes by that lock.
    """
    library = _library()
    buffer = library.LLVMPY_TargetMachineEmitToMemory(machine, module, 1, ctypes.byref(ctypes.c_char_p()))
    if not buffer:
        return machine.emit_object(module)  # raises with LLVM's message
    try:
        return ctypes.string_at(library.LLVMPY_GetBufferStart(buffer), library.LLVMPY_GetBufferSize(buffer))
    finally:
        library.LLVMPY_DisposeMemoryBuffer(buffer)


@functools.cache
def _library() -> Any:
    """The functions of llvmlite's library that `_emitted` calls."""
    import llvmlite.binding as llvm
    from llvmlite.utils import get_library_name

    library, pointer = ctypes.CDLL(os.path.join(os.path.dirname(llvm.__file__), get_library_name())), ctypes.c_void_p
    for name, result, *arguments in (
        ("TargetMachineEmitToMemory", pointer, pointer, pointer, ctypes.c_int, pointer),
        ("GetBufferStart", pointer, pointer),
        ("GetBufferSize", ctypes.c_size_t, pointer),
        ("DisposeMemoryBuffer", None, pointer),
    ):
        function = getattr(library, "LLVMPY_" + name)
        function.restype, function.argtypes = result, arguments
    return library
