"""From LLVM IR text to objects and assembly: the one place that parses, verifies and emits it, for every target.

LLVM's code generator ends the process on malformed IR, so nothing gets there that its verifier has not passed. The same text
gives the same code whatever was compiled before: it is parsed in a context of its own, as the process's remembers everything,
and a code generator is kept only where it remembers nothing (that of PTX numbers all calls of its life).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ingot.backends.llvm.level import Level

__all__ = ["apart", "assembly", "object_code"]

T = TypeVar("T")

_LONG = 100_000  # characters of LLVM IR, which take a tenth of a second
_CPU = {"opt": 2, "reloc": "pic", "codemodel": "small"}  # what the linker's list of relocations is for
_OPTIONS: dict[str, dict[str, Any]] = {"x86_64": _CPU, "aarch64": _CPU, "nvptx64": {"opt": 3}}


def object_code(text: str, level: Level, inline: bool = False) -> bytes:
    """The relocatable object of a module in LLVM IR. RuntimeError where the IR is not well formed.

    inline: put functions that are marked `alwaysinline` into their callers first. Generated kernels have none; text that people wrote
    does, and needs no more: LLVM's other passes take twice as long as the code itself, and find little.
    """

    def work() -> bytes:
        machine, module = _module(text, level, inline)
        return machine.emit_object(module)

    return apart(work) if len(text) > _LONG else work()


def apart(work: Callable[[], T]) -> T:
    """What `work` returns or raises. It runs in a thread of its own where this is the main one, so that Ctrl-C is heard meanwhile:

    LLVM returns to Python at its end only. Work that was given up goes on, and what it makes is dropped; the process ends after it.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    made: list[tuple[T | None, BaseException | None]] = []

    def run() -> None:
        try:
            made.append((work(), None))
        except BaseException as error:
            made.append((None, error))

    thread = threading.Thread(target=run, name="ingot compile")
    thread.start()
    while thread.is_alive():
        thread.join(0.2)  # the signal may have come to another thread, which wakes nobody
    result, error = made[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def assembly(text: str, level: Level, inline: bool = False) -> str:
    """The same code as assembly; for a GPU this is PTX. RuntimeError where the IR is not well formed."""
    machine, module = _module(text, level, inline)
    return machine.emit_assembly(module)


def _module(text: str, level: Level, inline: bool) -> tuple[Any, Any]:
    """LLVM's target machine, and the module, verified."""
    import llvmlite.binding as llvm

    machine = _target_machine(level) if level.arch == "nvptx64" else _kept(level)
    module = llvm.parse_assembly(text, llvm.create_context())
    module.verify()
    module.data_layout = str(machine.target_data)
    if inline:
        passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=0))
        passes.getModulePassManager().run(module, passes)
    return machine, module


def _target_machine(level: Level) -> Any:
    """LLVM's code generator for a level."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    features = ",".join("+" + f for f in level.features)
    return llvm.Target.from_triple(level.triple).create_target_machine(cpu=level.cpu, features=features, **_OPTIONS[level.arch])


_kept = functools.cache(_target_machine)
